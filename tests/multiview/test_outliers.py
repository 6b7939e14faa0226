"""Views out of line are found, and nothing else is: synthetic, ground truth, and real clips."""

from __future__ import annotations

from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np
import pytest

from ds4d.errors import UserError
from ds4d.multiview.outliers import NAMED, Flag, flags, named_views, told

BENCH = Path(__file__).parents[3] / "shared" / "bench"
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
def test_what_moves_smoothly_is_not_flagged(speed):
    assert flags(clip(speed)) == []


@pytest.mark.parametrize("frame", [0, 4, 9])
def test_mistakes_are_flagged_where_they_are(frame):
    bad = clip(speed=0.5)
    bad[frame, 1] = 0
    bad[frame, 2, ..., :3] = bad[frame, 2][..., [2, 1, 0]]
    bad[frame, 3] = bad[frame, 0].swapaxes(0, 1)
    found = flags(bad)
    assert places(found) == [(frame, 1), (frame, 2), (frame, 3)]
    assert [flag.words for flag in found] == ["nothing is there", "another colour", "another shape"]


def test_a_sentence_says_which_views_are_out_of_line():
    few = [Flag(0, 5, "another shape"), Flag(6, 2, "another colour")]
    assert told(few) == (
        "Out of line with their neighbours: view 5 of frame 1 (another shape), "
        "view 2 of frame 7 (another colour)."
    )
    assert told(few * NAMED).endswith(f"(another colour) and {NAMED} more.")


def test_a_mistake_that_is_made_twice_is_flagged_twice():
    bad = clip()
    bad[3:5, 1, ..., :3] = (20, 200, 60)
    assert places(flags(bad)) == [(3, 1), (4, 1)]


def test_a_jump_of_the_front_excuses_its_views():
    jumping = clip()
    jumping[5] = np.roll(jumping[5], 14, axis=1)  # down, in every view, the front as well
    assert flags(jumping) == []
    only_one = clip()
    only_one[5, 2] = np.roll(only_one[5, 2], 14, axis=0)
    assert places(flags(only_one)) == [(5, 2)]


def test_frames_without_the_object_and_short_clips_say_nothing():
    gone = clip()
    gone[6] = 0
    assert flags(gone) == []
    assert flags(clip()[:2]) == []
    assert flags(np.zeros_like(clip())) == []


def bench(case: str, views: str = "multiview") -> np.ndarray:
    def read(path: Path) -> np.ndarray:
        return cv2.resize(iio.imread(path), (96, 96), interpolation=cv2.INTER_AREA)

    if not (BENCH / case / views).is_dir():
        pytest.skip(f"no case {case} in {BENCH}")
    fronts = sorted((BENCH / case / "input").glob("*.png"))
    return np.stack([
        [read(file), *(read(BENCH / case / views / f"{t:04d}" / f"{v}.png") for v in range(6))]
        for t, file in enumerate(fronts)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("case", "views", "allowed"),
    [("fox_run", "multiview", 0), ("fox_run", "multiview_noisy", 2),
     ("robot_dance", "multiview", 6), ("minions", "multiview", 0)],
)  # fmt: skip
def test_good_views_of_moving_objects_are_hardly_flagged(case, views, allowed):
    assert len(flags(bench(case, views))) <= allowed


def test_bad_views_of_a_real_clip_are_flagged():
    good = bench("minions")
    mistakes = {
        (2, 1): good[2, 4],  # another view's picture
        (9, 3): good[9, 3][:, ::-1],  # mirrored
        (15, 6): np.zeros_like(good[0, 0]),
        (20, 2): good[20, 2][..., [2, 0, 1, 3]],  # other colours
        (31, 5): good[31, 2],
    }
    bad = good.copy()
    for place, image in mistakes.items():
        bad[place] = image
    assert places(flags(bad)) == list(mistakes)


def test_views_are_named_as_people_count():
    found = named_views(("1:1", "3:2", "99:1"), frames=4, views=7)
    assert np.argwhere(found).tolist() == [[0, 1], [2, 2]]


@pytest.mark.parametrize("name", ["3", "0:1", "1:0", "1:7", "a:b", "-1:2"])
def test_what_names_no_view_is_refused(name):
    with pytest.raises(UserError, match="names no view"):
        named_views((name,), frames=4, views=7)
