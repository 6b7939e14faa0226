"""Small steps take one thread, large ones all, and nothing stays changed."""

import numba
import pytest
import torch

from ds4d.fourd.threads import PIXELS_PER_THREAD, threads_for


@pytest.mark.parametrize("pixels", [0, PIXELS_PER_THREAD, 100 * PIXELS_PER_THREAD])
def test_threads_are_taken_and_given_back(pixels):
    before = torch.get_num_threads(), numba.get_num_threads()
    wanted = max(1, pixels // PIXELS_PER_THREAD)
    with pytest.raises(RuntimeError):
        with threads_for(pixels):
            assert torch.get_num_threads() == min(before[0], wanted)
            assert numba.get_num_threads() == min(before[1], wanted)
            raise RuntimeError
    assert (torch.get_num_threads(), numba.get_num_threads()) == before
