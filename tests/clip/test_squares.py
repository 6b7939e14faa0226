"""The square of each frame: one for all, or one that follows the object or the background."""

from __future__ import annotations

import numpy as np
import pytest

from ds4d import clip
from ds4d.clip.squares import choose
from ds4d.config import ClipConfig
from ds4d.matting import camera
from tests.clip.clips import SIZE, filmed, moving


def as_clip(frames: np.ndarray, prepared: bool = False) -> clip.Clip:
    count = len(frames)
    return clip.Clip(frames, np.linspace(0, 1, count), np.arange(count), count, None, prepared)


def crossing(count: int = 20, size: tuple[int, int] = (12, 10)) -> np.ndarray:
    """Mattes of a rectangle that crosses a wide frame on a bow, [T, 80, 240]."""
    alphas = np.zeros((count, 80, 240), np.uint8)
    for index, alpha in enumerate(alphas):
        left, top = 5 + round(215 * index / (count - 1)), 20 + round(8 * np.sin(index / 4))
        alpha[top : top + size[1], left : left + size[0]] = 255
    return alphas


def test_a_square_follows_an_object_that_crosses_the_frame():
    alphas = crossing()
    squares = choose(alphas, 0.1)
    assert squares.follows and len(np.unique(squares.places[:, 2])) == 1
    assert squares.places[0, 2] < 30  # one square for all frames has 284
    assert np.abs(np.diff(squares.places[:, 0], n=2)).max() <= 2  # smooth
    frames = np.zeros((*alphas.shape, 3), np.uint8)
    cut, same, warnings = clip.square(as_clip(frames), alphas, ClipConfig(size=64))
    np.testing.assert_array_equal(same.places, squares.places)
    assert "a square of" in warnings[0]
    assert (cut[:, 0, :, 3] == 0).all() and (cut[:, :, 0, 3] == 0).all()
    covered = (cut[..., 3] > 127).mean(axis=(1, 2))
    assert covered.min() > 0.1 and np.ptp(covered) < 0.03


def test_the_path_goes_on_where_the_object_is_hidden():
    alphas = crossing()
    alphas[8:11] = 0
    path, whole = choose(alphas, 0.1).places, choose(crossing(), 0.1).places
    assert np.abs(path[:, 0] - whole[:, 0]).max() < 8


def test_an_object_that_stays_has_one_square_for_all_frames():
    assert not choose(moving(alpha=True)[..., 3], 0.1).move
    assert not choose(np.zeros((4, 8, 8), np.uint8), 0.1).move
    prepared = moving(4, alpha=True)
    config = ClipConfig(size=SIZE)
    assert clip.square(as_clip(prepared, True), crossing(4)[:, :64, :64], config)[2] == ()


# --- a camera that moves ------------------------------------------------------------------------


def test_squares_follow_the_background_of_a_camera_that_drifts():
    frames, mattes, x = filmed()
    squares = choose(mattes, 0.1, camera.motion(frames, mattes))
    assert squares.move and not squares.follows and squares.facts()["follows"] is False
    assert squares.places[0, 2] <= 62  # 80 % of it are the disc; one square for all has 111
    # The disc stands still before the wall, so it stands still in its squares.
    assert np.ptp(110 - x - squares.places[:, 0]) <= 1
    cut, _, warnings = clip.square(
        as_clip(frames), mattes, ClipConfig(size=64), camera.motion(frames, mattes)
    )
    assert warnings == () and np.ptp(cut[..., 3].astype(int), axis=0).mean() < 4


def test_a_camera_that_goes_along_keeps_the_object_large_and_its_way_is_known():
    frames, mattes, _ = filmed(pan=140, walk=140)
    squares = choose(mattes, 0.1, camera.motion(frames, mattes))
    assert squares.follows and squares.places[0, 2] < 75
    world = squares.places[:, 0] - squares.camera[:, 0]
    assert np.ptp(world) == pytest.approx(140, abs=8)
    assert np.abs(np.diff(world, n=2)).max() <= 3  # without the shaking


def test_a_still_camera_and_one_that_is_not_understood_move_no_square():
    frames, mattes, _ = filmed(pan=0)
    still = np.repeat(frames[:1], 9, 0)
    assert camera.motion(still, mattes) is None
    noise = np.random.default_rng(1).integers(0, 255, frames.shape, np.uint8)
    assert camera.motion(noise, mattes) is None
