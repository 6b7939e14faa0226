"""Choice of the matting engine, and mattes from a clip's alpha channel."""

from __future__ import annotations

import numpy as np
import pytest

from ds4d.config import MachineConfig, MattingConfig
from ds4d.errors import UserError
from ds4d.matting import choose
from ds4d.run.engines import Engine
from tests.stages import finished


def chosen(name: str, frames: np.ndarray) -> Engine:
    return choose(MattingConfig(engine=name), MachineConfig(device="cpu"), frames)


def test_alpha_is_used_where_it_says_something():
    frames = np.zeros((3, 20, 20, 4), np.uint8)
    frames[:, 5:15, 5:15, 3] = 255
    for name in ("auto", "alpha"):
        engine = chosen(name, frames)
        assert engine.name == "alpha" and engine.why
    events, alphas = finished(engine.run(frames, {}))
    np.testing.assert_array_equal(alphas, frames[..., 3])
    assert [event.step for event in events] == [1, 2, 3]
    assert events[0].preview.shape == (20, 20, 3)


@pytest.mark.parametrize("corner", [0, 1])
def test_no_alpha_or_transparent_corners_alone_are_no_matte(corner):
    frames = np.full((3, 20, 20, 4), 255, np.uint8)
    frames[:, :corner, :corner, 3] = 0
    frames = frames if corner else frames[..., :3]
    assert chosen("auto", frames).name == "classical"
    with pytest.raises(UserError, match="no transparent background"):
        chosen("alpha", frames)
