"""What is done to one frame at a time, done to several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def each(function: Callable[..., Result], *items: Iterable) -> Iterator[Result]:
    """Like map, in the same order, on as many threads as torch may use.

    It pays where most of the function lets other threads run: large arrays, OpenCV, files. Whoever
    closes it early waits for what has begun. Kernels that are parallel by themselves are not to be
    called: not every machine lets two threads start them at once.
    """
    import torch  # here: what only looks at a clip starts faster without it

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        yield from pool.map(function, *items)
