"""A silhouette inflated: the closed surface of one frame's object, as small opaque Gaussians."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy import sparse
from scipy.ndimage import binary_erosion, distance_transform_edt, label
from torch import Tensor

from ...cameras import Cameras
from ...splatting import Splats
from .colors import back_side, front_side
from .mid_surface import factored, neighbours

FOOTPRINT = 0.55  # standard deviation of a Gaussian, in pixels of the frame
INSET = 0.95  # how far the outermost Gaussians stand inside the silhouette, in pixels
OPACITY = 0.99
BASE = 0.03  # how much higher than the lowest point a base may be, fraction of the image
LEVEL = 0.5  # steepest slope of a base
FLAT = 0.8  # how wide a base is, of what stands on it
SMOOTH = 0.02  # how gradually a figure's parts change from round to long, fraction of the image


def shell(
    inside: np.ndarray,  # [G, G] bool, the silhouette
    front: np.ndarray,  # [G, G, 3] the frame's colours
    regional: np.ndarray,  # [LEVELS, G * G, 3] colours for what it hides
    half: np.ndarray,  # [G, G] half thickness, pixels
    middle: np.ndarray,  # [G, G] depth of the middle surface along the optical axis, world units
    camera: Cameras,  # the front camera at G x G
) -> Splats:
    """The front and the back are depth maps on the frame's own pixel rays.

    Where a depth map steps, and at the silhouette, the step is filled along the ray with the
    colour of its nearer end, so that the shell has no holes from any side.
    """
    focal = float(camera.Ks[0, 0, 0])
    pixel = float(camera.centres().norm()) / focal  # side of a pixel at the target, world units
    rise = middle / pixel
    before, at_front = _sheet(half - rise, -half - rise, -rise, inside)
    behind, at_back = _sheet(half + rise, -half + rise, rise, inside)
    at = np.concatenate([at_front, at_back])
    before += rise.ravel()[at_front]  # now from the middle surface
    behind -= rise.ravel()[at_back]
    share = np.clip(before / half.ravel()[at_front], 0, 1)
    colors = [
        front_side(front, regional, at_front, share),
        back_side(regional, at_back, np.maximum(behind, 0) / camera.width),
    ]
    depth, offset = middle.ravel()[at], np.concatenate([-before, behind]) * pixel
    scales = torch.from_numpy((FOOTPRINT * depth / focal).astype(np.float32))
    return Splats(
        unproject(pixel_positions(inside).reshape(-1, 2)[at], depth, offset, camera),
        torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(at), 4),
        scales[:, None].expand(-1, 3),
        torch.full((len(at),), OPACITY),
        torch.from_numpy(np.concatenate(colors)).float(),
    )


def half_thickness(inside: np.ndarray) -> np.ndarray:
    """Poisson inflation of a silhouette [H, W] bool: half the thickness at each pixel, in pixels.

    Laplace h = -1 inside, h = 0 outside. sqrt(4 h) turns a disc into a sphere, but a strip into
    an elliptic bar; with sqrt(2 h) it is a round one. The determinant of h's second derivatives is
    1/4 in a disc and 0 in a strip, so sqrt((2 + 8 det) h) makes both round, and a figure's neck,
    limbs and trunk keep their own girths. Below a flat base h goes on as if mirrored: what stands
    on a base, as a pot does, is as thick there as above.
    """
    count = int(inside.sum())
    if count == 0:
        return np.zeros(inside.shape)
    sides = 4 - flat_base(inside)[inside].astype(float)
    system = (sparse.diags_array(sides) - neighbours(inside)).tocsc()
    h = np.zeros(inside.shape)
    h[inside] = factored(system).solve(np.ones(count))
    return np.sqrt((2 + 8 * _bend(h, inside)) * h)


def flat_base(inside: np.ndarray) -> np.ndarray:
    """The pixels of a silhouette [H, W] bool, each lowest in its column, that form its base.

    A base is a level stretch of the lower outline that is nearly as wide as what stands on it, and
    no other part of the figure is lower: a sole, a pot's bottom, but not a ball's.
    """
    height, width = inside.shape
    base = np.zeros(inside.shape, bool)
    columns = np.flatnonzero(inside.any(0))
    if len(columns) == 0:
        return base
    bottom = np.where(inside.any(0), height - 1 - inside[::-1].argmax(0), -height)
    floor = bottom.max()
    reach, above = max(2, width // 85), max(3, height // 32)
    level = np.zeros(width, bool)
    for shift in (-reach, reach):
        level |= np.abs(np.roll(bottom, shift) - bottom) <= LEVEL * reach
    level &= bottom > floor - BASE * height
    stretches, count = label(level)
    for stretch in range(1, count + 1):
        at = np.flatnonzero(stretches == stretch)
        row = inside[int(np.median(bottom[at])) - above]
        standing, _ = label(row)
        parts = np.unique(standing[at][row[at]])
        over = np.isin(standing, parts[parts > 0]).sum()
        if over and len(at) > FLAT * over:
            base[bottom[at], at] = True
    return base


def _bend(h: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Determinant of the second derivatives of h [H, W], smoothed, in [0, 1/4]."""
    (yy, xy), (_, xx) = (np.gradient(slope) for slope in np.gradient(h))
    # Derivatives across the silhouette mean nothing; deep inside, h is large and says most.
    weight = (h * binary_erosion(inside, iterations=2)).astype(np.float32)
    sigma = SMOOTH * len(h)
    total = cv2.GaussianBlur(weight * (yy * xx - xy**2).astype(np.float32), (0, 0), sigma)
    return np.clip(total / (cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-6), 0, 0.25)


def _sheet(
    surface: np.ndarray,  # [G, G] height of the surface towards its viewer, pixels
    lowest: np.ndarray,  # [G, G] where the object ends below it
    rim: np.ndarray,  # [G, G] height of the middle surface
    inside: np.ndarray,  # [G, G] bool
) -> tuple[np.ndarray, np.ndarray]:
    """Samples of one side: heights [M], pixels, and flat pixel indices [M].

    Each pixel's sample is followed by more of them below it, one per pixel, down to the lowest of
    its four neighbours (the middle, where it has none): a step has a wall, and a slope no gaps.
    """
    padded = np.pad(np.where(inside, surface, np.inf), 1, constant_values=np.inf)
    around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    around = np.where(np.isfinite(around), around, rim).min(0)
    down = surface - np.maximum(around, lowest)
    steps = np.maximum(np.ceil(down + 0.5)[inside].astype(int), 1)
    at = np.repeat(np.flatnonzero(inside), steps)
    step = np.arange(len(at)) - np.repeat(np.cumsum(steps) - steps, steps)
    bottom = np.minimum(np.maximum(around, lowest), surface).ravel()[at]
    return np.maximum(surface.ravel()[at] - step, bottom), at


def pixel_positions(inside: np.ndarray) -> np.ndarray:
    """Columns and rows [G, G, 2] that the pixels stand for: their centres, but at the rim inwards.

    A Gaussian reaches beyond its centre; drawn from there, the silhouette keeps its size.
    """
    edge = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    inward = np.stack(np.gradient(edge)[::-1], -1)  # (x, y)
    rows, columns = np.indices(inside.shape) + 0.5
    shift = INSET * np.clip((3 - edge) / 2, 0, 1)
    return np.stack([columns, rows], -1) + shift[..., None] * inward


def unproject(
    pixels: np.ndarray,  # [M, 2] columns and rows
    middle: np.ndarray,  # [M] depths along the optical axis
    offset: np.ndarray,  # [M] beyond the middle, world units
    camera: Cameras,
) -> Tensor:
    """World points [M, 3]: before the middle on the pixels' rays, where the camera sees them.

    Behind it the surface goes straight back: along the diverging rays it would grow.
    """
    homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)
    rays = homogeneous @ np.linalg.inv(camera.Ks[0].double().numpy()).T
    points = rays * (middle + np.minimum(offset, 0))[:, None]
    points[:, 2] = middle + offset
    viewmat = camera.viewmats[0].double().numpy()
    return torch.from_numpy(((points - viewmat[:3, 3]) @ viewmat[:3, :3]).astype(np.float32))
