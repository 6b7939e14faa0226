"""The folder of compiled kernels: removal of those that are older than their sources, turns of the
processes that use it, and work without a folder.

numba keeps compiled functions beside the sources, and compiles one again when its own file has
changed. A function or a constant of another file is compiled into it all the same, and a change
there goes unnoticed. So all compiled kernels go when any of their sources has changed.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STAMP = "kernels.sha256"  # in __pycache__: the hash of the sources that were compiled
LOCK = "kernels.lock"  # held by the process that reads or writes compiled kernels


def forget_stale(package: Path = HERE) -> None:
    """Delete the compiled kernels of a folder unless all their sources are still the same.

    Sources are all modules of the folder, and those of the folder above, whose constants are
    compiled into kernels too.

    Call it before the first kernel runs: numba reads what it has kept when a function is called
    for the first time, not when its module is imported.
    """
    current = stamp(package)
    compiled = package / "__pycache__"
    try:
        if (compiled / STAMP).is_file() and (compiled / STAMP).read_text() == current:
            return
        for index in compiled.glob("*.nbi"):
            index.unlink(missing_ok=True)
        compiled.mkdir(exist_ok=True)
        (compiled / STAMP).write_text(current)
    except OSError:  # a folder that cannot be written holds no compiled kernels
        return


def stamp(package: Path = HERE) -> str:
    """The hash of all sources of the kernels in a folder."""
    sources = [*sorted(package.parent.glob("*.py")), *sorted(package.glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def folder() -> Path:
    """The folder in which numba keeps compiled kernels."""
    return Path(os.environ.get("NUMBA_CACHE_DIR") or HERE / "__pycache__")


@functools.cache
def allow_no_folder() -> None:
    """Let kernels be compiled for this process alone where no folder can keep them.

    numba refuses to compile then. Call it before functions with `cache=True` are defined, those of
    other packages included.
    """
    from numba.core.caching import CacheImpl, UserProvidedCacheLocator

    class OfThisProcess(UserProvidedCacheLocator):
        """A folder that is deleted when the process ends, the last one that numba asks for."""

        def __init__(self, py_func, py_file):
            self._py_file, self._lineno = py_file, py_func.__code__.co_firstlineno
            self._cache_path = str(_temporary() / self.get_suitable_cache_subpath(py_file))

        @classmethod
        def from_function(cls, py_func, py_file):
            located = cls(py_func, py_file)
            located.ensure_cache_path()
            return located

    CacheImpl._locator_classes.append(OfThisProcess)


@functools.cache
def take_turns() -> None:
    """Let processes read and write compiled kernels one after the other.

    numba numbers the compiled forms of a function, one for each combination of types, without
    regard to other processes: of two that compile different forms at once, both take the same
    number, and from then on the arguments of one form are read by the code of the other.
    """
    from numba.core.caching import IndexDataCacheFile

    for name in ("save", "load"):
        setattr(IndexDataCacheFile, name, _locked(getattr(IndexDataCacheFile, name)))


def _locked(access: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(access)
    def in_turn(self: Any, *arguments: Any) -> Any:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # a file system without locks
                file = stack.enter_context(open(Path(self._cache_path, LOCK), "a"))
                fcntl.flock(file, fcntl.LOCK_EX)
            return access(self, *arguments)

    return in_turn


@functools.cache
def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ds4d-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    warnings.warn(
        "no folder can keep compiled kernels, so every run compiles them again, for a minute or "
        "two; name a folder in NUMBA_CACHE_DIR",
        stacklevel=2,
    )
    return folder
