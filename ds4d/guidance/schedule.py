"""Random cameras, references and noise levels of score distillation, by step.

The numbers are those of STAG4D, on whose distillation DS4D builds. Angles are in our convention
(cameras.py), in degrees; Zero123's own polar angle grows downwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..cameras import Cameras, orbit_cameras

MAX_ELEVATION = 30  # degrees above and below
FRONT_AZIMUTH = 30.0  # nearer to the front than this, the front frame is always the reference
FRONT_SHARE = 0.6  # elsewhere, the probability that it is
ANNEALING_STEPS = 3000  # after which the noise levels stay
FIRST_LEVELS, LAST_LEVELS = (0.5, 0.95), (0.02, 0.5)  # range of timesteps, shares of 1000
SMALL, MIDDLE, LARGE = 128, 256, 512  # pixels of the renders,
SMALL_UNTIL, MIDDLE_UNTIL = 600, 1200  # until these steps


@dataclass(frozen=True)
class RandomViews:
    """Random cameras around the object, with backgrounds."""

    cameras: Cameras  # B
    azimuths: Tensor  # [B] degrees in [-180, 180)
    elevations: Tensor  # [B] degrees in [-30, 30), positive = from above
    backgrounds: Tensor  # [B, 3] white or black, so that neither is learned


def sample_views(
    count: int,
    size: int,  # pixels
    generator: torch.Generator,  # on the CPU
) -> RandomViews:
    """Sample cameras in whole degrees, uniformly."""
    azimuths = torch.randint(-180, 180, (count,), generator=generator)
    elevations = torch.randint(-MAX_ELEVATION, MAX_ELEVATION, (count,), generator=generator)
    white = (torch.rand(count, 1, generator=generator) > 0.5).float().expand(count, 3)
    cameras = orbit_cameras(azimuths, elevations, size=size)
    return RandomViews(cameras, azimuths.float(), elevations.float(), white)


def render_size(step: int) -> int:
    """Pixels along a side of the renders: coarse shapes first."""
    return SMALL if step < SMALL_UNTIL else MIDDLE if step < MIDDLE_UNTIL else LARGE


def timestep_range(step: int) -> tuple[int, int]:
    """Least and largest timestep, both included, falling over the first 3000 steps."""
    done = min(max(step / ANNEALING_STEPS, 0.0), 1.0)
    low, high = (
        first + (last - first) * done for first, last in zip(FIRST_LEVELS, LAST_LEVELS, strict=True)
    )
    return int(1000 * low), int(1000 * high)


def view_angles(cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Azimuths and elevations [C] of cameras that look at the origin, degrees."""
    x, y, z = cameras.centres().double().unbind(-1)
    elevations = torch.atan2(z, torch.hypot(x, y))
    return torch.rad2deg(torch.atan2(x, -y)), torch.rad2deg(elevations)


def wrap(degrees: Tensor) -> Tensor:
    """Angles in degrees wrapped to [-180, 180)."""
    return (degrees + 180) % 360 - 180


def choose_references(
    azimuths: Tensor,  # [B] degrees, of the renders
    view_azimuths: Tensor,  # [V] degrees, of the reference images; 0 = front
    generator: torch.Generator,  # on the CPU
) -> Tensor:  # [B] view indices
    """Choose the reference image of each render: the front, or the view nearest in azimuth.

    Of two views that are equally near, the one at the larger azimuth is taken: with the six views
    of Zero123++ that is index 1 + (azimuth mod 360) // 60.
    """
    difference = wrap(view_azimuths[1:, None] - azimuths)  # [V - 1, B]
    nearest = 1 + (difference.abs() - 1e-3 * (difference > 0)).argmin(0)
    front = wrap(azimuths).abs() < FRONT_AZIMUTH
    front |= torch.rand(len(azimuths), generator=generator) < FRONT_SHARE
    return torch.where(front, 0, nearest)


def camera_vector(
    azimuths: Tensor,  # [B] degrees, of the renders
    elevations: Tensor,  # [B] degrees, of the renders, positive = from above
    reference_azimuths: Tensor,  # [B] degrees
    reference_elevations: Tensor,  # [B] degrees
    stable: bool,
) -> Tensor:  # [B, 4] float32
    """Relative cameras in Zero123's parametrisation.

    The change of the polar angle (which grows downwards: a render from further above has a
    negative one), sine and cosine of the change of azimuth, and the change of radius, which is
    none here. Stable Zero123 has the reference's polar angle in the last place.
    """
    polar = torch.deg2rad(reference_elevations - elevations)
    azimuth = torch.deg2rad(azimuths - reference_azimuths)
    last = torch.deg2rad(90 - reference_elevations) if stable else torch.zeros_like(polar)
    return torch.stack([polar, azimuth.sin(), azimuth.cos(), last], -1).float()
