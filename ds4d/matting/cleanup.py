"""Cleaning and checking of any engine's mattes by their continuity over time."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from ..clip import named_frames
from ..run.events import Event, Stage

LONGEST = 640  # pixels; larger mattes are analysed at this size
SMALL_BODY = 0.03  # share of the largest body's volume that a second body needs
FAINT = 8  # opacity out of 255 that counts as background
RIM = 3  # pixels around a body that is dropped, where its soft edge goes with it
NEIGHBOURS = 4  # frames that a frame's area is compared to
JUMP = 0.35  # share of the typical area by which a matte differs from its neighbours


def bodies(masks: np.ndarray) -> np.ndarray:
    """Keep of masks [T, H, W] bool the largest connected body in (time, y, x), and all bodies that
    are large beside it."""
    labels, numbers = ndimage.label(masks, structure=np.ones((3, 3, 3)))
    if numbers == 0:
        return masks
    volumes = np.bincount(labels.ravel())
    volumes[0] = 0
    return (volumes >= SMALL_BODY * volumes.max())[labels]


def cleaned(alphas: np.ndarray) -> np.ndarray:
    """Mattes [T, H, W] uint8 reduced to the object's bodies over time.

    Soft pixels stay with the body they touch; haze and specks that touch none become 0.
    """
    small = np.stack([shrunk(alpha, LONGEST) for alpha in alphas])
    solid = small > 127
    kept = bodies(solid)
    labels, numbers = ndimage.label(small > FAINT, structure=np.ones((3, 3, 3)))
    touches = np.zeros(numbers + 1, bool)
    touches[labels[kept]] = True
    touches[0] = False
    result = np.empty_like(alphas)
    for index, alpha in enumerate(alphas):
        near = _dilate(touches[labels[index]], 1)
        dropped = _dilate(solid[index] & ~kept[index], RIM) & ~_dilate(kept[index], RIM)
        mask = (near & ~dropped).astype(np.uint8)
        size = alpha.shape[::-1]
        result[index] = alpha * cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    return result


def reported(alphas: np.ndarray, network: str) -> Stage[np.ndarray]:
    """The mattes [T, H, W] uint8 of a network, cleaned; warns where it sees no object, and where
    its size jumps."""
    total = len(alphas)
    empty = np.flatnonzero(~alphas.any(axis=(1, 2)))
    alphas = cleaned(alphas)
    jumping = jumps(alphas)
    if len(empty):
        message = f"{network} sees no object in {named_frames(empty)}."
        yield Event("matting", total, total, message, warning=True)
    if len(jumping):
        message = f"The cut-out's size jumps in {named_frames(jumping)}: check it there."
        yield Event("matting", total, total, message, warning=True)
    return alphas


def jumps(alphas: np.ndarray) -> np.ndarray:
    """Indices of the frames in mattes [T, H, W] uint8 whose area differs from their neighbours'.

    A frame is compared to the median of those around it, relative to the changes elsewhere in the
    clip. Frames without an object are left out.
    """
    areas = np.array([np.count_nonzero(alpha > 127) for alpha in alphas], np.float64)
    frames = np.flatnonzero(areas)
    if len(frames) < 3:
        return frames[:0]
    areas = areas[frames]
    positions = np.arange(len(frames))
    change = np.empty(len(frames))
    for position in positions:
        nearest = np.argsort(np.abs(positions - position), kind="stable")[1 : NEIGHBOURS + 1]
        change[position] = abs(areas[position] - np.median(areas[nearest]))
    return frames[change > max(JUMP * np.median(areas), 6 * np.median(change))]


def shrunk(image: np.ndarray, longest: int) -> np.ndarray:
    """An image [H, W, ...] whose longer side has `longest` pixels at most."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """A mask grown by a square of this radius, pixels."""
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0
