"""Addresses in object stores: s3://, gs://, hf:// and what else fsspec knows."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

from ..errors import UserError


def is_address(source: str) -> bool:
    """True for s3://..., gs://..., hf://... and the like."""
    return "://" in source


def filesystem(address: str) -> tuple[Any, str]:
    """The file system of an address, as of now, and the path in it."""
    import fsspec

    files, path = fsspec.url_to_fs(address)
    files.invalidate_cache()  # others write there, too
    return files, path


@contextlib.contextmanager
def errors(address: str) -> Iterator[None]:
    """Tell errors of the libraries of object stores, which are of many kinds, as one of the
    system; missing files, and what is an error of the user, stay what they are.

    Raises:
        UserError: the library for the address is not installed.
        OSError: the store cannot be reached, or refuses.
    """
    try:
        yield
    except (UserError, FileNotFoundError):
        raise
    except ImportError as error:
        raise UserError(
            f"The library for {address} is not installed.", f"{str(error).rstrip('.')}."
        ) from error
    except Exception as error:
        words = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise OSError(errno.EIO, f"{address} cannot be read or written: {words}") from error


def read(address: str) -> bytes:
    """The bytes at an address. Raises UserError where there is nothing."""
    with errors(address):
        files, path = filesystem(address)
        try:
            return files.cat_file(path)
        except FileNotFoundError as error:
            raise UserError(f"There is no {address}.", "Check the address.") from error


def matches(pattern: str) -> list[str]:
    """The addresses that fit a pattern with *, in the order of their names."""
    with errors(pattern):
        files, path = filesystem(pattern)
        return sorted(files.unstrip_protocol(found) for found in files.glob(path))
