"""The empty scene behind the object: what is seen of it at any time, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from .color_models import length
from .stabilization import IDENTITY

FLAT = 0.8  # Lab units per pixel, blurred, in pictures of 256 pixels: a backdrop has no edges
PLAIN = 0.93  # share of the border that a backdrop covers
PASSAGE = np.ones((7, 7), np.uint8)
PATCH = 8.0  # Lab units by which a backdrop's colour departs from its surroundings, at most
CONTINUED = 0.8  # how surely a backdrop goes on as smoothly where no frame shows it


@dataclass(frozen=True)
class Plate:
    """The empty scene in the middle frame's pixels, as large as all frames together."""

    lab: np.ndarray  # [h, w, 3] float32
    seen: np.ndarray  # [h, w] float32 in 0..1, how surely this is the background
    spread: np.ndarray  # [h, w] float32, Lab units that a frame differs from it where it is seen
    movements: np.ndarray  # [T, 2, 3] each frame's pixels -> the plate's
    size: tuple[int, int]  # height and width of a frame

    def behind(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """lab, seen and spread as frame `index` would show them."""
        return tuple(
            from_plate(a, self.movements[index], self.size)
            for a in (self.lab, self.seen, self.spread)
        )


def from_plate(image: np.ndarray, movement: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture in the plate's pixels as a frame shows it; nothing (0) beyond."""
    if image.shape[:2] == size and np.array_equal(movement, IDENTITY):
        return image
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, movement, size[::-1], flags=flags)


def to_plate(image: np.ndarray, movement: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A frame's picture in the plate's pixels; nothing (0) beyond."""
    if image.shape[:2] == size and np.array_equal(movement, IDENTITY):
        return image
    return cv2.warpAffine(image, movement, size[::-1], flags=cv2.INTER_LINEAR)


def inside(size: tuple[int, int], movement: np.ndarray, large: tuple[int, int]) -> np.ndarray:
    """Which of the plate's pixels a frame shows: bool, as large as the plate."""
    return to_plate(np.ones(size, np.float32), movement, large) > 0.99


def canvas(movements: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Shift movements [T, 2, 3] so that all frames fall onto one canvas, and its (h, w)."""
    if np.array_equal(movements, np.broadcast_to(IDENTITY, movements.shape)):
        return movements, size
    height, width = size
    x, y = (0, width - 1, 0, width - 1), (0, 0, height - 1, height - 1)
    places = movements @ np.array([x, y, np.ones(4)])  # [T, 2, 4]
    low, high = np.floor(places.min(axis=(0, 2))), np.ceil(places.max(axis=(0, 2)))
    moved = movements.copy()
    moved[:, :, 2] -= low
    wide, tall = (high - low + 1).astype(int)
    return moved, (int(tall), int(wide))


# --- plain backdrops ------------------------------------------------------------------------------


def open_ground(small: np.ndarray) -> tuple[np.ndarray, float]:
    """What can be walked to from the border without crossing an edge.

    Args:
        small: [T, h, w, 3] float32 Lab, about 256 pixels large.

    Returns: [T, h, w] bool, and the share of the border that it covers.
    """
    ground = np.empty(small.shape[:3], bool)
    edge = ring(small.shape[1:3])
    for index, frame in enumerate(small):
        soft = cv2.GaussianBlur(frame, (0, 0), 1.5)
        slope = np.hypot(length(cv2.Sobel(soft, -1, 1, 0)), length(cv2.Sobel(soft, -1, 0, 1))) / 8
        # Passages as narrow as a blurred edge lead into the object.
        wide = cv2.morphologyEx((slope < FLAT).astype(np.uint8), cv2.MORPH_OPEN, PASSAGE)
        labels, numbers = ndimage.label(wide)
        areas = np.bincount(labels[edge], minlength=numbers + 1)
        areas[0] = 0
        ground[index] = (areas > 0.1 * edge.sum())[labels]
    return ground, float(ground[:, edge].mean())


def backdrop(small: np.ndarray, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth background [h, w, 3] through what the frames [T, h, w, 3] show at `ground`
    [T, h, w], continued below the object, and where it is seen: [h, w] float32."""
    values = np.where(ground[..., None], small, np.nan)
    shown = ground.sum(axis=0)
    with np.errstate(all="ignore"):
        middle = np.nan_to_num(_nanmedian(values))
    known = (shown > 0.1 * len(small)).astype(np.float32)
    # Where a soft edge of the object let us walk into it, there is a patch of another colour. What
    # is darker only may be a shadow that always lies there.
    off = middle - cv2.GaussianBlur(filled(middle, known), (0, 0), len(middle[0]) / 10)
    patch = (np.hypot(off[..., 1], off[..., 2]) > PATCH) | (off[..., 0] > PATCH)
    patch = cv2.dilate(patch.astype(np.uint8), np.ones((7, 7))) > 0
    known *= ~patch
    return filled(middle, known), known


def _nanmedian(values: np.ndarray) -> np.ndarray:
    """Over the first axis, where NaN counts as missing."""
    ordered = np.sort(values, axis=0)  # NaN last
    numbers = np.isfinite(values).sum(axis=0)
    place = np.maximum(numbers - 1, 0)[None] // 2
    return np.take_along_axis(ordered, place, axis=0)[0]


def filled(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A picture [h, w, 3] that is known with weights [h, w], continued smoothly where it is not.

    A plane that bends a little goes through everything; what it misses is spread from near to far.
    """
    height, width = known.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    rows, columns = np.nonzero(known > 0.5)
    if len(rows) == 0:
        return image
    step = max(1, len(rows) // 20_000)
    A, colors = terms[rows, columns][::step], image[rows, columns][::step]
    plane = (terms @ np.linalg.lstsq(A, colors, rcond=None)[0]).astype(np.float32)
    rest = (image - plane) * known[..., None]
    smooth = np.zeros_like(rest)
    for sigma in (height / 4, height / 8, height / 16, height / 32, height / 64, 1.5):
        weight = cv2.GaussianBlur(known, (0, 0), sigma)[..., None]
        mean = cv2.GaussianBlur(rest, (0, 0), sigma) / np.maximum(weight, 1e-4)
        trust = np.minimum(1, weight / 0.15)
        smooth = trust * mean + (1 - trust) * smooth
    return plane + smooth


# --- plates -------------------------------------------------------------------------------------


def continued(
    lab: np.ndarray,  # [h, w, 3] float32, a backdrop
    seen: np.ndarray,  # [h, w] float32 in 0..1, where frames show it
    frames: np.ndarray,  # [T, h, w, 3] float32, of a camera that stands still
) -> Plate:
    """A backdrop as a plate, with the frames' noise at the border."""
    edge = ring(lab.shape[:2])
    noise = float(np.percentile(length(frames[:, edge] - lab[edge]), 80))
    spread = np.full(lab.shape[:2], noise, np.float32)
    surely = np.maximum(seen, CONTINUED)
    movements = np.stack([IDENTITY] * len(frames))
    return Plate(lab, surely, spread, movements, lab.shape[:2])


def plate(
    lab: np.ndarray,  # [T, h, w, 3] float32
    free: np.ndarray,  # [T, h, w] bool, where the frames show the background
    movements: np.ndarray,  # [T, 2, 3] frame -> middle frame
    otherwise: Plate | None = None,  # of the same movements; what is there where no frame shows it
) -> Plate:
    """The mean of what the frames show of the background."""
    size = lab.shape[1:3]
    moved, large = canvas(movements, size)
    times = np.zeros(large, np.float32)
    total = np.zeros((*large, 3), np.float32)
    squares = np.zeros(large, np.float32)
    for frame, shown, movement in zip(lab, free, moved, strict=True):
        # Only whole pixels count: at the rim of what is shown, the object would mix in.
        weight = (to_plate(shown.astype(np.float32), movement, large) > 0.99).astype(np.float32)
        there = to_plate(frame, movement, large)
        times += weight
        total += there * weight[..., None]
        squares += (there**2).sum(axis=-1) * weight
    mean = total / np.maximum(times, 1)[..., None]
    variance = np.maximum(squares / np.maximum(times, 1) - (mean**2).sum(axis=-1), 0)
    # Two frames say little about a spread: pixels around help out.
    weight = np.maximum(times - 1, 0)
    around = cv2.blur(weight, (7, 7))
    noise = float(np.sqrt((variance * weight).sum() / max(1.0, weight.sum())))
    spread = np.sqrt(cv2.blur(variance * weight, (7, 7)) / np.maximum(around, 0.05))
    spread = np.where(around > 0.5, np.maximum(spread, 0.5 * noise), noise).astype(np.float32)
    enough = times >= 2
    if otherwise is None:
        return Plate(mean, enough.astype(np.float32), spread, moved, size)
    mean = np.where(enough[..., None], mean, otherwise.lab)
    spread = np.where(enough, spread, otherwise.spread)
    return Plate(mean, np.maximum(enough, otherwise.seen), spread, moved, size)


def ring(shape: tuple[int, int]) -> np.ndarray:
    """The border of the picture, 3 % of its size wide: [h, w] bool."""
    height, width = shape
    result = np.ones(shape, bool)
    depth = max(2, round(0.03 * min(height, width)))
    result[depth:-depth, depth:-depth] = False
    return result
