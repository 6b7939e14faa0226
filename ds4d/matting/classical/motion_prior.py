"""A first guess at the object before a textured background, by what moves and by colours."""

from __future__ import annotations

import cv2
import numpy as np

from ...run.events import Event, Stage
from . import color_models
from .background import inside, ring, to_plate
from .color_models import length
from .graph_cut import cut

SAME = 6.0  # Lab units within which two frames show the same thing
SAYS = 3.0  # nats that a colour says at most
STAYS = -0.8  # nats for what never moves, amid what does
FAR = -2.6  # nats for what never moves, and lies far from what does
AROUND = 4.0  # pixels; of the blur that tells what a colour lies amid
REACH = 0.08  # of the picture's size; far is beyond
ROUNDS = 3


def guess(
    lab: np.ndarray,  # [T, h, w, 3] float32
    movements: np.ndarray,  # [T, 2, 3], each frame's pixels -> the canvas'
    canvas: tuple[int, int],  # its height and width
    total: int,  # steps of the whole stage
    still: bool = True,  # whether the background is; else colours alone tell
) -> Stage[np.ndarray]:
    """The object's masks [T, h', w'] bool in the canvas' pixels.

    Each place has a usual look: that is the background, if its colours are the border's, or the
    object standing before it, if they are those of moving things. Elsewhen a frame shows the object
    before the background, or what the object covered. Which colours belong to which side is asked
    again when masks are there.
    """
    size = lab.shape[1:3]
    stack = np.stack([to_plate(f, m, canvas) for f, m in zip(lab, movements, strict=True)])
    shown = np.stack([inside(size, m, canvas) for m in movements])
    rings = shown & np.stack([
        to_plate(ring(size).astype(np.float32), m, canvas) > 0.99 for m in movements
    ])  # fmt: skip
    alike = yield from _alike(stack, total)
    usual = _usual(stack, alike, shown)
    off = length(stack - usual) * shown
    moves = np.stack([_opened(frame > 2 * SAME) for frame in off]) & still
    ever = moved = moves.any(axis=0)
    looks = _looks(stack)
    sides = _sides(looks, moves, rings)  # where nothing moves, any colour may be the object's
    for step in range(ROUNDS):
        says = _says(looks, sides)
        usual = _usual(stack, alike * np.exp(-0.5 * np.minimum(says + 1, 0)), shown)
        off = length(stack - usual)
        covers = _says([look[0] for look in _looks(usual[None])], sides)
        covers += np.maximum(FAR, STAYS - _distance(ever | moved) / (REACH * max(size)))
        covered = cut(np.where(shown.any(axis=0), covers, FAR - SAYS), usual) | (not still)
        masks = np.empty_like(shown)
        for index, frame in enumerate(stack):
            differs = np.minimum(3 * off[index] / (2 * SAME) - 3, 6)
            proof = np.where(covered, says[index] + still, differs + 0.5 * says[index])
            masks[index] = cut(np.where(shown[index], proof, FAR - SAYS), frame)
            yield Event("matting", (step * len(lab) + index) // ROUNDS, total, "first guess")
        # What stands still near the object may belong to it: its colours count for neither side.
        ever = masks.any(axis=0)
        far = _distance(ever) > REACH * max(size)
        behind = rings | (shown & ~masks & (ever | far))
        sides = _sides(looks, masks, behind)
    return masks


def _alike(stack: np.ndarray, total: int) -> Stage[np.ndarray]:
    """How many other frames show the same there: [T, h, w] float32, of frames [T, h, w, 3]."""
    half = np.stack([
        cv2.resize(cv2.GaussianBlur(frame, (0, 0), 1.0), None, fx=0.5, fy=0.5) for frame in stack
    ])  # fmt: skip
    count = np.ones(half.shape[:3], np.float32)
    for a in range(len(half)):
        yield Event("matting", 0, total, "comparing frames")
        for b in range(a):
            far = ((half[a] - half[b]) ** 2).sum(axis=-1)
            near = np.exp(far / (-2 * SAME**2))
            count[a] += near
            count[b] += near
    return np.stack([cv2.resize(frame, stack.shape[2:0:-1]) for frame in count])


def _usual(stack: np.ndarray, votes: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """The look that gets most votes [T, h, w] at each place: its mean colours [h, w, 3]."""
    best = np.where(shown, votes, 0).argmax(axis=0)
    chosen = np.take_along_axis(stack, best[None, ..., None], axis=0)[0]
    near = np.exp(((stack - chosen) ** 2).sum(axis=-1) / (-2 * SAME**2)) * shown
    total = np.einsum("thw,thwc->hwc", near, stack)
    return total / np.maximum(near.sum(axis=0), 1e-3)[..., None]


def _sides(
    looks: list[np.ndarray],  # each [T, h, w, 3]
    front: np.ndarray,  # [T, h, w] bool
    behind: np.ndarray,  # [T, h, w] bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each look, the palettes of the object and of the background."""
    return [
        tuple(color_models.palette(look[side], np.ones(side.sum())) for side in (front, behind))
        for look in looks
    ]


def _says(looks: list[np.ndarray], sides: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Nats by which colours speak for the object, all looks together."""
    words = [
        color_models.likelier(look, *palettes).clip(-SAYS, SAYS)
        for look, palettes in zip(looks, sides, strict=True)
    ]
    return sum(words).clip(-SAYS, SAYS)


def _looks(lab: np.ndarray) -> list[np.ndarray]:
    """Pictures [T, h, w, 3] sharp and blurred: the mortar of a brick wall may be as grey as the
    object, but not the wall as a whole."""
    return [lab, np.stack([cv2.GaussianBlur(frame, (0, 0), AROUND) for frame in lab])]


def _distance(mask: np.ndarray) -> np.ndarray:
    """Pixels from each pixel to the mask."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)


def _opened(mask: np.ndarray) -> np.ndarray:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3))) > 0
