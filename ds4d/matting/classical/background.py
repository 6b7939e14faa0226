"""Clean plates: the background without the object, accumulated over the clip."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from .color_models import length
from .stabilization import IDENTITY, stands_still

FLAT = 0.8  # Lab units per pixel, blurred, in images of 256 pixels: a backdrop has no edges
PLAIN = 0.8  # share of the border that a backdrop covers; the object may touch the rest
PASSAGE = np.ones((7, 7), np.uint8)
PATCH = 8.0  # Lab units by which a backdrop's colour departs from its surroundings, at most
TYPICAL = 1.27  # mean square of a Gaussian vector's length by the median square, 3 channels
EXTRAPOLATED = 0.8  # confidence in a backdrop where no frame shows it


@dataclass(frozen=True)
class Plate:
    """The background in the middle frame's pixels, on a canvas that holds all frames."""

    lab: np.ndarray  # [h, w, 3] float32
    confidence: np.ndarray  # [h, w] float32 in 0..1, that this is the background
    noise: np.ndarray  # [h, w] float32, Lab units by which frames differ from it
    transforms: np.ndarray  # [T, 2, 3] from each frame's pixels to the plate's
    size: tuple[int, int]  # height and width of a frame

    def in_frame(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """lab, confidence and noise in the pixels of frame `index`."""
        return tuple(
            from_plate(image, self.transforms[index], self.size)
            for image in (self.lab, self.confidence, self.noise)
        )


def from_plate(image: np.ndarray, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image of the plate in a frame's pixels; 0 beyond."""
    if image.shape[:2] == size and np.array_equal(transform, IDENTITY):
        return image
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, transform, size[::-1], flags=flags)


def to_plate(image: np.ndarray, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image of a frame in the plate's pixels; 0 beyond."""
    if image.shape[:2] == size and np.array_equal(transform, IDENTITY):
        return image
    return cv2.warpAffine(image, transform, size[::-1], flags=cv2.INTER_LINEAR)


def visible(size: tuple[int, int], transform: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """Pixels of the canvas that a frame shows, bool."""
    return to_plate(np.ones(size, np.float32), transform, canvas) > 0.99


def fit_canvas(
    transforms: np.ndarray,  # [T, 2, 3]
    size: tuple[int, int],  # height and width of a frame
) -> tuple[np.ndarray, tuple[int, int]]:
    """Transforms shifted so that all frames fall onto one canvas, and its height and width."""
    if stands_still(transforms):
        return transforms, size
    height, width = size
    x, y = (0, width - 1, 0, width - 1), (0, 0, height - 1, height - 1)
    corners = transforms @ np.array([x, y, np.ones(4)])  # [T, 2, 4]
    low, high = np.floor(corners.min(axis=(0, 2))), np.ceil(corners.max(axis=(0, 2)))
    shifted = transforms.copy()
    shifted[:, :, 2] -= low
    canvas_width, canvas_height = (high - low + 1).astype(int)
    return shifted, (int(canvas_height), int(canvas_width))


# --- plain backdrops ------------------------------------------------------------------------------


def flood_from_border(small: np.ndarray) -> tuple[np.ndarray, float]:
    """Pixels that are connected to the border without an edge between.

    Args:
        small: [T, h, w, 3] float32 Lab, about 256 pixels large.

    Returns:
        [T, h, w] bool, and the share of the border that it covers.
    """
    flooded = np.empty(small.shape[:3], bool)
    border = border_mask(small.shape[1:3])
    for index, frame in enumerate(small):
        soft = cv2.GaussianBlur(frame, (0, 0), 1.5)
        slope = np.hypot(length(cv2.Sobel(soft, -1, 1, 0)), length(cv2.Sobel(soft, -1, 0, 1))) / 8
        # Passages as narrow as a blurred edge lead into the object.
        wide = cv2.morphologyEx((slope < FLAT).astype(np.uint8), cv2.MORPH_OPEN, PASSAGE)
        labels, numbers = ndimage.label(wide)
        areas = np.bincount(labels[border], minlength=numbers + 1)
        areas[0] = 0
        flooded[index] = (areas > 0.1 * border.sum())[labels]
    return flooded, float(flooded[:, border].mean())


def backdrop(small: np.ndarray, flooded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth background through the flooded pixels, extrapolated below the object.

    Args:
        small: [T, h, w, 3] float32 Lab.
        flooded: [T, h, w] bool.

    Returns:
        The background [h, w, 3], and 1 where frames show it [h, w] float32.
    """
    values = np.where(flooded[..., None], small, np.nan)
    with np.errstate(all="ignore"):
        median = np.nan_to_num(_nanmedian(values))
    known = (flooded.sum(axis=0) > 0.1 * len(small)).astype(np.float32)
    # Where the flood crossed a soft edge into the object, there is a patch of another colour. A
    # patch that is only darker may be a shadow that always lies there.
    smooth = cv2.GaussianBlur(extrapolate(median, known), (0, 0), len(median[0]) / 10)
    difference = median - smooth
    patch = np.hypot(difference[..., 1], difference[..., 2]) > PATCH
    patch |= difference[..., 0] > PATCH
    patch = cv2.dilate(patch.astype(np.uint8), np.ones((7, 7))) > 0
    known *= ~patch
    return extrapolate(median, known), known


def _nanmedian(values: np.ndarray) -> np.ndarray:
    """Median over the first axis without NaN; faster than numpy's."""
    ordered = np.sort(values, axis=0)  # NaN last
    last = np.maximum(np.isfinite(values).sum(axis=0) - 1, 0)[None]
    low, high = (np.take_along_axis(ordered, k, axis=0)[0] for k in (last // 2, (last + 1) // 2))
    return (low + high) / 2


def extrapolate(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """An image [h, w, 3] that is known with weights [h, w], continued smoothly elsewhere.

    A quadratic polynomial is fitted to everything; its residual is spread from near to far.
    """
    height, width = known.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    rows, columns = np.nonzero(known > 0.5)
    if len(rows) == 0:
        return image
    step = max(1, len(rows) // 20_000)
    A, colors = terms[rows, columns][::step], image[rows, columns][::step]
    polynomial = (terms @ np.linalg.lstsq(A, colors, rcond=None)[0]).astype(np.float32)
    residual = (image - polynomial) * known[..., None]
    smooth = np.zeros_like(residual)
    for share in (0.86, 0.43, 0.22, 0.11, 0.05, 0):  # widths of boxes, of the height
        box = (2 * max(2, round(share * height / 2)) + 1,) * 2
        weight = cv2.blur(known, box)[..., None]
        mean = cv2.blur(residual, box) / np.maximum(weight, 1e-4)
        trust = np.minimum(1, weight / 0.15)
        smooth = trust * mean + (1 - trust) * smooth
    return polynomial + smooth


# --- plates -------------------------------------------------------------------------------------


def backdrop_plate(
    lab: np.ndarray,  # [h, w, 3] float32, a backdrop
    known: np.ndarray,  # [h, w] float32 in 0..1, where frames show it
    frames: np.ndarray,  # [T, h, w, 3] float32, of a camera that stands still
) -> Plate:
    """A backdrop as a plate, with the frames' noise at the border."""
    border = border_mask(lab.shape[:2])
    noise = float(np.percentile(length(frames[:, border] - lab[border]), 80))
    confidence = np.maximum(known, EXTRAPOLATED)
    transforms = np.stack([IDENTITY] * len(frames))
    noise = np.full(lab.shape[:2], noise, np.float32)
    return Plate(lab, confidence, noise, transforms, lab.shape[:2])


def median_plate(
    lab: np.ndarray,  # [T, h, w, 3] float32
    free: np.ndarray,  # [T, h, w] bool, where the frames show the background
    transforms: np.ndarray,  # [T, 2, 3] frame -> middle frame
    fallback: Plate | None = None,  # of the same transforms, for pixels that no frame shows
) -> Plate:
    """The median over the frames of the background's pixels.

    A limb that `free` has missed in some frames changes neither the median nor the noise, which
    is a median over the frames, too.
    """
    size = lab.shape[1:3]
    shifted, canvas = fit_canvas(transforms, size)
    shown = np.full((len(lab), *canvas, 3), np.nan, np.float32)
    for values, frame, mask, transform in zip(shown, lab, free, shifted, strict=True):
        # Only whole pixels count: at the rim of the mask, the object would mix in.
        whole = to_plate(mask.astype(np.float32), transform, canvas) > 0.99
        values[whole] = to_plate(frame, transform, canvas)[whole]
    times = np.isfinite(shown[..., 0]).sum(axis=0)
    median = np.nan_to_num(_nanmedian(shown))
    variance = TYPICAL * np.nan_to_num(_nanmedian(((shown - median) ** 2).sum(axis=-1)))
    # Few frames make a poor estimate of the noise: pixels around take part in it.
    weight = np.maximum(times - 1, 0).astype(np.float32)
    around = cv2.blur(weight, (7, 7))
    overall = float(np.sqrt((variance * weight).sum() / max(1.0, weight.sum())))
    summed = np.maximum(cv2.blur(variance * weight, (7, 7)), 0)  # rounding may end below 0
    local = np.sqrt(summed / np.maximum(around, 0.05))
    noise = np.where(around > 0.5, np.maximum(local, 0.5 * overall), overall).astype(np.float32)
    enough = times >= 2
    if fallback is None:
        around = extrapolate(median, enough.astype(np.float32))
        median = np.where(enough[..., None], median, around)
        return Plate(median, enough.astype(np.float32), noise, shifted, size)
    median = np.where(enough[..., None], median, fallback.lab)
    noise = np.where(enough, noise, fallback.noise)
    return Plate(median, np.maximum(enough, fallback.confidence), noise, shifted, size)


def border_mask(shape: tuple[int, int]) -> np.ndarray:
    """The border of an image, 3 % of its size wide: [h, w] bool."""
    height, width = shape
    mask = np.ones(shape, bool)
    depth = max(2, round(0.03 * min(height, width)))
    mask[depth:-depth, depth:-depth] = False
    return mask
