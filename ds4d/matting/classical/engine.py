"""The classical matting engine, for clips of one object without any network.

1. Background (background.py, stabilization.py, motion_prior.py). A plain one is everything that is
   connected to the border without an edge between. In front of a textured one, motion and colours
   give first masks. The motion of a camera that drifts is estimated and undone.
2. Clean plate: the median over time, per pixel, of everything outside the first masks.
3. Pixels that differ from the plate are the object, unless they lie in a shadow (likelihood.py,
   shadow.py); where the plate is not known, colours decide. Log-odds are smoothed over time
   (temporal.py). A graph cut (graph_cut.py) finds the outline.
4. The largest connected body in (time, y, x) is kept, and what is large beside it.
5. Opacity at the edge by the colours of both sides (alpha_edges.py).
"""

from __future__ import annotations

import cv2
import numpy as np

from ...images import checkerboard, over
from ...run.events import Event, Stage, gathered
from ...run.parallel import each
from ..cleanup import bodies, shrunk
from . import alpha_edges, background, color_models, likelihood, motion_prior, shadow, stabilization
from .background import Plate
from .graph_cut import cut
from .temporal import smooth

LONGEST = 640  # pixels; larger frames are matted at this size
FIRST_LONGEST = 256  # pixels; of the first masks
CUT_LONGEST = 384  # pixels; of the graph cut
MAX_COLOR = 2.0  # nats of a colour's log-odds, at most
COLOR_SHARE = 0.3  # weight of colours where the plate is known
GAP = 4  # pixels; half the gap that a thin neck may leave between parts of the object
UNSURE = 0.11  # share of the object that may come or go when all log-odds shift by SHIFT
SHIFT = 1.0  # nats


def run(frames: np.ndarray) -> Stage[np.ndarray]:
    """Mattes [T, H, W] uint8 of frames [T, H, W, 3 or 4] uint8; an alpha channel: over white."""
    count, height, width = frames.shape[:3]
    total = 4 * count
    yield Event("matting", 0, total, "analysing the background")
    rgb = over(frames) if frames.shape[-1] == 4 else frames
    work = np.stack([shrunk(frame, LONGEST) for frame in rgb])
    lab = np.stack(list(each(color_models.lab, work)))
    plate, masks, plain = yield from _background(work, lab, total)

    histograms = _histograms(lab, masks)

    def frame_log_odds(index: int) -> np.ndarray:
        full = _log_odds(lab[index], plate.in_frame(index), histograms, plain)
        return shrunk(full, CUT_LONGEST)

    event = Event("matting", count, total, "object")
    log_odds = yield from gathered(each(frame_log_odds, range(count)), event)
    log_odds = list(smooth(np.stack(log_odds), work))

    def contrast(index: int) -> np.ndarray:
        """The frame without the background's own edges, which the outline shall not follow."""
        difference = lab[index] - plate.in_frame(index)[0]
        difference[..., 0] += 50  # lightness around its middle, as the cut expects it
        return shrunk(difference, CUT_LONGEST)

    def outline(index: int) -> np.ndarray:
        mask = _resize(cut(log_odds[index], contrast(index)), masks.shape[1:])
        clean, confidence, _ = plate.in_frame(index)
        return likelihood.fill_holes(mask, lab[index], clean, confidence)

    event = Event("matting", 2 * count, total, "outline")
    outlines = yield from gathered(each(outline, range(count)), event)
    masks = _keep_bodies(np.stack(outlines))
    sample = range(min(4, count // 2), count, 8)
    unsure = float(np.median([_unsure(log_odds[i], contrast(i)) for i in sample]))
    if unsure > UNSURE:
        message = (
            f"The object is hard to tell from the background: {unsure:.0%} of its area is unsure."
        )
        yield Event("matting", 3 * count, total, message, warning=True)

    def finish(index: int) -> np.ndarray:
        clean, confidence, _ = plate.in_frame(index)
        alpha = alpha_edges.estimate_alpha(lab[index], masks[index], clean, confidence)
        alpha = cv2.resize(alpha, (width, height))
        return (alpha * 255 + 0.5).astype(np.uint8)

    yield Event("matting", 3 * count, total, "edges")
    alphas = []
    board = checkerboard(height, width)
    for alpha in each(finish, range(count)):
        preview = over(np.dstack([rgb[len(alphas)], alpha]), board)
        alphas.append(alpha)
        yield Event("matting", 3 * count + len(alphas), total, "edges", preview)
    return np.stack(alphas)


# --- background ---------------------------------------------------------------------------------


def _background(
    work: np.ndarray,  # [T, h, w, 3] uint8
    lab: np.ndarray,  # [T, h, w, 3] float32
    total: int,
) -> Stage[tuple[Plate, np.ndarray, bool]]:
    """The clean plate, first masks [T, h, w] bool, and whether the background is plain."""
    small = np.stack([shrunk(frame, FIRST_LONGEST) for frame in work])
    small_lab = np.stack([color_models.lab(frame) for frame in small])
    flooded, share = background.flood_from_border(small_lab)
    if share > background.PLAIN:
        plate, masks = yield from _plain_background(lab, small_lab, flooded, total)
        return plate, masks, True
    plate, masks = yield from _textured_background(lab, small, small_lab, total)
    return plate, masks, False


def _plain_background(
    lab: np.ndarray,  # [T, h, w, 3] float32
    small_lab: np.ndarray,  # [T, h', w', 3] float32
    flooded: np.ndarray,  # [T, h', w'] bool
    total: int,
) -> Stage[tuple[Plate, np.ndarray]]:
    """Plate and first masks in front of a plain backdrop."""
    size = lab.shape[1:3]
    clean, known = background.backdrop(small_lab, flooded)
    rough = background.backdrop_plate(clean, known, small_lab)

    def outline(index: int) -> np.ndarray:
        frame = small_lab[index]
        log_odds = _log_odds(frame, rough.in_frame(index), None, plain=True)
        return _resize(cut(log_odds, frame), size)

    event = Event("matting", 0, total, "plain background")
    masks = yield from gathered(each(outline, range(len(small_lab))), event)
    masks = _keep_bodies(np.stack(masks))
    clean, known = (cv2.resize(image, size[::-1]) for image in (clean, known))
    fallback = background.backdrop_plate(clean, known, lab)
    free = ~_dilate(masks, 4)
    return background.median_plate(lab, free, fallback.transforms, fallback), masks


def _textured_background(
    lab: np.ndarray,  # [T, h, w, 3] float32
    small: np.ndarray,  # [T, h', w', 3] uint8
    small_lab: np.ndarray,  # [T, h', w', 3] float32
    total: int,
) -> Stage[tuple[Plate, np.ndarray]]:
    """Plate and first masks in front of a textured background, by motion and colour."""
    size, small_size = lab.shape[1:3], small.shape[1:3]
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small])
    transforms = stabilization.camera_transforms(grey)
    still = transforms is not None
    if not still:
        message = "The background is neither plain nor still: check the matte."
        yield Event("matting", 0, total, message, warning=True)
        transforms = np.stack([stabilization.IDENTITY] * len(lab))
    shifted, canvas = background.fit_canvas(transforms, small_size)
    masks = yield from motion_prior.first_masks(small_lab, shifted, canvas, total, still)
    masks = [
        background.from_plate(mask.astype(np.float32), transform, small_size)
        for mask, transform in zip(_keep_bodies(masks), shifted, strict=True)
    ]
    masks = np.stack([cv2.resize(mask, size[::-1]) > 0.5 for mask in masks])
    scale = size[1] / small_size[1]
    transforms = np.stack([stabilization.rescale(transform, scale) for transform in transforms])
    free = ~_dilate(masks, 4) & still  # a background that is not still has no mean
    return background.median_plate(lab, free, transforms), masks


def _histograms(lab: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour histograms of the object and of the background."""
    step = max(1, lab.shape[1] // 256)
    lab, masks = lab[:, ::step, ::step], masks[:, ::step, ::step].astype(np.float32)
    return color_models.histogram(lab, masks), color_models.histogram(lab, 1 - masks)


# --- object -------------------------------------------------------------------------------------


def _log_odds(
    frame: np.ndarray,  # [h, w, 3] float32 Lab
    plate: tuple[np.ndarray, np.ndarray, np.ndarray],  # lab, confidence, noise in this frame
    histograms: tuple[np.ndarray, np.ndarray] | None,  # of object and background
    plain: bool,  # whether the background is
) -> np.ndarray:
    """Nats by which a frame's pixels are the object, [h, w] float32."""
    clean, confidence, noise = plate
    difference = likelihood.difference_log_odds(frame, clean, noise)
    if plain:
        difference[shadow.shadow_mask(frame, clean, confidence)] = -2
    if histograms is None:
        return difference
    color = color_models.log_odds(frame, *histograms).clip(-MAX_COLOR, MAX_COLOR)
    return confidence * (difference + COLOR_SHARE * color) + (1 - confidence) * (color + 1)


def _unsure(log_odds: np.ndarray, lab: np.ndarray) -> float:
    """Share of the object's area that comes or goes when all log-odds shift by SHIFT nats."""
    loose, tight = cut(log_odds + SHIFT, lab).sum(), cut(log_odds - SHIFT, lab).sum()
    return 1 - tight / loose if loose else 0.0


def _keep_bodies(masks: np.ndarray) -> np.ndarray:
    """Masks [T, h, w] of the large bodies over time, with parts that a thin gap separates."""
    return masks & bodies(_dilate(masks, GAP))


def _dilate(masks: np.ndarray, radius: int) -> np.ndarray:
    """Masks [T, h, w] grown by a radius, pixels."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.stack([cv2.dilate(mask.astype(np.uint8), disc) > 0 for mask in masks])


def _resize(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask [h, w] bool at another size."""
    return cv2.resize(mask.astype(np.float32), size[::-1]) > 0.5
