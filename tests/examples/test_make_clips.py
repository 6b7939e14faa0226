from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d.cameras import FOV_DEG, RADIUS, orbit_cameras, project
from examples import tracer
from examples.make_clips import CLIPS, OBJECTS, make, render
from examples.parts import ball, eye, mapped, mirrored, moved, turn

SIZE = 48
FRONT = orbit_cameras([0.0], size=SIZE)


def front(title: str, time: float) -> np.ndarray:
    return render(title, time, FRONT, samples=1)[0].astype(int)


def extent(image: np.ndarray) -> tuple[int, int, int, int]:
    """First and last occupied row and column."""
    rows, columns = (np.flatnonzero((image[..., 3] > 0).any(axis)) for axis in (1, 0))
    return rows[0], rows[-1], columns[0], columns[-1]


@pytest.mark.parametrize("title", OBJECTS)
def test_the_object_stays_inside_its_frame_and_moves(title):
    cameras = orbit_cameras([0.0, 70.0, 200.0], size=SIZE)
    images = np.stack([render(title, k / 6, cameras, samples=1) for k in range(6)])
    alpha = images[..., 3]
    assert alpha[:, :, 1:-1, 1:-1].max() == 255
    border = alpha.copy()
    border[:, :, 1:-1, 1:-1] = 0
    assert border.max() == 0
    assert ((alpha > 0).mean(axis=(2, 3)) > 0.1).all()
    change = np.abs(np.diff(images[:, 0].astype(int), axis=0)).max(axis=-1) > 40
    assert (change.mean(axis=(1, 2)) > 0.01).all()


@pytest.mark.parametrize("title", OBJECTS)
def test_the_last_frame_leads_back_to_the_first(title):
    frames = OBJECTS[title].frames
    start = front(title, 0.0)
    assert np.abs(front(title, 1 - 1e-5) - start).mean() < 0.5
    before = np.abs(front(title, 1 - 1 / frames) - start).mean()
    steps = [k / frames for k in range(0, frames + 1, 4)]
    moves = [np.abs(front(title, t + 1 / frames) - front(title, t)).mean() for t in steps]
    assert before < 1.5 * max(moves)


def test_the_windmill_changes_only_around_its_sails():
    images = np.stack([front("windmill", k / 8) for k in range(8)])
    changed = (np.ptp(images, axis=0) > 24).any(axis=-1)
    assert 0.02 < changed.mean() < 0.25  # of the frame, over the whole clip
    assert not changed[int(0.75 * SIZE) :].any()  # door, garden and sheep stand still


def test_pictures_repeat_exactly_and_time_is_periodic():
    first = render("octopus", 0.3, FRONT)
    assert np.array_equal(first, render("octopus", 0.3, FRONT))
    assert np.array_equal(first, render("octopus", 1.3, FRONT))


def test_front_and_back_silhouettes_mirror_each_other():
    ahead, behind = render("cactus", 0.27, orbit_cameras([0.0, 180.0], size=SIZE), samples=1)
    top, bottom, left, right = extent(ahead)
    assert abs((left + right) - (SIZE - 1)) > 4  # it leans, so that a missing flip would show
    flipped = (top, bottom, SIZE - 1 - right, SIZE - 1 - left)
    assert np.abs(np.subtract(flipped, extent(behind))).max() <= 1  # perspective differs a little


def test_a_ball_is_drawn_where_the_cameras_see_it_and_as_large():
    centre, radius = (0.2, -0.1, 0.15), 0.1
    cameras = orbit_cameras([0.0, 90.0, 215.0], [0.0, 20.0, -10.0], size=96)
    images = tracer.render([ball(centre, radius)], cameras, samples=2)
    pixels, depths = project(torch.tensor([centre]), cameras)
    focal = 48 / np.tan(np.radians(FOV_DEG / 2))
    for image, pixel, depth in zip(images, pixels[:, 0].numpy(), depths[:, 0], strict=True):
        cover = image[..., 3] / 255
        y, x = np.mgrid[:96, :96] + 0.5
        seen = np.array([(x * cover).sum(), (y * cover).sum()]) / cover.sum()
        assert np.abs(seen - pixel).max() < 0.5
        expected = np.pi * (focal * radius / float(depth)) ** 2
        assert cover.sum() == pytest.approx(expected, rel=0.06)
    assert RADIUS - 0.3 < float(depths.min()) < RADIUS + 0.3


def test_leaving_out_distant_parts_does_not_change_the_distance_near_a_surface():
    table = tracer.pack(OBJECTS["octopus"].parts(0.2))
    everything, near = np.arange(len(table)), np.arange(len(table))
    fewest = len(table)
    for point in np.random.default_rng(3).uniform(-0.4, 0.4, (400, 3)):
        whole = tracer.distance(table, everything, len(table), *point)
        count = tracer.around(table, near, *point, 0.1)
        some = tracer.distance(table, near, count, *point)
        fewest = min(fewest, count)
        assert some == pytest.approx(whole, abs=1e-5) if whole < 0.05 else some > 0.04
    assert fewest < len(table) / 4


def test_maps_of_parts_compose_as_maps_of_space():
    parts = eye((0.1, -0.2, 0.3), 0.05, (10, 5), "#3060c0")
    about = (0.1, 0.0, -0.2)
    there = mapped(moved(parts, (0.1, 0, 0)), turn("z", 40), about)
    back = moved(mapped(there, turn("z", -40), about), (-0.1, 0, 0))
    assert np.allclose(tracer.pack(back), tracer.pack(parts), atol=1e-6)
    right, left = mirrored([ball((0.3, 0, 0), 0.1)])
    assert np.allclose(right.centre, (0.3, 0, 0)) and np.allclose(left.centre, (-0.3, 0, 0))


@pytest.mark.parametrize("title", OBJECTS)
def test_the_bundled_clip_can_be_read(title):
    frames = np.stack(list(iio.imiter(CLIPS / OBJECTS[title].file)))
    assert len(frames) == OBJECTS[title].frames >= 24
    assert frames.shape[1:3] == (512, 512)
    assert frames.shape[3] == (4 if OBJECTS[title].backdrop is None else 3)
    steps = np.abs(np.diff(frames[:, ::8, ::8].astype(int), axis=0)).max(axis=(1, 2, 3))
    assert (steps > 20).all()  # no frame is held


def test_the_bundled_clips_are_small():
    assert sum((CLIPS / clip.file).stat().st_size for clip in OBJECTS.values()) < 3_000_000


def test_a_clip_is_written_with_its_alpha(tmp_path):
    path = make("octopus", tmp_path, size=32, samples=1)
    frames = np.stack(list(iio.imiter(path)))
    assert frames.shape == (OBJECTS["octopus"].frames, 32, 32, 4)
    drawn = render("octopus", 0.0, FRONT.resized(32, 32), samples=1)[0]
    assert np.array_equal(frames[0][..., 3], drawn[..., 3])
