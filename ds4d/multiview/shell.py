"""A silhouette inflated: the closed surface of one frame's object, as small opaque Gaussians."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy import sparse
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.sparse.linalg import splu
from torch import Tensor

from ..cameras import Cameras
from ..splat import Splats
from .middle_surface import Slant
from .texture import back_side, front_side

FOOTPRINT = 0.55  # standard deviation of a Gaussian, in pixels of the frame
INSET = 0.95  # how far the outermost Gaussians stand inside the silhouette, in pixels
OPACITY = 0.99
SMOOTH = 0.02  # how gradually a figure's parts change from round to long, fraction of the image


def shell(
    inside: np.ndarray,  # [G, G] bool, the silhouette
    front: np.ndarray,  # [G, G, 3] the frame's colours
    regional: np.ndarray,  # [LEVELS, G * G, 3] colours for what it hides
    slant: Slant,
    camera: Cameras,  # the front camera at G x G
) -> Splats:
    """The front and the back are depth maps on the frame's own pixel rays.

    Where a depth map steps, and at the silhouette, the step is filled along the ray with the
    colour of its nearer end, so that the shell has no holes from any side.
    """
    focal = float(camera.Ks[0, 0, 0])
    depths = slant.depths(camera.width, focal, float(camera.centres().norm()))
    half = half_thickness(inside)  # pixels
    height, at = _sheet(half, inside)
    colors = [
        front_side(front, regional, at, height / half.ravel()[at]),
        back_side(regional, at, height / camera.width),
    ]
    both = np.concatenate([at, at])
    middle = np.broadcast_to(depths, inside.shape).ravel()[both]
    pixel = middle / focal  # side of a pixel, world units
    offset = np.concatenate([-height, height]) * pixel
    scales = torch.from_numpy((FOOTPRINT * pixel).astype(np.float32))
    return Splats(
        _unproject(_pixel_positions(inside).reshape(-1, 2)[both], middle, offset, camera),
        torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(len(both), 4),
        scales[:, None].expand(-1, 3),
        torch.full((len(both),), OPACITY),
        torch.from_numpy(np.concatenate(colors).astype(np.float32)),
    )


def half_thickness(inside: np.ndarray) -> np.ndarray:
    """Poisson inflation of a silhouette [H, W] bool: half the thickness at each pixel, in pixels.

    Laplace h = -1 inside, h = 0 outside. sqrt(4 h) turns a disc into a sphere, but a strip into
    an elliptic bar; with sqrt(2 h) it is a round one. The determinant of h's second derivatives is
    1/4 in a disc and 0 in a strip, so sqrt((2 + 8 det) h) makes both round, and a figure's neck,
    limbs and trunk keep their own girths.
    """
    count = int(inside.sum())
    if count == 0:
        return np.zeros(inside.shape)
    number = np.full((inside.shape[0] + 2, inside.shape[1] + 2), -1)
    number[1:-1, 1:-1][inside] = np.arange(count)
    rows, columns = [], []
    for neighbour in (number[1:-1, 2:], number[2:, 1:-1]):
        here, there = number[1:-1, 1:-1][inside], neighbour[inside]
        rows.append(here[there >= 0])
        columns.append(there[there >= 0])
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    links = sparse.coo_array((-np.ones(len(rows)), (rows, columns)), (count, count))
    laplacian = (links + links.T + 4 * sparse.eye_array(count)).tocsc()
    factors = splu(laplacian, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    h = np.zeros(inside.shape)
    h[inside] = factors.solve(np.ones(count))
    return np.sqrt((2 + 8 * _bend(h, inside)) * h)


def _bend(h: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Determinant of the second derivatives of h [H, W], smoothed, in [0, 1/4]."""
    (yy, xy), (_, xx) = (np.gradient(slope) for slope in np.gradient(h))
    # Derivatives across the silhouette mean nothing; deep inside, h is large and says most.
    weight = (h * binary_erosion(inside, iterations=2)).astype(np.float32)
    sigma = SMOOTH * len(h)
    total = cv2.GaussianBlur(weight * (yy * xx - xy**2).astype(np.float32), (0, 0), sigma)
    return np.clip(total / (cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-6), 0, 0.25)


def _sheet(
    half: np.ndarray,  # [G, G] height of the surface above the middle, pixels
    inside: np.ndarray,  # [G, G] bool
) -> tuple[np.ndarray, np.ndarray]:
    """Samples of one side: heights above the middle [M], pixels, and flat pixel indices [M].

    Each pixel's sample is followed by more of them towards the middle, one per pixel, down to the
    lowest of its four neighbours: a step has a wall, and a slope no gaps.
    """
    padded = np.pad(half, 1)
    lowest = np.minimum.reduce(
        [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    )
    steps = np.maximum(np.ceil(half - lowest + 0.5)[inside].astype(int), 1)
    at = np.repeat(np.flatnonzero(inside), steps)
    step = np.arange(len(at)) - np.repeat(np.cumsum(steps) - steps, steps)
    return np.maximum(half.ravel()[at] - step, 0), at


def _pixel_positions(inside: np.ndarray) -> np.ndarray:
    """Columns and rows [G, G, 2] that the pixels stand for: their centres, but at the rim inwards.

    A Gaussian reaches beyond its centre; drawn from there, the silhouette keeps its size.
    """
    edge = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    inward = np.stack(np.gradient(edge)[::-1], -1)  # (x, y)
    rows, columns = np.indices(inside.shape) + 0.5
    shift = INSET * np.clip((3 - edge) / 2, 0, 1)
    return np.stack([columns, rows], -1) + shift[..., None] * inward


def _unproject(
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
