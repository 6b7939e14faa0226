"""Views by the shape prior: cameras, settings, empty frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ds4d.cameras import orbit_cameras, rig_cameras
from ds4d.config import MachineConfig, MultiviewConfig
from ds4d.multiview import choose
from ds4d.multiview.inflate import engine
from ds4d.multiview.inflate.colors import front_colors, side_colors, without_islands
from ds4d.multiview.inflate.model import describe
from ds4d.multiview.shape_prior.inference import Told
from ds4d.multiview.shape_prior.network import slant_bins
from ds4d.multiview.shape_prior.weights import fingerprint
from tests.stages import finished

SIZE = 96
FRONT = orbit_cameras([0.0], size=SIZE)


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
    events, views = finished(engine.run(frames, orbit_cameras([0.0], size=frames.shape[1]), size))
    return views, events


def test_no_colour_of_the_old_background_survives():
    frame = painted(disc(30), (60, 30, 20))
    edge = disc(30) & ~disc(29)
    frame[edge, :3] = 255  # a white fringe
    colors = front_colors(frame.astype(np.float32) / 255)
    assert colors[disc(30)].max() < 0.3


def test_steep_parts_of_the_front_have_hidden_colours():
    front, back = np.ones((64, 64, 3)), np.zeros((64, 64, 3))
    depths = np.zeros((64, 64))
    depths[:, 32:] = np.arange(32) * 5 / 64  # five times as deep as wide
    colors = side_colors(front, back, depths)
    assert colors[:, :30].min() == 1 and colors[:, 34:].max() < 0.1


def test_the_views_are_upright():
    mask = disc(40) & (np.indices((SIZE, SIZE))[0] < 48)
    views, _ = views_of(painted(mask)[None])
    for view in views.images[0]:
        rows = np.nonzero(view[..., 3] > 127)[0]
        assert rows.mean() < 48


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
    _, views = finished(engine.run(painted(disc(20))[None], front, SIZE))
    torch.testing.assert_close(views.cameras.centres().norm(dim=1), torch.full((7,), 1.1))
    torch.testing.assert_close(views.cameras.Ks, front.Ks.expand(7, 3, 3))
    assert (views.images[0, ..., 3] > 127).sum((1, 2)).min() > 500


def test_the_views_are_deterministic():
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
    stage = engine.run(frames, FRONT, SIZE)
    next(stage)
    next(stage)
    stage.close()
    with pytest.raises(StopIteration):
        next(stage)


def test_a_given_slant_is_used():
    mask = np.zeros((SIZE, SIZE), bool)
    mask[44:52, 16:80] = True
    stage = engine.run(painted(mask)[None], FRONT, SIZE, slant=30.0)
    _, views = finished(stage)
    broad, thin = views.images[0, [1, 6], ..., 3] > 127  # azimuths 30 and 330
    assert np.ptp(np.nonzero(broad)[1]) > 1.5 * np.ptp(np.nonzero(thin)[1])


def test_a_doubtful_slant_is_said_to_be_one():
    insides = np.ones((2, 4, 4), bool)
    maps = np.zeros((2, 4, 4))
    bins = slant_bins().numpy()
    sure = np.tile(np.eye(len(bins))[-5], (2, 1))
    torn = 0.6 * sure + 0.4 * sure[:, ::-1]
    told = [Told(maps, maps, maps, maps, np.full(2, bins[-5]), c) for c in (sure, torn)]
    said = [describe(each, insides) for each in told]
    assert all("right side is assumed to be farther away, by 52 degrees" in s for s in said)
    assert "other way round" in said[1] and "other way round" not in said[0]
    flat = Told(maps, maps, maps, maps, np.zeros(2), torn)
    assert "parallel" in describe(flat, insides)


def test_depth_scales_the_thickness_and_nothing_else():
    widths = []
    for depth in (0.5, 1.0):
        _, views = finished(engine.run(painted(disc(30))[None], FRONT, SIZE, depth=depth))
        shown = views.images[0, [0, 2], ..., 3] > 127  # the front, and azimuth 90
        widths.append([np.ptp(np.nonzero(view)[1]) for view in shown])
    (front, flat), (same, round_) = widths
    assert front == same
    assert flat == pytest.approx(0.5 * round_, abs=3)


def test_slant_and_depth_of_the_settings_are_used(tmp_path):
    frames = np.zeros((2, 48, 48, 4), np.uint8)
    frames[:, 12:36, 8:40] = (200, 90, 40, 255)

    def sides(**chosen):
        config = MultiviewConfig(engine="inflate", **chosen)
        machine = MachineConfig(device="cpu")
        chosen_engine = choose(config, machine, tmp_path, None, 0, lambda frames: None)
        return finished(chosen_engine.run(frames, 48))[1].images[0, 1:, ..., 3]

    plain, thick, slanted = sides(slant=0.0), sides(slant=0.0, depth=1.6), sides(slant=25.0)
    assert (thick > 127).sum() > 1.05 * (plain > 127).sum()
    assert (slanted != plain).any()


def test_the_weights_are_in_the_key_of_the_views(tmp_path):
    machine = MachineConfig(device="cpu")
    chosen = choose(MultiviewConfig(engine="inflate"), machine, tmp_path, None, 0, lambda _: None)
    assert any(fingerprint() in str(part) for part in chosen.key)
    assert len(fingerprint()) == 16


def test_no_second_face_is_on_the_back():
    inside = disc(40)
    rows, columns = np.indices(inside.shape)
    colors = np.where(rows[..., None] < 60, [0.9, 0.8, 0.7], [0.2, 0.3, 0.8]).astype(np.float32)
    with_eyes = colors.copy()
    for column in (36, 60):
        with_eyes[(rows - 40) ** 2 + (columns - column) ** 2 < 25] = (0.1, 0.2, 0.1)
    found = without_islands(with_eyes, inside)
    away = inside & (np.abs(rows - 60) > 6)
    assert np.abs(found - colors)[away].max() < 0.05
    assert np.array_equal(without_islands(colors, np.zeros_like(inside)), colors)


def test_a_belly_leaves_the_back_in_one_of_the_bodys_colors():
    """Not in a mixture of the body's blue and the red of a scarf."""
    inside = disc(40)
    rows, columns = np.indices(inside.shape)
    colors = np.broadcast_to([0.2, 0.3, 0.8], (*inside.shape, 3)).astype(np.float32)
    colors[(rows > 28) & (rows < 36)] = (0.9, 0.1, 0.1)
    belly = (rows - 60) ** 2 + (columns - 48) ** 2 < 14**2
    with_belly = np.where(belly[..., None], np.float32(0.9), colors)
    found = without_islands(with_belly, inside)
    assert np.abs(found - colors)[belly].max() < 0.06
    assert np.abs(found - colors)[inside & (rows == 32)].max() < 0.06
