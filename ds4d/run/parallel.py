"""Work on several frames at a time, on threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .hardware import cores

Result = TypeVar("Result")


def each(function: Callable[..., Result], *items: Iterable) -> Iterator[Result]:
    """Like map, in the same order, on as many threads as torch uses, or as there are cores.

    Worthwhile for functions that mostly release the GIL: large arrays, OpenCV, files. Closing it
    early waits for the calls that have begun. The function must not call parallel numba kernels:
    some threading layers cannot start them from two threads at once.
    """
    torch = sys.modules.get("torch")  # not imported here: the preflight report has no time for it
    with ThreadPoolExecutor(torch.get_num_threads() if torch else cores()) as pool:
        yield from pool.map(function, *items)
