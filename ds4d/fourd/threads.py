"""How many threads a step is worth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

PIXELS_PER_THREAD = 256 * 256  # of a step's renders; with fewer, threads wait more than they work


@contextlib.contextmanager
def threads_for(pixels: int) -> Iterator[None]:
    """Let torch use as many threads as a step that draws so many pixels keeps busy.

    What torch does in a step on small pictures is short: waking a second thread takes longer than
    it saves. The kernels, which do most of the work, always use all threads. At the end, torch has
    as many as before.
    """
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(min(before, max(1, pixels // PIXELS_PER_THREAD)))
        yield
    finally:
        torch.set_num_threads(before)
