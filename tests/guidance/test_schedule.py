"""Random inputs of score distillation: views, timesteps, references."""

from __future__ import annotations

import math

import pytest
import torch

from ds4d.cameras import ZERO123PLUS_AZIMUTHS, orbit_cameras, rig_cameras
from ds4d.guidance.schedule import (
    camera_vector,
    choose_references,
    render_size,
    sample_views,
    timestep_range,
    view_angles,
)

RIG = torch.tensor([0.0, *ZERO123PLUS_AZIMUTHS])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def degrees(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def test_angles_are_those_that_cameras_were_made_from():
    azimuths, elevations = view_angles(rig_cameras(64))
    assert torch.allclose(azimuths % 360, RIG.double(), atol=1e-4)
    expected = torch.tensor([0.0, 20, -10, 20, -10, 20, -10]).double()
    assert torch.allclose(elevations, expected, atol=1e-4)


def test_shots_stand_where_they_say():
    views = sample_views(200, 32, generator())
    cameras = orbit_cameras(views.azimuths, views.elevations, size=32)
    assert torch.equal(views.cameras.viewmats, cameras.viewmats)
    assert views.azimuths.min() < -150 and views.azimuths.max() > 150
    assert -30 <= views.elevations.min() < -25 and 25 < views.elevations.max() < 30
    # White and black about as often, and nothing between them.
    assert set(views.backgrounds.unique().tolist()) == {0.0, 1.0}
    assert 0.35 < views.backgrounds.mean() < 0.65


def test_noise_falls_and_then_stays():
    assert timestep_range(0) == (500, 950)
    assert timestep_range(1500) == (260, 725)
    assert timestep_range(3000) == (20, 500)
    assert timestep_range(10_000) == (20, 500)


def test_renders_grow():
    assert [render_size(step) for step in (0, 599, 600, 1199, 1200, 7000)] == [
        128, 128, 256, 256, 512, 512,
    ]  # fmt: skip


@pytest.mark.parametrize("azimuth", range(-180, 180, 15))
def test_reference_is_the_front_or_the_published_index(azimuth):
    counts = torch.bincount(
        choose_references(degrees(azimuth).expand(400), RIG, generator()), minlength=7
    )
    if -30 < azimuth < 30:
        assert counts[0] == 400
    else:
        assert 200 < counts[0] < 280  # 0.6 of them
        assert counts[1 + azimuth % 360 // 60] == 400 - counts[0]


def test_reference_is_found_among_cameras_with_rounding():
    """Angles that went through matrices fall on either side of a tie."""
    azimuths, _ = view_angles(rig_cameras(64))
    for azimuth in (60, 120, 180, -180, -120, -60):
        chosen = choose_references(degrees(azimuth).expand(50), azimuths, generator())
        assert set(chosen.tolist()) == {0, 1 + azimuth % 360 // 60}


def test_a_camera_above_and_to_the_right():
    """Zero123's polar angle grows downwards, its azimuth to the right side of the image."""
    vector = camera_vector(degrees(90), degrees(20), degrees(0), degrees(0), stable=False)
    assert torch.allclose(vector, torch.tensor([[-math.radians(20), 1.0, 0.0, 0.0]]), atol=1e-6)
    below = camera_vector(degrees(-90), degrees(-20), degrees(0), degrees(0), stable=False)
    assert torch.allclose(below, torch.tensor([[math.radians(20), -1.0, 0.0, 0.0]]), atol=1e-6)


def test_a_camera_relative_to_a_view():
    """-100 degrees is 10 short of the view at 270, whichever way one goes around."""
    vector = camera_vector(degrees(-100), degrees(5), degrees(270), degrees(-10), stable=False)
    ten = math.radians(-10)
    expected = torch.tensor([[-math.radians(15), math.sin(ten), math.cos(ten), 0.0]])
    assert torch.allclose(vector, expected, atol=1e-6)


def test_stable_zero123_is_reported_the_reference_polar_angle():
    """It grows downwards from straight above: a reference from 20 degrees above is at 70."""
    vector = camera_vector(degrees(30), degrees(0), degrees(30), degrees(20), stable=True)
    expected = torch.tensor([[math.radians(20), 0.0, 1.0, math.radians(70)]])
    assert torch.allclose(vector, expected, atol=1e-6)
