"""Mattes without a network: a model of the background, what differs from it, and a soft edge.

1. The background. Its colours are a smooth function of the place where the border says so (a plain
   backdrop); else GrabCut, fed by the colours that the border lacks, tells a first guess.
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
from .cleanup import bodies, shrunk

LONGEST = 640  # pixels; larger frames are matted at this size
GUESS_LONGEST = 256  # pixels; of the first guess
PLAIN = 4.0  # Lab units: a backdrop's typical misfit at the border, at most
STRONG, WEAK = 10.0, 3.0  # Lab units that tell the object from a backdrop without noise
STEEP = 0.9  # Lab units per 1/512 of the picture; the edge of a shadow is softer
RARE = 3.0  # percent of the border whose colours count as unlike the background
SMALL_HOLE = 0.002  # share of the object's area below which a hole is filled
BAND = 2  # half the width of the soft edge, pixels


def run(frames: np.ndarray) -> Stage[np.ndarray]:
    """Mattes [T, H, W] uint8 of frames [T, H, W, 3 or 4] uint8 (an alpha channel: over white)."""
    count, height, width = frames.shape[:3]
    total = 3 * count
    yield Event("matting", 0, total, "looking at the background")
    rgb = over(frames) if frames.shape[-1] == 4 else frames
    small = np.stack([shrunk(frame, GUESS_LONGEST) for frame in rgb])
    masks, backdrop = yield from _guess(small, total)

    work = [shrunk(frame, LONGEST) for frame in rgb]
    lab = np.stack([_lab(frame) for frame in work])
    size = lab.shape[2], lab.shape[1]
    masks = np.stack([cv2.resize(mask.astype(np.uint8), size) > 0 for mask in masks])
    plate, seen = _plate(lab, masks)
    if backdrop is not None:
        plate = np.where(seen[..., None], plate, cv2.resize(backdrop, size))
        seen = np.ones_like(seen)
    noise = _noise(lab, plate, ~_dilated(masks, 5) & seen)
    for index, frame in enumerate(lab):
        empty = np.where(seen[..., None], plate, frame)  # nothing differs where nothing is known
        differs = np.where(seen, _differs(frame, empty, noise), masks[index])
        masks[index] = _filled(differs, frame - empty, noise)
        yield Event("matting", count + index + 1, total, "object")
    masks = _steady(bodies(masks), lab)

    alphas = np.empty((count, height, width), np.uint8)
    board = checkerboard(height, width)
    for index, frame in enumerate(work):
        alpha = _soft(frame.astype(np.float32), masks[index], _rgb(plate), seen)
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
        alphas[index] = (alpha * 255 + 0.5).astype(np.uint8)
        preview = over(np.dstack([rgb[index], alphas[index]]), board)
        yield Event("matting", 2 * count + index + 1, total, "edges", preview)
    return alphas


def _guess(rgb: np.ndarray, total: int) -> Stage[tuple[np.ndarray, np.ndarray | None]]:
    """A first guess at the masks [T, h, w] of small frames, and the backdrop [h, w, 3] if plain."""
    lab = np.stack([_lab(frame) for frame in rgb])
    ring = _ring(lab.shape[1:3])
    rings = np.broadcast_to(ring, lab.shape[:3])
    backdrop, misfit = _backdrop(lab, rings)
    if misfit < PLAIN:
        noise = _noise(lab, backdrop, rings)
        masks = np.stack([_differs(frame, backdrop, noise) for frame in lab])
        yield Event("matting", len(rgb), total, "plain background")
        return bodies(masks), backdrop
    if _is_still(lab, ring):
        doubt = "The background is not plain: the object's outline may be wrong in places."
    else:
        doubt = "The background is neither plain nor still: check the matte."
    yield Event("matting", 0, total, doubt, warning=True)
    masks = yield from _grab(rgb, lab, ring, total)
    return bodies(masks), None


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


def _plate(lab: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The empty scene [h, w, 3], and where two frames at least show it [h, w]."""
    free = ~_dilated(masks, 4)
    times = free.sum(axis=0)
    total = np.zeros(lab.shape[1:], np.float32)
    for frame, shown in zip(lab, free, strict=True):
        total += frame * shown[..., None]
    return total / np.maximum(times, 1)[..., None].astype(np.float32), times >= 2


def _is_still(lab: np.ndarray, ring: np.ndarray) -> bool:
    """Whether the border shows the same all the time."""
    change = np.linalg.norm(np.diff(lab[:, ring], axis=0), axis=-1)
    return float(np.median(change)) < PLAIN


def _noise(lab: np.ndarray, plate: np.ndarray, where: np.ndarray) -> float:
    """Spread of the background's colours around the plate, Lab units."""
    distances = np.concatenate([
        _length(frame[mask] - plate[mask])[::7]
        for frame, mask in zip(lab, where, strict=True)
    ])  # fmt: skip
    return float(np.percentile(distances, 80)) if len(distances) else PLAIN


# --- the object ---------------------------------------------------------------------------------


def _differs(frame: np.ndarray, plate: np.ndarray, noise: float) -> np.ndarray:
    """Where a frame shows something else than the plate: [h, w] bool."""
    unit = max(frame.shape) / 512  # what is narrow depends on the size of the picture
    sigma = max(1.0, 2.5 * unit)
    difference = frame - plate
    sharp = cv2.GaussianBlur(difference, (0, 0), 0.8)
    strong = _length(sharp) > max(STRONG, 4 * noise)
    # Compression ripples around zero beside an edge; a mean over the rest lets only areas stand.
    rest = (~strong).astype(np.float32)
    weight = cv2.GaussianBlur(rest, (0, 0), sigma)
    mean = cv2.GaussianBlur(difference * rest[..., None], (0, 0), sigma)
    mean /= np.maximum(weight, 1e-3)[..., None]
    weak = ~strong & (_length(mean) > max(WEAK, 2 * noise))
    soft = _shadow(weak, strong, mean, sharp[..., 0] * unit)
    weak = _opened(weak & ~soft, max(1, round(3 * unit)))
    labels, numbers = ndimage.label(strong | weak)
    strengths = np.bincount(labels[strong], minlength=numbers + 1)
    return (strengths > 12)[labels]


def _shadow(
    weak: np.ndarray, strong: np.ndarray, mean: np.ndarray, light: np.ndarray
) -> np.ndarray:
    """Where a weak difference is a shadow: darker, of the same hue, fading in without an edge.

    All [h, w]; `mean` [h, w, 3] is the blurred difference, `light` the sharper one of lightness.
    """
    same_hue = np.hypot(mean[..., 1], mean[..., 2]) < 0.25 * np.abs(mean[..., 0]) + 1
    labels, numbers = ndimage.label(weak & same_hue & (mean[..., 0] < 0))
    if numbers == 0:
        return np.zeros_like(weak)
    slope = np.hypot(cv2.Sobel(light, -1, 1, 0), cv2.Sobel(light, -1, 0, 1)) / 8
    empty = cv2.dilate((~weak & ~strong).astype(np.uint8), _disc(2)) > 0
    rims = np.bincount(labels[empty], minlength=numbers + 1)
    steepness = np.bincount(labels[empty], slope[empty], numbers + 1) / np.maximum(rims, 1)
    soft = (steepness < STEEP) & (rims > 0)
    soft[0] = False
    return soft[labels]


def _filled(mask: np.ndarray, difference: np.ndarray, noise: float) -> np.ndarray:
    """Fill the holes that are small, or that do not show the plate (a mean undoes ripples)."""
    labels, numbers = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    if numbers == 0:
        return mask
    index = np.arange(numbers + 1)
    areas = np.bincount(labels.ravel(), minlength=numbers + 1)
    means = [ndimage.mean(difference[..., k], labels, index) for k in range(3)]
    through = _length(np.stack(means, -1)) < max(WEAK, 2 * noise)
    keep = through & (areas > SMALL_HOLE * mask.sum())
    keep[0] = True  # not a hole
    return mask | ~keep[labels]


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


def _grab(rgb: np.ndarray, lab: np.ndarray, ring: np.ndarray, total: int) -> Stage[np.ndarray]:
    """What GrabCut takes for the object, fed by colours and by what moves: [T, h, w] bool."""
    change = _length(lab - np.median(lab, axis=0))
    moves = change > max(STRONG, 5 * float(np.median(change)))
    moves = np.stack([_opened(frame, 1) for frame in moves])
    rings = ring & ~moves
    in_background = _density(lab, rings)
    unlike = in_background < np.percentile(in_background[rings], RARE)
    in_object = _density(lab, unlike & ~rings)
    likely = in_object > in_background
    masks = np.empty(lab.shape[:3], bool)
    models = [np.zeros((1, 65)), np.zeros((1, 65))]
    for index, frame in enumerate(rgb):
        labels = np.where(likely[index], cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[rings[index]] = cv2.GC_BGD
        if (labels == cv2.GC_PR_FGD).any():
            cv2.grabCut(frame, labels, None, *models, 2, cv2.GC_INIT_WITH_MASK)
        masks[index] = labels == cv2.GC_PR_FGD
        yield Event("matting", index + 1, total, "first guess (GrabCut)")
    return masks


def _density(lab: np.ndarray, where: np.ndarray) -> np.ndarray:
    """How common each pixel's colour is among the pixels `where`, smoothed: [T, h, w]."""
    bins = (lab * (0.2, 0.15, 0.15) + (0, 12, 12)).clip(0, 23).astype(np.intp)
    flat = np.ravel_multi_index(tuple(np.moveaxis(bins, -1, 0)), (24, 24, 24))
    counts = np.bincount(flat[where], minlength=24**3).reshape(24, 24, 24).astype(np.float32)
    smooth = ndimage.gaussian_filter(counts, 0.8) / max(1, where.sum())
    return smooth.ravel()[flat]


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


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("...c,...c->...", vectors, vectors))


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _rgb(lab: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1) * 255


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
