"""Work on several frames at a time, on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def each(function: Callable[..., Result], *items: Iterable) -> Iterator[Result]:
    """Like map, in the same order, on as many threads as torch uses.

    Worthwhile for functions that mostly release the GIL: large arrays, OpenCV, files. Closing it
    early waits for the calls that have begun. The function must not call parallel numba kernels:
    some threading layers cannot start them from two threads at once.
    """
    import torch  # takes a second, which the preflight report does not have

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        yield from pool.map(function, *items)
