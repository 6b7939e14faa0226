"""Mattes without a network.

1. The background (background.py, camera.py, texture.py). A plain one is what can be walked to from
   the border without crossing an edge. Before a textured one, movement and colours tell a first
   guess at the object. A camera that drifts is followed, and its frames are laid over each other.
2. The plate: the mean of what the first guess calls background, per place, over time.
3. What differs from the plate is the object, unless it is a shadow (evidence.py, shadow.py); where
   the plate was never seen, colours tell. Neighbouring frames are heard too (steady.py). A graph
   cut (cut.py) draws the outline.
4. Over time: the largest connected body in (time, y, x) and what is large beside it.
5. At the edge, opacity = how far the pixel lies on the way from the plate to the object (edge.py).
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
from .temporal import steadied

LONGEST = 640  # pixels; larger frames are matted at this size
LOOK_LONGEST = 256  # pixels; of the first look
CUT_LONGEST = 384  # pixels; of the graph cut
SAYS = 2.0  # nats that a colour says at most
KNOWN = 0.3  # the part of that which counts where the plate is known
GAP = 4  # pixels; half the gap that a thin neck may leave between parts of the object
DOUBT = 0.11  # share of the object that may come or go when all evidence shifts by SWAY
SWAY = 1.0  # nats


def run(frames: np.ndarray) -> Stage[np.ndarray]:
    """Mattes [T, H, W] uint8 of frames [T, H, W, 3 or 4] uint8 (an alpha channel: over white)."""
    count, height, width = frames.shape[:3]
    total = 4 * count
    yield Event("matting", 0, total, "looking at the background")
    rgb = over(frames) if frames.shape[-1] == 4 else frames
    work = np.stack([shrunk(frame, LONGEST) for frame in rgb])
    lab = np.stack(list(each(color_models.lab, work)))
    plate, masks, plain = yield from _look(work, lab, total)

    palettes = _palettes(lab, masks)

    def prove(index: int) -> np.ndarray:
        return shrunk(_evidence(lab[index], plate.behind(index), palettes, plain), CUT_LONGEST)

    told = Event("matting", count, total, "object")
    proofs = yield from gathered(each(prove, range(count)), told)
    proofs = list(steadied(np.stack(proofs), work))

    def outline(index: int) -> np.ndarray:
        mask = _resized(cut(proofs[index], shrunk(lab[index], CUT_LONGEST)), masks.shape[1:])
        behind, seen, _ = plate.behind(index)
        return likelihood.filled(mask, lab[index], behind, seen)

    told = Event("matting", 2 * count, total, "outline")
    outlines = yield from gathered(each(outline, range(count)), told)
    masks = _linked(np.stack(outlines))
    some = range(min(4, count // 2), count, 8)
    doubt = float(np.median([_sway(proofs[i], shrunk(lab[i], CUT_LONGEST)) for i in some]))
    if doubt > DOUBT:
        message = (
            f"The object is hard to tell from the background: {doubt:.0%} of its area is unsure."
        )
        yield Event("matting", 3 * count, total, message, warning=True)

    if plate.seen.any():
        plate = background.plate(lab, ~_dilated(masks, 4), plate.movements, plate)

    def soften(index: int) -> np.ndarray:
        behind, seen, _ = plate.behind(index)
        picture = work[index].astype(np.float32)
        alpha = alpha_edges.softened(picture, masks[index], color_models.rgb(behind), seen)
        alpha = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
        return (alpha * 255 + 0.5).astype(np.uint8)

    alphas = []
    board = checkerboard(height, width)
    for alpha in each(soften, range(count)):
        preview = over(np.dstack([rgb[len(alphas)], alpha]), board)
        alphas.append(alpha)
        yield Event("matting", 3 * count + len(alphas), total, "edges", preview)
    return np.stack(alphas)


# --- the background -----------------------------------------------------------------------------


def _look(
    work: np.ndarray,  # [T, h, w, 3] uint8
    lab: np.ndarray,  # [T, h, w, 3] float32
    total: int,
) -> Stage[tuple[Plate, np.ndarray, bool]]:
    """The plate, first masks [T, h, w], and whether the background is plain."""
    size = lab.shape[1:3]
    small = np.stack([shrunk(frame, LOOK_LONGEST) for frame in work])
    small_lab = np.stack([color_models.lab(frame) for frame in small])
    ground, share = background.open_ground(small_lab)
    if share > background.PLAIN:
        behind, seen = background.backdrop(small_lab, ground)
        rough = background.continued(behind, seen, small_lab)

        def outline(index: int) -> np.ndarray:
            frame = small_lab[index]
            proof = _evidence(frame, rough.behind(index), None, plain=True)
            return _resized(cut(proof, frame), size)

        told = Event("matting", 0, total, "plain background")
        masks = yield from gathered(each(outline, range(len(small_lab))), told)
        masks = _linked(np.stack(masks))
        behind, seen = (cv2.resize(image, size[::-1]) for image in (behind, seen))
        otherwise = background.continued(behind, seen, lab)
        movements = otherwise.movements
        return background.plate(lab, ~_dilated(masks, 4), movements, otherwise), masks, True

    movements = stabilization.movements(
        np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in small])
    )
    still = movements is not None
    if not still:
        doubt = "The background is neither plain nor still: check the matte."
        yield Event("matting", 0, total, doubt, warning=True)
        movements = np.stack([stabilization.IDENTITY] * len(lab))
    moved, large = background.canvas(movements, small.shape[1:3])
    guess = _linked((yield from motion_prior.guess(small_lab, moved, large, total, still)))
    guess = [
        background.from_plate(mask.astype(np.float32), movement, small.shape[1:3])
        for mask, movement in zip(guess, moved, strict=True)
    ]
    masks = np.stack([cv2.resize(mask, size[::-1]) > 0.5 for mask in guess])
    scale = size[1] / small.shape[2]
    movements = np.stack([stabilization.scaled(movement, scale) for movement in movements])
    free = ~_dilated(masks, 4) & still  # of a background that moves nothing can be laid over
    return background.plate(lab, free, movements), masks, False


def _palettes(lab: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How common colours are in the object and in the background."""
    step = max(1, lab.shape[1] // 256)
    lab, masks = lab[:, ::step, ::step], masks[:, ::step, ::step].astype(np.float32)
    return color_models.palette(lab, masks), color_models.palette(lab, 1 - masks)


# --- the object ---------------------------------------------------------------------------------


def _evidence(
    frame: np.ndarray,  # [h, w, 3] float32 Lab
    behind: tuple[np.ndarray, np.ndarray, np.ndarray],  # lab, seen, spread of the plate
    palettes: tuple[np.ndarray, np.ndarray] | None,
    plain: bool,
) -> np.ndarray:
    """Nats by which a frame's pixels are the object, [h, w] float32."""
    empty, seen, spread = behind
    proof = likelihood.differing(frame, empty, spread)
    if plain:
        proof[shadow.shadows(frame, empty, seen)] = -2
    if palettes is None:
        return proof
    says = color_models.likelier(frame, *palettes).clip(-SAYS, SAYS)
    return seen * (proof + KNOWN * says) + (1 - seen) * (says + 1)


def _sway(proof: np.ndarray, lab: np.ndarray) -> float:
    """The share of the object's area that goes or comes when all evidence shifts by SWAY nats."""
    loose, tight = cut(proof + SWAY, lab).sum(), cut(proof - SWAY, lab).sum()
    return 1 - tight / loose if loose else 0.0


def _linked(masks: np.ndarray) -> np.ndarray:
    """The bodies over time, with what a thin gap parts from them."""
    return masks & bodies(_dilated(masks, GAP))


def _dilated(masks: np.ndarray, radius: int) -> np.ndarray:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.stack([cv2.dilate(mask.astype(np.uint8), disc) > 0 for mask in masks])


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), size[::-1]) > 0.5
