"""Outliers among the views are found, and nothing else: synthetic clips and ground truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import pytest

from ds4d.errors import UserError
from ds4d.multiview.outliers import NAMED, Flag, describe, find_outliers, named_views
from tests.cases import FROG

FRAMES, SIDE = 10, 64


def clip(speed: float = 1.0) -> np.ndarray:
    """An ellipse that drifts and swells, of another shape and place in each of four views."""
    images = np.zeros((FRAMES, 4, SIDE, SIDE, 4), np.uint8)
    for frame in range(FRAMES):
        for view in range(4):
            centre = int(24 + speed * frame), 28 + 3 * view
            axes = int(12 + 0.3 * speed * frame), 6 + 3 * view
            image = np.zeros((SIDE, SIDE, 4), np.uint8)
            cv2.ellipse(image, centre, axes, 0, 0, 360, (180, 90, 40, 255), -1)
            images[frame, view] = image
    return images


def places(found: list[Flag]) -> list[tuple[int, int]]:
    return [(flag.frame, flag.view) for flag in found]


@pytest.mark.parametrize("speed", [0.0, 1.0, 3.0])
def test_smooth_motion_is_not_flagged(speed):
    assert find_outliers(clip(speed)) == []


@pytest.mark.parametrize("frame", [0, 4, 9])
def test_errors_are_flagged(frame):
    bad = clip(speed=0.5)
    bad[frame, 1] = 0
    bad[frame, 2, ..., :3] = bad[frame, 2][..., [2, 1, 0]]
    bad[frame, 3] = bad[frame, 0].swapaxes(0, 1)
    found = find_outliers(bad)
    assert places(found) == [(frame, 1), (frame, 2), (frame, 3)]
    assert [flag.reason for flag in found] == ["empty", "another colour", "another shape"]


def test_a_message_names_the_first_outliers():
    few = [Flag(0, 5, "another shape"), Flag(6, 2, "another colour")]
    assert describe(few) == (
        "Views that do not fit their neighbours: view 5 of frame 1 (another shape), "
        "view 2 of frame 7 (another colour)."
    )
    assert describe(few * NAMED).endswith(f"(another colour) and {NAMED} more.")


def test_an_error_that_occurs_twice_is_flagged_twice():
    bad = clip()
    bad[3:5, 1, ..., :3] = (20, 200, 60)
    assert places(find_outliers(bad)) == [(3, 1), (4, 1)]


def test_a_jump_of_the_front_excuses_its_views():
    jumping = clip()
    jumping[5] = np.roll(jumping[5], 14, axis=1)  # down, in every view, the front as well
    assert find_outliers(jumping) == []
    only_one = clip()
    only_one[5, 2] = np.roll(only_one[5, 2], 14, axis=0)
    assert places(find_outliers(only_one)) == [(5, 2)]


def test_frames_without_the_object_and_short_clips_have_no_outliers():
    gone = clip()
    gone[6] = 0
    assert find_outliers(gone) == []
    assert find_outliers(clip()[:2]) == []
    assert find_outliers(np.zeros_like(clip())) == []


def frog(views: str = "multiview") -> np.ndarray:
    """The views of the committed case, [T, 7, 96, 96, 4]."""

    def read(path: Path) -> np.ndarray:
        return cv2.resize(iio.imread(path), (96, 96), interpolation=cv2.INTER_AREA)

    fronts = sorted((FROG / "input").glob("*.png"))
    return np.stack([
        [read(file), *(read(FROG / views / file.stem / f"{v}.png") for v in range(6))]
        for file in fronts
    ])  # fmt: skip


@pytest.mark.parametrize(("views", "allowed"), [("multiview", 0), ("multiview_noisy", 2)])
def test_good_views_of_a_moving_object_are_hardly_flagged(views, allowed):
    assert len(find_outliers(frog(views))) <= allowed


def test_wrong_views_of_a_moving_object_are_flagged():
    good = frog()
    errors = {
        (1, 2): np.rot90(good[1, 2]),
        (3, 6): np.zeros_like(good[0, 0]),
        (5, 1): good[5, 1][..., [2, 0, 1, 3]],  # other colours
        (6, 3): good[6, 3][::-1],  # upside down
    }
    bad = good.copy()
    for place, image in errors.items():
        bad[place] = image
    assert set(errors) <= set(places(find_outliers(bad)))
    assert len(find_outliers(bad)) <= len(errors) + 1


def test_views_are_named_as_people_count():
    found = named_views(("1:1", "3:2", "99:1"), frames=4, views=7)
    assert np.argwhere(found).tolist() == [[0, 1], [2, 2]]


@pytest.mark.parametrize("name", ["3", "0:1", "1:0", "1:7", "a:b", "-1:2"])
def test_an_invalid_name_is_an_error(name):
    with pytest.raises(UserError, match="names no view"):
        named_views((name,), frames=4, views=7)
