from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_fill_holes

from ds4d.cameras import FOV_DEG, RADIUS, orbit_cameras, project, rig_cameras
from ds4d.multiview import inflate
from ds4d.multiview.ground import Slant, estimate_slant
from ds4d.multiview.shell import half_thickness, shell
from ds4d.multiview.texture import cast_votes, front_colors, palette, regional_colors
from ds4d.splat import Splats
from tests.stages import finished

SIZE = 96
FRONT = orbit_cameras([0.0], size=SIZE)
FOCAL = float(FRONT.Ks[0, 0, 0])
FLAT = Slant(0.0, 0.0, 0.0)


def disc(radius: float, size: int = SIZE) -> np.ndarray:
    rows, columns = np.indices((size, size)) + 0.5 - size / 2
    return np.hypot(rows, columns) < radius


def painted(mask: np.ndarray, color=(200, 120, 40)) -> np.ndarray:
    """One RGBA frame [S, S, 4] of one colour; what lies outside the matte is white."""
    frame = np.full((*mask.shape, 4), 255, np.uint8)
    frame[mask, :3] = color
    frame[..., 3] = 255 * mask
    return frame


def views_of(frames: np.ndarray, size: int = SIZE):
    events, views = finished(inflate.run(frames, orbit_cameras([0.0], size=frames.shape[1]), size))
    return views, events


def shelled(frame: np.ndarray, slant: Slant) -> Splats:
    small = frame.astype(np.float32) / 255
    front, inside, colors = front_colors(small), small[..., 3] > 0.5, palette(small[None])
    votes = cast_votes(front[None], inside[None], colors)
    hidden = regional_colors(votes[:, 0], colors, SIZE)
    middle = np.tile(slant.depths(SIZE, FOCAL, RADIUS), (SIZE, 1))
    return shell(inside, front, hidden, half_thickness(inside), middle, FRONT)


def drawn(frame: np.ndarray, azimuths, slant: Slant = FLAT) -> np.ndarray:
    return inflate.draw(shelled(frame, slant), orbit_cameras(azimuths, size=SIZE))[0]


def hopping(slope: float, frames: int = 12, drop: float = 0.0) -> np.ndarray:
    """Alphas of a body on four legs that walks in place, standing along depth = slope * x.

    In turn two legs stand on the floor and two are lifted; `drop` lifts the whole animal by a
    random part of it, so that nothing stays on a floor.
    """
    size, random = 256, np.random.default_rng(0)
    focal = size / 2 / math.tan(math.radians(FOV_DEG / 2))
    alphas = np.zeros((frames, size, size), np.float32)
    for index in range(frames):
        height = random.uniform(0, drop)
        for leg, x in enumerate((-0.3, -0.2, 0.2, 0.3)):
            x = x + random.uniform(-0.03, 0.03)
            lift = 0.04 * random.random() * ((leg + index) % 2)
            depth = RADIUS + slope * x
            column = size / 2 + focal * x / depth
            foot = size / 2 + focal * (0.22 - lift - height) / depth
            alphas[index, 128 : int(foot), int(column) - 3 : int(column) + 4] = 1
            # the matte's last row is covered in part
            alphas[index, int(foot), int(column) - 3 : int(column) + 4] = foot % 1
        alphas[index, 100:140, 50:206] = 1
    return alphas


def test_a_disc_becomes_a_sphere():
    radius = 30
    half = half_thickness(disc(radius))
    rows, columns = np.indices(half.shape) + 0.5 - SIZE / 2
    expected = np.sqrt(np.maximum(radius**2 - rows**2 - columns**2, 0))
    assert np.abs(half - expected)[disc(radius - 2)].max() < 0.05 * radius


def test_a_strip_becomes_a_round_bar():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, 38:58] = True
    half = half_thickness(mask)
    across = np.arange(38, 58) + 0.5 - SIZE / 2
    expected = np.sqrt(10.5**2 - across**2)  # h is zero half a pixel outside
    assert np.abs(half[SIZE // 2, 38:58] - expected)[2:-2].max() < 0.5


def test_a_sphere_looks_the_same_from_every_side():
    views = drawn(painted(disc(30)), [0, 45, 90, 200])
    areas = (views[..., 3] > 127).sum((1, 2))
    assert areas.max() < 1.12 * areas.min()


def test_the_front_reproduces_silhouette_and_colours():
    mask = disc(24)
    mask[40:56, 10:90] = True  # arms
    mask[70:90, 45:49] = True  # a thin leg
    frame = painted(mask)
    frame[:, 48:][mask[:, 48:]] = (30, 60, 200, 255)
    view = drawn(frame, [0.0], Slant(0.4, 0.0, 1.0))[0]
    shown = view[..., 3] > 127
    assert (shown & mask).sum() / (shown | mask).sum() > 0.97
    away = mask.copy()
    away[:, 46:50] = False  # the colours' border
    error = np.abs(view[..., :3].astype(int) - frame[..., :3])[away & shown]
    assert error.mean() < 6


def test_the_camera_at_positive_azimuth_sees_the_right_side():
    frame = painted(disc(30), (220, 30, 30))
    frame[:, 48:][disc(30)[:, 48:]] = (30, 30, 220, 255)
    right, left = drawn(frame, [90.0, -90.0])
    for view, channel in ((right, 2), (left, 0)):
        colors = view[view[..., 3] > 127][:, :3].astype(int)
        assert (colors[:, channel] > 150).mean() > 0.9


def test_the_views_are_upright():
    mask = disc(40) & (np.indices((SIZE, SIZE))[0] < 48)
    views, _ = views_of(painted(mask)[None])
    for view in views.images[0]:
        rows = np.nonzero(view[..., 3] > 127)[0]
        assert rows.mean() < 48


def test_the_back_shows_no_mark_of_the_front():
    frame = painted(disc(34), (180, 120, 60))
    frame[40:50, 36:46, :3] = 255
    frame[40:50, 54:64, :3] = 255
    front, back = drawn(frame, [0.0, 180.0])
    assert front[45, 41, :3].min() > 230
    solid = back[back[..., 3] > 250][:, :3].astype(int)
    assert np.abs(solid - (180, 120, 60)).max() < 40


def test_no_colour_of_the_old_background_survives():
    frame = painted(disc(30), (60, 30, 20))
    edge = disc(30) & ~disc(29)
    frame[edge, :3] = 255  # a white fringe
    for view in drawn(frame, [0, 60, 120, 180]):
        assert view[view[..., 3] > 127][:, :3].max() < 120


def test_the_shell_has_no_holes_and_stays_on_its_rays():
    mask = disc(20)
    mask[30:66, 20:76] = True
    splats = shelled(painted(mask), Slant(-0.5, 0.0, 1.0))
    cameras = orbit_cameras([30, 90, 150, 270], [20, -10, 20, 10], size=SIZE)
    views, _ = inflate.draw(splats, cameras)
    for view in views:
        solid = view[..., 3] > 127
        assert not (binary_fill_holes(solid) & ~solid).any()
    pixels, _ = project(splats.means, FRONT)
    columns, rows = pixels[0].floor().long().numpy().T
    assert mask[rows, columns].all()


@pytest.mark.parametrize("slope", [-0.5, 0.0, 0.5])
def test_the_slant_is_read_from_feet_on_the_floor(slope):
    alphas = hopping(slope)
    found = estimate_slant(alphas, 128 / math.tan(math.radians(15)), RADIUS)
    assert found.slope == pytest.approx(slope, abs=0.2)
    assert abs(found.slope) <= abs(slope) + 0.05
    assert found.confidence > 0.6 or slope == 0  # it may be the symmetry that says so


def test_there_is_no_slant_without_evidence():
    focal = 128 / math.tan(math.radians(15))
    ball = np.repeat(disc(80, 256)[None], 6, 0).astype(np.float32)
    assert abs(estimate_slant(ball, focal, RADIUS).slope) < 0.05
    one_legged = np.zeros((6, 256, 256), np.float32)
    one_legged[:, 60:200, 120:136] = 1
    one_legged[:, 200, 120:126] = 1  # its sole is not even
    assert abs(estimate_slant(one_legged, focal, RADIUS).slope) < 0.1
    assert abs(estimate_slant(hopping(0.0, drop=0.15), focal, RADIUS).slope) < 0.2


def test_a_slanted_object_turns_its_broad_side():
    """What stands along depth = x shows its full width at azimuth 45 and its edge at -45."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[44:52, 16:80] = True
    broad, thin = drawn(painted(mask), [45.0, -45.0], Slant(1.0, 0.0, 1.0))[..., 3] > 127
    assert np.ptp(np.nonzero(broad)[1]) > 2.5 * np.ptp(np.nonzero(thin)[1])


def test_run_returns_the_input_and_six_views():
    frames = np.stack([painted(disc(r)) for r in (20, 24, 28)])
    views, events = views_of(frames, size=64)
    assert views.images.shape == (3, 7, 64, 64, 4) and views.images.dtype == np.uint8
    rig = rig_cameras(64)
    torch.testing.assert_close(views.cameras.viewmats, rig.viewmats)
    torch.testing.assert_close(views.cameras.Ks, rig.Ks)
    same, _ = views_of(frames)
    visible = frames[..., 3] > 0
    np.testing.assert_array_equal(same.images[:, 0][visible], frames[visible])
    assert (events[-1].step, events[-1].total) == (3, 3)
    assert events[-1].preview.shape == (128, 192, 3)


def test_the_front_cameras_distance_and_field_of_view_are_kept():
    front = orbit_cameras([0.0], size=SIZE, radius=1.1, fov_deg=49.0)
    _, views = finished(inflate.run(painted(disc(20))[None], front, SIZE))
    torch.testing.assert_close(views.cameras.centres().norm(dim=1), torch.full((7,), 1.1))
    torch.testing.assert_close(views.cameras.Ks, front.Ks.expand(7, 3, 3))
    areas = (views.images[0, ..., 3] > 127).sum((1, 2))
    assert areas.max() < 1.15 * areas.min()


def test_it_is_deterministic():
    frames = np.stack([painted(disc(20)), painted(disc(25))])
    frames[..., :3] ^= np.random.default_rng(0).integers(0, 32, frames[..., :3].shape, np.uint8)
    np.testing.assert_array_equal(views_of(frames)[0].images, views_of(frames)[0].images)


def test_an_empty_matte_gives_transparent_views():
    frames = np.stack([painted(disc(20)), painted(disc(0)), painted(disc(22))])
    views, _ = views_of(frames)
    assert views.images[1, ..., 3].max() == 0
    assert views.images[2, 1:, ..., 3].max() == 255
    views, _ = views_of(frames[1:2])
    assert views.images[..., 3].max() == 0


def test_closing_the_stage_stops_it():
    frames = np.repeat(painted(disc(20))[None], 3, 0)
    stage = inflate.run(frames, FRONT, SIZE)
    next(stage)
    next(stage)
    stage.close()
    with pytest.raises(StopIteration):
        next(stage)
