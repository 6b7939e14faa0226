"""Inflation of a silhouette to a closed surface of small opaque Gaussians."""

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
from .mid_surface import adjacency, factorize

FOOTPRINT = 0.55  # standard deviation of a Gaussian, pixels: neighbours overlap without holes
INSET = 0.95  # pixels from the silhouette's edge to the outermost Gaussians' means
OPACITY = 0.99  # the rasterizer clamps alphas to this value
# Of a flat base, chosen on the bundled clips:
BASE_HEIGHT = 0.03  # above the lowest point, fraction of the image
BASE_SLOPE = 0.5  # steepest slope of the outline
BASE_WIDTH = 0.8  # of the width of the part above it
CURVATURE_SIGMA = 0.02  # standard deviation of the smoothing of curvature, fraction of the image


def surface_splats(
    inside: np.ndarray,  # [G, G] bool, the silhouette
    front: np.ndarray,  # [G, G, 3] colours of the frame
    regional: np.ndarray,  # [LEVELS, G * G, 3] colours of hidden parts
    half: np.ndarray,  # [G, G] half thickness, pixels
    middle: np.ndarray,  # [G, G] depth of the mid-surface along the optical axis, world units
    camera: Cameras,  # the front camera at G x G
) -> Splats:
    """Sample the front and the back as depth maps on the frame's pixel rays.

    Depth steps, and the silhouette, are filled along the ray with the colour of the nearer end, so
    that the surface has no holes from any side.
    """
    focal = float(camera.Ks[0, 0, 0])
    pixel_size = float(camera.centres().norm()) / focal  # at the target, world units
    middle_pixels = middle / pixel_size
    front_height, front_pixels = _sample_side(
        half - middle_pixels, -half - middle_pixels, -middle_pixels, inside
    )
    back_height, back_pixels = _sample_side(
        half + middle_pixels, -half + middle_pixels, middle_pixels, inside
    )
    front_height += middle_pixels.ravel()[front_pixels]  # from here on over the mid-surface
    back_height -= middle_pixels.ravel()[back_pixels]
    share = np.clip(front_height / half.ravel()[front_pixels], 0, 1)
    colors = [
        front_side(front, regional, front_pixels, share),
        back_side(regional, back_pixels, np.maximum(back_height, 0) / camera.width),
    ]
    pixels = np.concatenate([front_pixels, back_pixels])
    depth = middle.ravel()[pixels]
    offset = np.concatenate([-front_height, back_height]) * pixel_size
    scales = torch.from_numpy((FOOTPRINT * depth / focal).astype(np.float32))
    return Splats(
        unproject(pixel_positions(inside).reshape(-1, 2)[pixels], depth, offset, camera),
        torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(pixels), 4),
        scales[:, None].expand(-1, 3),
        torch.full((len(pixels),), OPACITY),
        torch.from_numpy(np.concatenate(colors)).float(),
    )


def half_thickness(inside: np.ndarray) -> np.ndarray:
    """Poisson inflation of a silhouette [H, W] bool: half the thickness, pixels, [H, W].

    Solves Laplace h = -1 inside, h = 0 outside. sqrt(4 h) turns a disc into a sphere, but a strip
    into an elliptic bar; sqrt(2 h) turns a strip into a round one. The determinant of h's second
    derivatives is 1/4 in a disc and 0 in a strip, so sqrt((2 + 8 det) h) makes both round, and a
    figure's neck, limbs and trunk keep their own girths. A flat base is a mirror boundary: an
    object that stands on one, such as a pot, is as thick there as above.
    """
    count = int(inside.sum())
    if count == 0:
        return np.zeros(inside.shape)
    sides = 4 - flat_base(inside)[inside].astype(float)
    system = (sparse.diags_array(sides) - adjacency(inside)).tocsc()
    h = np.zeros(inside.shape)
    h[inside] = factorize(system).solve(np.ones(count))
    return np.sqrt((2 + 8 * _curvature(h, inside)) * h)


def flat_base(inside: np.ndarray) -> np.ndarray:
    """Mask [H, W] of the pixels that form the flat base of a silhouette [H, W] bool.

    A base is a level stretch of the lower outline, nearly as wide as the part above it, with no
    lower part of the figure beside it: a sole or the bottom of a pot, but not that of a ball.
    """
    height, width = inside.shape
    base = np.zeros(inside.shape, bool)
    columns = np.flatnonzero(inside.any(0))
    if len(columns) == 0:
        return base
    bottom = np.where(inside.any(0), height - 1 - inside[::-1].argmax(0), -height)
    lowest = bottom.max()
    reach, above = max(2, width // 85), max(3, height // 32)
    level = np.zeros(width, bool)
    for shift in (-reach, reach):
        level |= np.abs(np.roll(bottom, shift) - bottom) <= BASE_SLOPE * reach
    level &= bottom > lowest - BASE_HEIGHT * height
    stretches, count = label(level)
    for stretch in range(1, count + 1):
        columns = np.flatnonzero(stretches == stretch)
        row = inside[int(np.median(bottom[columns])) - above]
        segments, _ = label(row)
        parts = np.unique(segments[columns][row[columns]])
        width_above = np.isin(segments, parts[parts > 0]).sum()
        if width_above and len(columns) > BASE_WIDTH * width_above:
            base[bottom[columns], columns] = True
    return base


def _curvature(h: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Determinant of the second derivatives of h [H, W], smoothed, in [0, 1/4]."""
    (yy, xy), (_, xx) = (np.gradient(slope) for slope in np.gradient(h))
    # Derivatives across the silhouette's edge are invalid; h is largest where they are reliable.
    weight = (h * binary_erosion(inside, iterations=2)).astype(np.float32)
    sigma = CURVATURE_SIGMA * len(h)
    total = cv2.GaussianBlur(weight * (yy * xx - xy**2).astype(np.float32), (0, 0), sigma)
    return np.clip(total / (cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-6), 0, 0.25)


def _sample_side(
    surface: np.ndarray,  # [G, G] height of the surface towards its viewer, pixels
    lowest: np.ndarray,  # [G, G] height of the opposite surface
    rim: np.ndarray,  # [G, G] height of the mid-surface
    inside: np.ndarray,  # [G, G] bool
) -> tuple[np.ndarray, np.ndarray]:
    """Sample one side: heights [M], pixels, and flat pixel indices [M].

    Below each pixel's sample there are further ones, a pixel apart, down to the lowest of its four
    neighbours (to the mid-surface at the silhouette): steps get walls, and slopes have no gaps.
    """
    padded = np.pad(np.where(inside, surface, np.inf), 1, constant_values=np.inf)
    adjacent = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
    adjacent = np.where(np.isfinite(adjacent), adjacent, rim).min(0)
    drop = surface - np.maximum(adjacent, lowest)
    steps = np.maximum(np.ceil(drop + 0.5)[inside].astype(int), 1)
    pixels = np.repeat(np.flatnonzero(inside), steps)
    step = np.arange(len(pixels)) - np.repeat(np.cumsum(steps) - steps, steps)
    bottom = np.minimum(np.maximum(adjacent, lowest), surface).ravel()[pixels]
    return np.maximum(surface.ravel()[pixels] - step, bottom), pixels


def pixel_positions(inside: np.ndarray) -> np.ndarray:
    """Image coordinates (column, row) [G, G, 2] of the Gaussians: pixel centres, inset at the rim.

    Gaussians extend beyond their means; with the inset, the silhouette keeps its size.
    """
    edge = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    inward = np.stack(np.gradient(edge)[::-1], -1)  # (x, y)
    rows, columns = np.indices(inside.shape) + 0.5
    shift = INSET * np.clip((3 - edge) / 2, 0, 1)
    return np.stack([columns, rows], -1) + shift[..., None] * inward


def unproject(
    pixels: np.ndarray,  # [M, 2] columns and rows
    middle: np.ndarray,  # [M] depths of the mid-surface along the optical axis
    offset: np.ndarray,  # [M] beyond the mid-surface, world units
    camera: Cameras,
) -> Tensor:
    """World points [M, 3]: on the pixels' rays in front of the mid-surface, where they are seen.

    Behind it they continue parallel to the optical axis: along the diverging rays the back would
    grow.
    """
    homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], 1)
    rays = homogeneous @ np.linalg.inv(camera.Ks[0].double().numpy()).T
    points = rays * (middle + np.minimum(offset, 0))[:, None]
    points[:, 2] = middle + offset
    viewmat = camera.viewmats[0].double().numpy()
    return torch.from_numpy(((points - viewmat[:3, 3]) @ viewmat[:3, :3]).astype(np.float32))
