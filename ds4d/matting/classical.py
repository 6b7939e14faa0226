"""Mattes without a network: a model of the background, what differs from it, and a soft edge.

1. The background. Its colours are a smooth function of the place where the border says so (a plain
   backdrop); else the camera stands still and GrabCut, fed by what moves, tells a first guess.
2. The plate: the mean of what the first guess calls background, per pixel, over time.
3. What differs from the plate is the object: strongly, or weakly over an area. Weak and narrow
   differences beside the object are compression noise; weak, smooth and grey ones are shadows.
4. Over time: the largest connected body in (time, y, x) and what is large beside it.
5. At the edge, opacity = how far the pixel lies on the way from the plate to the nearby object.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from ..events import Event, Stage
from ..images import checkerboard, over

LONGEST = 640  # pixels; larger frames are matted at this size
GRABCUT_LONGEST = 224  # pixels
PLAIN = 4.0  # Lab units: a backdrop's typical misfit at the border, at most
STRONG, WEAK = 10.0, 3.5  # Lab units that tell the object from a backdrop without noise
SMALL_BODY = 0.03  # share of the largest body's volume that a second body needs
SMALL_HOLE = 0.002  # share of the object's area below which a hole is filled
BAND = 2  # half the width of the soft edge, pixels


def run(frames: np.ndarray) -> Stage[np.ndarray]:
    """Mattes [T, H, W] uint8 of frames [T, H, W, 3 or 4] uint8 (an alpha channel: over white)."""
    count, height, width = frames.shape[:3]
    total = 3 * count
    yield Event("matting", 0, total, "looking at the background")
    rgb = over(frames) if frames.shape[-1] == 4 else frames
    lab = np.stack([_lab(_shrunk(frame, LONGEST)) for frame in rgb])
    ring = _ring(lab.shape[1:3])
    plate, misfit = _backdrop(lab, np.broadcast_to(ring, lab.shape[:3]))
    plain = misfit < PLAIN
    if not plain:
        still = _is_still(lab, ring)
        doubt = (
            "The background is not plain, so the object's outline may be wrong in places."
            if still
            else "The background is neither plain nor still: check the matte."
        )
        yield Event("matting", 0, total, doubt, warning=True)
        masks = yield from _guess(lab, rgb, total)
    else:
        noise = _noise(lab, plate, np.broadcast_to(ring, lab.shape[:3]))
        masks = np.empty(lab.shape[:3], bool)
        for index, frame in enumerate(lab):
            masks[index] = _differs(frame, plate, noise)
            yield Event("matting", index + 1, total, "background")
    masks = _bodies(masks)

    plate, seen = _plate(lab, masks, plate if plain else None)
    outside = ~_dilated(masks, 5) & seen
    noise = _noise(lab, plate, outside)
    for index, frame in enumerate(lab):
        differs = _differs(frame, plate, noise)
        masks[index] = _filled(np.where(seen, differs, masks[index]), frame, plate, noise)
        yield Event("matting", count + index + 1, total, "object")
    masks = _steady(_bodies(masks), lab)

    alphas = np.empty((count, height, width), np.uint8)
    board = checkerboard(height, width)
    for index, frame in enumerate(rgb):
        small = _shrunk(frame, LONGEST).astype(np.float32)
        alpha = _soft(small, masks[index], _rgb(plate), seen)
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
        alphas[index] = (alpha * 255 + 0.5).astype(np.uint8)
        preview = over(np.dstack([frame, alphas[index]]), board)
        yield Event("matting", 2 * count + index + 1, total, "edges", preview)
    return alphas


# --- the background -----------------------------------------------------------------------------


def _backdrop(lab: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit colours that vary smoothly over the picture to the pixels `where` [T, h, w].

    Returns: the fitted colours [h, w, 3] and the typical misfit in Lab units. Outliers (an object
        that reaches the border) lose their say step by step.
    """
    height, width = lab.shape[1:3]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)  # [h, w, 6]
    t, rows, columns = np.nonzero(where)
    step = max(1, len(t) // 20_000)
    t, rows, columns = t[::step], rows[::step], columns[::step]
    A, colors = terms[rows, columns], lab[t, rows, columns]
    misfits = np.linalg.norm(colors - np.median(colors, axis=0), axis=1)
    for _ in range(6):
        good = misfits <= max(1.0, 3 * np.median(misfits))
        fit = np.linalg.lstsq(A[good], colors[good], rcond=None)[0]
        misfits = np.linalg.norm(colors - A @ fit, axis=1)
    return (terms @ fit).astype(np.float32), float(np.percentile(misfits, 70))


def _plate(
    lab: np.ndarray, masks: np.ndarray, backdrop: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The empty scene [h, w, 3] and where it is known [h, w] (where a backdrop is: everywhere)."""
    free = ~_dilated(masks, 4)
    times = free.sum(axis=0)
    mean = np.einsum("thw,thwc->hwc", free.astype(np.float32), lab)
    seen = times >= 2
    mean /= np.maximum(times, 1)[..., None]
    if backdrop is None:
        return mean, seen
    return np.where(seen[..., None], mean, backdrop), np.ones_like(seen)


def _is_still(lab: np.ndarray, ring: np.ndarray) -> bool:
    """Whether the border shows the same all the time."""
    change = np.linalg.norm(np.diff(lab[:, ring], axis=0), axis=-1)
    return float(np.median(change)) < PLAIN


def _noise(lab: np.ndarray, plate: np.ndarray, where: np.ndarray) -> float:
    """Spread of the background's colours around the plate, Lab units."""
    distances = np.concatenate([
        np.linalg.norm(frame[mask] - plate[mask], axis=-1)[::7]
        for frame, mask in zip(lab, where, strict=True)
    ])  # fmt: skip
    return float(np.percentile(distances, 80)) if len(distances) else PLAIN


# --- the object ---------------------------------------------------------------------------------


def _differs(frame: np.ndarray, plate: np.ndarray, noise: float) -> np.ndarray:
    """Where a frame shows something else than the plate: [h, w] bool."""
    difference = frame - plate
    blurred = cv2.GaussianBlur(difference, (0, 0), 0.8)
    strong = np.linalg.norm(blurred, axis=-1) > max(STRONG, 4 * noise)
    # Compression ripples around zero beside an edge; a mean over the rest lets only areas stand.
    rest = (~strong).astype(np.float32)
    weight = cv2.GaussianBlur(rest, (0, 0), 2.5)
    mean = cv2.GaussianBlur(difference * rest[..., None], (0, 0), 2.5)
    mean /= np.maximum(weight, 1e-3)[..., None]
    weak = np.linalg.norm(mean, axis=-1) > max(WEAK, 2 * noise)
    weak = _opened(weak & ~strong & ~_shadow(difference, mean), 3)
    found = strong | weak
    labels, numbers = ndimage.label(found)
    strengths = ndimage.sum_labels(strong, labels, np.arange(numbers + 1))
    strengths[0] = 0
    return (strengths > 12)[labels]


def _shadow(difference: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Where a frame is a smoothly darkened backdrop: darker, of the same hue, without detail."""
    darker = (mean[..., 0] < -1) & (mean[..., 0] > -25)
    same_hue = np.hypot(mean[..., 1], mean[..., 2]) < 0.25 * np.abs(mean[..., 0]) + 1
    detail = cv2.GaussianBlur((difference[..., 0] - mean[..., 0]) ** 2, (0, 0), 2.5)
    return darker & same_hue & (detail < 4)


def _bodies(masks: np.ndarray) -> np.ndarray:
    """Keep the largest connected body in (time, y, x) and what is large beside it."""
    labels, numbers = ndimage.label(masks, structure=np.ones((3, 3, 3)))
    if numbers == 0:
        return masks
    volumes = np.bincount(labels.ravel())
    volumes[0] = 0
    return (volumes >= SMALL_BODY * volumes.max())[labels]


def _filled(
    mask: np.ndarray, frame: np.ndarray, plate: np.ndarray, noise: float
) -> np.ndarray:
    """Fill the holes that are small, or do not show the plate through all of their inside."""
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, _disc(2)) > 0
    labels, numbers = ndimage.label(ndimage.binary_fill_holes(closed) & ~closed)
    if numbers == 0:
        return closed
    distance = np.linalg.norm(cv2.GaussianBlur(frame - plate, (0, 0), 1.0), axis=-1)
    index = np.arange(1, numbers + 1)
    areas = ndimage.sum_labels(np.ones_like(labels), labels, index)
    through = ndimage.median(distance, labels, index) < max(WEAK / 2, 1.5 * noise)
    keep = through & (areas > SMALL_HOLE * mask.sum())
    return closed | (labels > 0) & ~np.concatenate([[False], keep])[labels]


def _steady(masks: np.ndarray, lab: np.ndarray) -> np.ndarray:
    """Undo flicker: where a frame alone disagrees with its neighbours though colours are alike."""
    result = masks.copy()
    for index in range(1, len(masks) - 1):
        before, now, after = masks[index - 1 : index + 2]
        alone = (before == after) & (now != before)
        change = np.abs(lab[index] - (lab[index - 1] + lab[index + 1]) / 2).max(axis=-1)
        result[index] = np.where(alone & (change < WEAK), before, now)
    return result


# --- a first guess before a background that is not plain -----------------------------------------


def _guess(lab: np.ndarray, rgb: np.ndarray, total: int) -> Stage[np.ndarray]:
    """What GrabCut takes for the object, fed by what moves: [T, h, w] bool."""
    count, height, width = lab.shape[:3]
    small = np.stack([_shrunk(frame, GRABCUT_LONGEST) for frame in rgb])
    labs = np.stack([_lab(frame) for frame in small])
    change = np.linalg.norm(labs - np.median(labs, axis=0), axis=-1)
    moves = change > max(STRONG, 5 * float(np.median(change)))
    moves = np.stack([_opened(frame, 1) for frame in moves])
    ring = _ring(small.shape[1:3])
    hull = _hull(moves.mean(axis=0) > 0.05)
    masks = np.empty((count, height, width), bool)
    models = [np.zeros((1, 65)), np.zeros((1, 65))]
    for index in range(count):
        labels = np.where(hull, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[ring & ~moves[index]] = cv2.GC_BGD
        cv2.grabCut(small[index], labels, None, *models, 2, cv2.GC_INIT_WITH_MASK)
        found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
        masks[index] = cv2.resize(found, (width, height)) > 0.5
        yield Event("matting", index + 1, total, "first guess (GrabCut)")
    return masks


def _hull(mask: np.ndarray) -> np.ndarray:
    """The convex hull of a mask; nothing in it: the middle of the picture."""
    hull = np.zeros(mask.shape, np.uint8)
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    if len(points) < 3:
        height, width = mask.shape
        hull[height // 6 : -(height // 6), width // 6 : -(width // 6)] = 1
    else:
        cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    return hull > 0


# --- the edge -----------------------------------------------------------------------------------


def _soft(
    rgb: np.ndarray,  # [h, w, 3] float32
    mask: np.ndarray,  # [h, w] bool
    plate: np.ndarray,  # [h, w, 3] float32
    seen: np.ndarray,  # [h, w] bool, where the plate is known
) -> np.ndarray:
    """Opacity [h, w] in [0, 1]: the mask, and at its edge where between plate and object we are."""
    inner = cv2.erode(mask.astype(np.uint8), _disc(BAND)).astype(np.float32)
    outer = cv2.dilate(mask.astype(np.uint8), _disc(BAND))
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)
    reach = (6 * BAND + 1, 6 * BAND + 1)
    weight = cv2.blur(inner, reach)
    object_color = cv2.blur(rgb * inner[..., None], reach) / np.maximum(weight, 1e-6)[..., None]
    way = object_color - plate
    length = (way**2).sum(axis=-1)
    between = ((rgb - plate) * way).sum(axis=-1) / np.maximum(length, 1.0)
    between = ((between - 0.08) / 0.84).clip(0, 1)  # compression noise at both ends
    trust = np.where(seen & (weight > 0.02), length / (length + 40.0**2), 0.0)
    edge = trust * between + (1 - trust) * blurred
    return np.where(inner > 0, 1.0, np.where(outer > 0, edge, 0.0)).astype(np.float32)


# --- small things -------------------------------------------------------------------------------


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _rgb(lab: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255


def _shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _ring(shape: tuple[int, int]) -> np.ndarray:
    """The border of the picture, 3 % of its size wide: [h, w] bool."""
    height, width = shape
    ring = np.ones(shape, bool)
    depth = max(2, round(0.03 * min(height, width)))
    ring[depth:-depth, depth:-depth] = False
    return ring


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _opened(mask: np.ndarray, radius: int) -> np.ndarray:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _disc(radius)) > 0


def _dilated(masks: np.ndarray, radius: int) -> np.ndarray:
    return np.stack([cv2.dilate(mask.astype(np.uint8), _disc(radius)) > 0 for mask in masks])
