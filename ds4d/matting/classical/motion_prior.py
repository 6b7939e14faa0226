"""First masks in front of a textured background, by motion and colour."""

from __future__ import annotations

import cv2
import numpy as np

from ...run.events import Event, Stage
from . import color_models
from .background import border_mask, to_plate, visible
from .color_models import length
from .graph_cut import cut
from .likelihood import difference_log_odds

SAME = 6.0  # Lab units within which two frames show the same thing
MAX_COLOR = 3.0  # nats of a colour's log-odds, at most
STATIC = -0.8  # nats for pixels that never move, near moving ones
STATIC_FAR = -2.6  # nats for pixels that never move, far from moving ones
BLUR = 4.0  # pixels; of the image that shows a colour's surroundings
REACH = 0.08  # of the image's size; far is beyond
ROUNDS = 2


def first_masks(
    lab: np.ndarray,  # [T, h, w, 3] float32
    transforms: np.ndarray,  # [T, 2, 3], each frame's pixels -> the canvas'
    canvas: tuple[int, int],  # its height and width
    total: int,  # steps of the whole stage
    still: bool = True,  # the background is; else only colours count
) -> Stage[np.ndarray]:
    """The object's masks [T, h', w'] bool in the canvas' pixels.

    The usual colour of each pixel over time is the background's, if it is like the border's, or
    that of an object in front of it, if it is like those of moving pixels. At other times a frame
    shows the object in front of the background, or the background that the object covered. The
    colour models of both sides are estimated again from the masks, in ROUNDS rounds.
    """
    size = lab.shape[1:3]
    stack = np.stack([to_plate(f, m, canvas) for f, m in zip(lab, transforms, strict=True)])
    shown = np.stack([visible(size, m, canvas) for m in transforms])
    borders = shown & np.stack([
        to_plate(border_mask(size).astype(np.float32), m, canvas) > 0.99 for m in transforms
    ])  # fmt: skip
    votes = yield from _count_similar(stack, total)
    usual = _usual_colors(stack, votes, shown)
    difference = length(stack - usual) * shown
    moving = np.stack([_open(frame > 2 * SAME) for frame in difference]) & still
    ever_masked = ever_moving = moving.any(axis=0)
    scales = _scales(stack)
    models = _color_models(scales, moving, borders)
    for step in range(ROUNDS):
        color = _color_log_odds(scales, models)
        usual = _usual_colors(stack, votes * np.exp(-0.5 * np.minimum(color + 1, 0)), shown)
        noise = np.median(length(stack - usual), axis=0)
        # Log-odds that the object stands in front of the background all the time.
        static = _color_log_odds([scale[0] for scale in _scales(usual[None])], models)
        distance = _distance(ever_masked | ever_moving) / (REACH * max(size))
        static += np.maximum(STATIC_FAR, STATIC - distance)
        nowhere = STATIC_FAR - MAX_COLOR
        covered = cut(np.where(shown.any(axis=0), static, nowhere), usual) | (not still)
        masks = np.empty_like(shown)
        for index, frame in enumerate(stack):
            by_motion = difference_log_odds(frame, usual, noise) + 0.5 * color[index]
            log_odds = np.where(covered, color[index] + still, by_motion)
            masks[index] = cut(np.where(shown[index], log_odds, nowhere), frame)
            yield Event("matting", (step * len(lab) + index) // ROUNDS, total, "first guess")
        # Static pixels near the object may belong to it: their colours count for neither side.
        ever_masked = masks.any(axis=0)
        far = _distance(ever_masked) > REACH * max(size)
        background = borders | (shown & ~masks & (ever_masked | far))
        models = _color_models(scales, masks, background)
    return masks


def _count_similar(stack: np.ndarray, total: int) -> Stage[np.ndarray]:
    """Number of frames that show the same at a pixel: [T, h, w] float32, of [T, h, w, 3]."""
    half = np.stack([
        cv2.resize(cv2.GaussianBlur(frame, (0, 0), 1.0), None, fx=0.5, fy=0.5) for frame in stack
    ])  # fmt: skip
    count = np.ones(half.shape[:3], np.float32)
    for a in range(len(half)):
        yield Event("matting", 0, total, "comparing frames")
        for b in range(a):
            distance = ((half[a] - half[b]) ** 2).sum(axis=-1)
            similarity = np.exp(distance / (-2 * SAME**2))
            count[a] += similarity
            count[b] += similarity
    return np.stack([cv2.resize(frame, stack.shape[2:0:-1]) for frame in count])


def _usual_colors(stack: np.ndarray, votes: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Mean of the colours around the one with most votes [T, h, w] at each pixel, [h, w, 3]."""
    best = np.where(shown, votes, 0).argmax(axis=0)
    chosen = np.take_along_axis(stack, best[None, ..., None], axis=0)[0]
    near = np.exp(((stack - chosen) ** 2).sum(axis=-1) / (-2 * SAME**2)) * shown
    total = np.einsum("thw,thwc->hwc", near, stack)
    return total / np.maximum(near.sum(axis=0), 1e-3)[..., None]


def _color_models(
    scales: list[np.ndarray],  # each [T, h, w, 3]
    foreground: np.ndarray,  # [T, h, w] bool
    background: np.ndarray,  # [T, h, w] bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Colour histograms of object and background at each scale."""
    return [
        tuple(
            color_models.histogram(scale[mask], np.ones(mask.sum()))
            for mask in (foreground, background)
        )
        for scale in scales
    ]


def _color_log_odds(
    scales: list[np.ndarray], models: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Nats by which colours belong to the object, summed over the scales."""
    log_odds = [
        color_models.log_odds(scale, *histograms).clip(-MAX_COLOR, MAX_COLOR)
        for scale, histograms in zip(scales, models, strict=True)
    ]
    return sum(log_odds).clip(-MAX_COLOR, MAX_COLOR)


def _scales(lab: np.ndarray) -> list[np.ndarray]:
    """Images [T, h, w, 3] sharp and blurred: the mortar of a brick wall may have the colour of the
    object, but not the wall as a whole."""
    return [lab, np.stack([cv2.GaussianBlur(frame, (0, 0), BLUR) for frame in lab])]


def _distance(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the mask, pixels."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)


def _open(mask: np.ndarray) -> np.ndarray:
    """Morphological opening: the mask without specks."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3))) > 0
