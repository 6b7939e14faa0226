"""How many threads a step is worth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numba
import torch

PIXELS_PER_THREAD = 256 * 256  # of a step's renders; with fewer, threads wait more than they work


@contextlib.contextmanager
def threads_for(pixels: int) -> Iterator[None]:
    """Use as many threads as a step that draws so many pixels keeps busy; at the end, as before.

    A step on small pictures is some hundred short operations. Waking a second thread for each of
    them takes longer than it saves: on two shared cores one thread is a third faster, and leaves
    the other core to the machine.
    """
    before = torch.get_num_threads(), numba.get_num_threads()
    wanted = max(1, pixels // PIXELS_PER_THREAD)
    try:
        torch.set_num_threads(min(before[0], wanted))
        numba.set_num_threads(min(before[1], wanted))
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])
