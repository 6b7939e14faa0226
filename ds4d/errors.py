"""The exceptions of the package that callers are expected to handle."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


class UserError(Exception):
    """A problem that the user can solve: one plain sentence, and a hint on how to solve it.

    It is the only error whose text is shown to users.
    """

    def __init__(self, sentence: str, hint: str = ""):
        super().__init__(sentence, hint)
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".strip()


class Busy(UserError):
    """Another process is at work in a run folder."""


class Paused(Exception):
    """A stage has saved its state because its time was up; the same call continues from there."""


DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# Words of errors of the system that carry no number: writers of files report them as text.
FULL = ("No space left on device", "Disk quota exceeded")


def is_full_disk(error: BaseException) -> bool:
    """True if an error of the system or of a library says that a disk is full."""
    return getattr(error, "errno", None) in DISK_FULL or any(word in str(error) for word in FULL)


def of_the_machine(error: BaseException) -> UserError | None:
    """An error of the machine rather than of the program, as a sentence and a hint.

    Those are a full disk, files that cannot be opened, and memory that is used up; None for any
    other error.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return UserError(
            "This machine does not have enough memory for these settings.",
            "Use fewer or smaller frames, or the preview preset.",
        )
    if is_full_disk(error):
        return UserError(
            "The disk is full.", "Make room: finished stages are kept, and the same run goes on."
        )
    if isinstance(error, OSError) and error.strerror:
        named = error.filename is not None
        name = f"{error.filename}: " if named else ""
        hint = "Check the path and its permissions." if named else ""
        return UserError(f"{name}{error.strerror}.", hint)
    return None


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Read a file or folder that a run has written; damaged ones raise UserError.

    Readers of damaged files raise errors of all kinds. Those of the machine stay what they are.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not isinstance(error, FileNotFoundError) and of_the_machine(error) is not None:
            raise
        raise UserError(
            f"{path} is damaged or incomplete.",
            "Delete it, then start the same generate again: it makes again what is missing.",
        ) from error
