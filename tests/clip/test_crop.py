"""One square around the object in all frames, and colours at its edges."""

from __future__ import annotations

import numpy as np
import pytest

from ds4d import clip
from ds4d.config import ClipConfig
from ds4d.errors import UserError
from tests.clip.clips import CONFIG, SIZE, moving


def as_clip(frames: np.ndarray, prepared: bool = False) -> clip.Clip:
    count = len(frames)
    return clip.Clip(frames, np.linspace(0, 1, count), np.arange(count), count, None, prepared)


def test_one_square_holds_the_object_of_all_frames_with_its_margin():
    frames = moving(alpha=True)
    config = ClipConfig(size=80, margin=0.1)
    squares, chosen, warnings = clip.square(as_clip(frames), frames[..., 3], config)
    assert squares.shape == (12, 80, 80, 4) and squares.dtype == np.uint8 and warnings == ()
    assert not chosen.move and chosen.places[0].tolist() == [2, 2, round(45 / 0.8)]  # from 8 to 53
    seen = np.flatnonzero((squares[..., 3] > 127).any(axis=(0, 1)))
    assert abs(seen[0] - 8) <= 1 and abs(seen[-1] - 71) <= 1


@pytest.mark.parametrize(("own", "size"), [(100, 256), (300, 300), (400, 320)])
def test_a_clip_of_few_pixels_is_not_enlarged_to_many(own, size):
    frames = np.zeros((2, own, own, 4), np.uint8)
    frames[:, 40 : own - 40, 40 : own - 40] = 255
    squares, _, _ = clip.square(as_clip(frames, True), frames[..., 3], ClipConfig(size=320))
    assert squares.shape[1:3] == (size, size)


def test_the_square_may_reach_beyond_the_frame():
    frames = moving(alpha=True)[:, :, :30]
    squares, chosen, _ = clip.square(as_clip(frames), frames[..., 3], CONFIG)
    _, top, side = chosen.places[0]
    assert top + side <= SIZE and side > 22
    assert squares[:, :, 0, 3].max() == 0


def test_no_dark_rim_from_what_lies_below_transparent_pixels():
    frames = moving(alpha=True)
    frames[frames[..., 3] == 0] = 0  # transparent black
    config = ClipConfig(size=37)
    squares = clip.square(as_clip(frames), frames[..., 3], config)[0]
    seen = squares[squares[..., 3] > 2][:, :3].astype(int)
    assert np.abs(seen - (220, 30, 30)).max() <= 2
    around = squares[0, 18, :, :3].astype(int)  # a row through the object and beyond it
    assert np.abs(around - (220, 30, 30)).max() <= 2


def test_no_rim_of_the_old_background_at_soft_edges():
    yy, xx = np.mgrid[:96, :96]
    alpha = (1 / (1 + np.exp((np.hypot(xx - 48, yy - 48) - 28) / 1)))[..., None]  # a soft disc
    picture = alpha * (200, 40, 20) + (1 - alpha) * (30, 60, 240)
    frames = np.repeat((picture + 0.5).astype(np.uint8)[None], 2, 0)
    alphas = np.repeat((alpha[..., 0] * 255 + 0.5).astype(np.uint8)[None], 2, 0)
    squares = clip.square(as_clip(frames), alphas, ClipConfig(size=96))[0]
    seen = squares[squares[..., 3] > 25].astype(float)
    error = np.abs(seen[:, :3] - (200, 40, 20)) * seen[:, 3:] / 255
    assert error.max() < 12
    assert error.mean() < 2


def test_prepared_frames_are_only_resized():
    frames = moving(alpha=True)
    same = clip.square(as_clip(frames, True), frames[..., 3], ClipConfig(size=SIZE))[0]
    visible = frames[..., 3] > 0
    np.testing.assert_array_equal(same[visible], frames[visible])
    np.testing.assert_array_equal(same[..., 3], frames[..., 3])
    half = clip.square(as_clip(frames, True), frames[..., 3], ClipConfig(size=32))[0]
    np.testing.assert_array_equal(half[0, 10:20, 4:10, 3], 255)
    assert half[0, :, :, 3].sum() == 60 * 255


def test_mattes_without_a_whole_object_are_reported():
    frames = moving(alpha=True)
    with pytest.raises(UserError, match="No object"):
        clip.square(as_clip(frames), np.zeros(frames.shape[:3], np.uint8), CONFIG)
    with pytest.raises(UserError, match="fills the whole frame"):
        clip.square(as_clip(frames), np.full(frames.shape[:3], 255, np.uint8), CONFIG)
    alphas = frames[..., 3].copy()
    alphas[4] = 0
    assert "not visible in frame 5" in clip.square(as_clip(frames), alphas, CONFIG)[2][0]
    leaving = moving(20, alpha=True)  # walks out of the picture on the right
    warnings = clip.square(as_clip(leaving), leaving[..., 3], CONFIG)[2]
    assert "cuts the object off in frames 16, 17, 18, 19" in " ".join(warnings)
