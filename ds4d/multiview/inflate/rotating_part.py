"""Detection and segmentation of a part that rotates in front of a static body.

Example: the sails of a windmill. Both share one silhouette, and inflated together they would
become one solid. The part rotates about one hub at constant speed, so a rotation is fitted to the
clip's optical flow. In frames aligned by that rotation the part keeps its colours, while the body
behind it keeps them in the frames as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    binary_opening,
    distance_transform_edt,
    label,
)

# Chosen so that the bundled windmill is found, and no rotation in any other clip.
FLOW_SIZE = 128  # pixels; optical flow is computed at this size
MIN_FLOW = 0.4  # pixels per frame that count as motion; also the scale of the fit's residuals
MIN_ANGLE = 10.0  # rotation over the clip, degrees
MIN_INLIERS = 0.4  # share of the moving pixels that the rotation explains
SECTORS, MIN_SECTORS = 12, 8  # of the circle around the hub, and those with enough inliers
MIN_SECTOR_SHARE = 0.02  # of all inliers, in a sector with enough of them
STEP = 5  # frames between the images that refine the rotation
MAX_DIFFERENCE = 0.6  # sum over channels at which colour differences are truncated
PRESENT = 0.85  # share of the frames in which a point of the part or the body must be visible
BACKGROUND = 0.5  # grey level around the object
ITERATIONS = 2  # of segmenting the part, then the body behind it
GAP = 0.02  # width of gaps in the part that are closed, fraction of the image
MIN_COMPONENT = 0.15  # area of a component, relative to the largest one


@dataclass(frozen=True)
class Rotation:
    """Rotation at constant speed in the image plane."""

    speed: float  # degrees per frame, positive from the x axis to the y axis (clockwise as seen)
    hub: tuple[float, float]  # column and row, fraction of the image


@dataclass(frozen=True)
class Split:
    """The object of each frame in two layers: the rotating part, and the complete body behind."""

    part: np.ndarray  # [T, G, G] bool
    body: np.ndarray  # [T, G, G] bool
    colors: np.ndarray  # [T, G, G, 3] of the body, inpainted where the part hides it


def find(frames: np.ndarray) -> Rotation | None:
    """Find the rotation of a part in a clip [T, G, G, 4] in [0, 1]; None if there is none."""
    composed = _compose(frames)
    small = np.stack([_shrink(image) for image in composed])
    inside = np.stack([_shrink(alpha) for alpha in frames[..., 3]]) > 0.5
    positions, flows = _motion((255 * small).astype(np.uint8), inside)
    if len(positions) < FLOW_SIZE:
        return None
    speed, hub, residuals = _fit_rotation(positions, flows)
    inliers = residuals < MIN_FLOW * np.linalg.norm(flows, axis=1)
    angles = np.arctan2(*(positions[inliers] - hub).T[::-1]) / (2 * np.pi) * SECTORS
    counts = np.bincount(np.floor(angles).astype(int) % SECTORS, minlength=SECTORS)
    sectors = (counts > MIN_SECTOR_SHARE * max(len(angles), 1)).sum()
    total_angle = abs(np.degrees(speed)) * len(frames)
    if inliers.mean() < MIN_INLIERS or sectors < MIN_SECTORS or total_angle < MIN_ANGLE:
        return None
    initial = Rotation(float(np.degrees(speed)), tuple((hub + 0.5) / FLOW_SIZE))
    return _refine(initial, small)


def split(frames: np.ndarray, rotation: Rotation) -> Split | None:
    """Segment the rotating part and the body in each frame; None if either is missing."""
    composed, inside = _compose(frames), frames[..., 3] > 0.5
    times = range(len(frames))
    # Aligned by the inverse rotation, a point of the part has one colour in all frames.
    aligned = np.stack([_rotate(image, rotation, -t) for t, image in enumerate(composed)])
    covered = np.mean([_rotate(mask, rotation, -t) for t, mask in enumerate(inside)], 0) > PRESENT
    part_error = np.abs(aligned - np.median(aligned, 0)).mean((0, -1))
    part = np.zeros(inside.shape, bool)
    for _ in range(ITERATIONS):
        body_errors = np.abs(composed - _masked_median(~part, composed)).mean(-1)
        body_error = np.mean([_rotate(e, rotation, -t) for t, e in enumerate(body_errors)], 0)
        template = _clean((part_error < body_error) & covered)
        part = np.stack([_rotate(template, rotation, t) > 0.5 for t in times]) & inside
    # The rim of the part is excluded: the template just misses it.
    away = np.stack([cv2.dilate(mask.astype(np.uint8), _disc(len(mask))) == 0 for mask in part])
    bare = inside & away
    visible = _clean(bare.sum(0) > np.maximum(0.5 * away.sum(0), (1 - PRESENT) * len(frames)))
    if not part.any() or not visible.any():
        return None
    # Pixels inside in all frames belong to the body, unless the part hardly leaves them.
    width = distance_transform_edt(template).max()
    static = visible | _opening(inside.all(0), width)
    # The remaining pixels belong to the nearer of the two.
    to_body = distance_transform_edt(~static)
    nearer = np.stack([distance_transform_edt(~mask) < to_body for mask in part])
    part |= inside & ~static & nearer
    body = (inside & ~part) | (part & binary_fill_holes(static))
    rgb = frames[..., :3]
    colors = np.where((part & body)[..., None], _inpaint(rgb, bare), rgb)
    return Split(part, body, colors)


def _compose(frames: np.ndarray) -> np.ndarray:
    """Frames [T, G, G, 4] over grey, [T, G, G, 3]."""
    return frames[..., :3] * frames[..., 3:] + BACKGROUND * (1 - frames[..., 3:])


def _shrink(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (FLOW_SIZE, FLOW_SIZE), interpolation=cv2.INTER_AREA)


def _motion(images: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions [N, 2] of the object's moving pixels in all frames, and their flow [N, 2]."""
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    positions, flows = [np.zeros((0, 2))], [np.zeros((0, 2))]
    for first, second, mask in zip(grey, grey[1:], inside, strict=False):
        flow = method.calc(first, second, None)
        rows, columns = np.nonzero(mask & (np.linalg.norm(flow, axis=-1) > MIN_FLOW))
        positions.append(np.stack([columns, rows], 1).astype(float))
        flows.append(flow[rows, columns].astype(float))
    return np.concatenate(positions), np.concatenate(flows)


def _fit_rotation(positions: np.ndarray, flows: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Fit the rotation that most of the flow [N, 2] follows.

    The flow of a rotation, speed * (-(y - hub y), x - hub x), is linear in speed and speed * hub:
    iteratively reweighted least squares with Cauchy weights.

    Returns:
        Speed in radians per frame, hub [2] in pixels, and residuals [N] in pixels.
    """
    ones, zeros = np.ones(len(positions)), np.zeros(len(positions))
    system = np.stack([
        np.stack([-positions[:, 1], ones, zeros], 1), np.stack([positions[:, 0], zeros, ones], 1)
    ], 1)  # [N, 2, 3]  # fmt: skip
    weight = ones
    for _ in range(15):
        weighted = system * weight[:, None, None]
        normal = np.einsum("nij,nik->jk", weighted, system) + 1e-9 * np.eye(3)
        solution = np.linalg.solve(normal, np.einsum("nij,ni->j", weighted, flows))
        residuals = np.linalg.norm(system @ solution - flows, axis=1)
        weight = 1 / (1 + (residuals / MIN_FLOW) ** 2)
    speed = solution[0] if abs(solution[0]) > 1e-9 else 1e-9
    return float(speed), np.array([-solution[2], solution[1]]) / speed, residuals


def _refine(rotation: Rotation, images: np.ndarray) -> Rotation:
    """Minimize the difference of images STEP frames apart, by coordinate descent."""
    pairs = list(zip(images, images[STEP:], strict=False))[:: max(1, len(images) // 8)]
    if not pairs:
        return rotation
    static = [np.abs(a - b).sum(-1) for a, b in pairs]  # of the body

    def difference(speed: float, x: float, y: float) -> float:
        candidate = Rotation(speed, (x, y))
        rotated = [np.abs(_rotate(a, candidate, STEP) - b).sum(-1) for a, b in pairs]
        return float(np.minimum(np.minimum(rotated, static), MAX_DIFFERENCE).sum())

    best = np.array([rotation.speed, *rotation.hub])
    least = difference(*best)
    for scale in (2.0, 1.0, 0.5, 0.25, 0.1):
        for _ in range(3):
            for axis, step in enumerate((0.25 * abs(rotation.speed), 0.01, 0.01)):
                for sign in (-1, 1):
                    candidate = best + sign * scale * step * np.eye(3)[axis]
                    error = difference(*candidate)
                    if error < least:
                        best, least = candidate, error
    return Rotation(float(best[0]), (float(best[1]), float(best[2])))


def _rotate(image: np.ndarray, rotation: Rotation, frames: float) -> np.ndarray:
    """Rotate an image [G, G, ...] as far as in a number of frames, float32."""
    size = len(image)
    x, y = (size * coordinate - 0.5 for coordinate in rotation.hub)
    matrix = cv2.getRotationMatrix2D((x, y), -rotation.speed * frames, 1.0)
    return cv2.warpAffine(
        image.astype(np.float32), matrix, (size, size), borderMode=cv2.BORDER_REPLICATE
    )


def _clean(mask: np.ndarray) -> np.ndarray:
    """Remove specks, small components, gaps and holes from a mask [G, G]."""
    smooth = binary_opening(mask, iterations=max(1, len(mask) // 128))
    mask = binary_closing(smooth, _disc(len(mask)) > 0)
    components, _ = label(mask)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return binary_fill_holes((sizes > MIN_COMPONENT * sizes.max())[components] & mask)


def _disc(size: int) -> np.ndarray:
    """Disc as wide as the gaps that are closed in an image of `size` pixels, uint8."""
    reach = max(1, round(GAP * size / 2))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))


def _opening(mask: np.ndarray, radius: float) -> np.ndarray:
    """Morphological opening of a mask [G, G] with a disc of a radius in pixels."""
    middles = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] > radius
    return distance_transform_edt(~middles) <= radius if middles.any() else middles


def _inpaint(colors: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """Colours [G, G, 3] of the body: medians of bare frames, or those of the nearest bare pixel."""
    nearest = distance_transform_edt(~bare.any(0), return_distances=False, return_indices=True)
    return _masked_median(bare, colors)[tuple(nearest)]


def _masked_median(mask: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Median [G, G, 3] over the frames [T, G, G, 3] inside a mask; over all where it is empty."""
    mask = mask | ~mask.any(0)
    order = np.where(mask[..., None], images, np.inf)
    order.sort(0)
    middle = ((mask.sum(0) - 1) // 2)[None, ..., None]
    return np.take_along_axis(order, np.broadcast_to(middle, (1, *images.shape[1:])), 0)[0]
