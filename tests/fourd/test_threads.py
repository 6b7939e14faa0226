"""Small steps take one of torch's threads, large ones all, and nothing stays changed."""

import pytest
import torch

from ds4d.fourd.threads import PIXELS_PER_THREAD, threads_for


@pytest.mark.parametrize("pixels", [0, PIXELS_PER_THREAD, 100 * PIXELS_PER_THREAD])
def test_threads_are_taken_and_given_back(pixels):
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError):
        with threads_for(pixels):
            assert torch.get_num_threads() == min(before, max(1, pixels // PIXELS_PER_THREAD))
            raise RuntimeError
    assert torch.get_num_threads() == before
