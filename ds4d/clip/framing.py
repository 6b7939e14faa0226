"""What surrounds the picture in a clip's frames: bars, captions, transparent margins.

They are found in some frames of the clip and cut off all of them. The alpha channel is brought to
straight alpha.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..errors import UserError
from .sources import Source

PROBES = 6  # frames in which bars are looked for
BAR_NOISE = 14  # grey levels by which compression changes a bar
FILLED = 0.98  # share of the pixels beside a bar's text that have its colour, per row
TEXT_ROW = 0.5  # the same of a row that text crosses
INSIDE = 0.7  # share of the pixels of the picture's first rows that differ from the bar
LARGEST_BAR = 0.45  # share of the frame's side
SMALLEST_BAR = 0.02
STILL_TEXT = 20  # grey levels; what changes more in a bar on one side only is no caption
WINDOW = 0.2  # share of the frame; a static opaque rectangle of more than this is no object
SOFT = (26, 230)  # alpha between which a pixel counts as an edge
EDGES = 40  # edge pixels that are needed to tell premultiplied from straight alpha


class Box(NamedTuple):
    """Part of a frame, pixels."""

    top: int
    bottom: int
    left: int
    right: int


def framed(frames: list[np.ndarray], source: Source) -> tuple[np.ndarray, tuple[str, ...]]:
    """Stack frames [H, W, 3 or 4] without what surrounds the picture; notes on what was done.

    Returns [T, h, w, 4] if any pixel is transparent, else [T, h, w, 3]. Frames of a prepared folder
    are only stacked.

    Raises:
        UserError: the frames differ in size.
    """
    stack = stacked(frames, source.name)
    if source.kind == "prepared":
        return stack, ()
    notes = []
    if stack.shape[-1] == 4:
        box = _window(stack[..., 3])
        if box is not None:
            stack = _cut(stack, box)[..., :3]
            notes.append("Only a rectangle is opaque, which is no object: its margin is cut off.")
        elif _is_premultiplied(stack):
            stack = _straight(stack)
            notes.append("The colours were multiplied by the transparency, which is undone.")
    if stack.shape[-1] == 3:
        probes = stack[np.unique(np.linspace(0, len(stack) - 1, PROBES).round().astype(int))]
        box, found = _picture(probes)
        if found:
            stack = _cut(stack, box)
            size = f"{box.right - box.left} x {box.bottom - box.top}"
            notes.append(f"{' and '.join(found)} cut off: {size} pixels are left.")
    return stack, tuple(notes)


def stacked(frames: list[np.ndarray], name: str) -> np.ndarray:
    """Stack frames to [T, H, W, 4] if any pixel is transparent, else to [T, H, W, 3].

    Raises:
        UserError: the frames differ in size.
    """
    if len({frame.shape[:2] for frame in frames}) > 1:
        raise UserError(
            f"The frames of {name} differ in size.", "Export the clip with one frame size."
        )
    if all(frame.shape[2] == 3 or frame[..., 3].min() == 255 for frame in frames):
        return np.stack([frame[..., :3] for frame in frames])
    opaque = np.full((*frames[0].shape[:2], 1), 255, np.uint8)
    return np.stack([
        frame if frame.shape[2] == 4 else np.concatenate([frame, opaque], -1) for frame in frames
    ])  # fmt: skip


def _cut(stack: np.ndarray, box: Box) -> np.ndarray:
    return np.ascontiguousarray(stack[:, box.top : box.bottom, box.left : box.right])


# --- alpha --------------------------------------------------------------------------------------


def _window(alpha: np.ndarray) -> Box | None:
    """The opaque part of mattes [T, H, W], if it is the same large rectangle in all of them."""
    boxes = []
    for solid in alpha > 127:
        rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
        if not len(rows):
            return None
        box = Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
        if solid[box.top : box.bottom, box.left : box.right].mean() < FILLED:
            return None
        boxes.append(box)
    same = np.ptp(np.array(boxes), axis=0).max() <= 2
    _, height, width = alpha.shape
    tops, bottoms, lefts, rights = zip(*boxes, strict=True)
    box = Box(max(tops), min(bottoms), max(lefts), min(rights))
    area = (box.bottom - box.top) * (box.right - box.left)
    # The edge of a rectangle that lies between pixels, or has round corners, is cut off as well.
    inner = Box(box.top + 1, box.bottom - 1, box.left + 1, box.right - 1)
    return inner if same and WINDOW < area / (height * width) < 1 else None


def _is_premultiplied(frames: np.ndarray) -> bool:
    """True if the colours at soft edges of frames [T, H, W, 4] are darkened by their alpha.

    They are compared with the nearest opaque colours, and with these times alpha.
    """
    plain = darkened = 0.0
    count = 0
    for frame in frames:
        alpha = frame[..., 3].astype(np.float32)
        edge = (alpha > SOFT[0]) & (alpha < SOFT[1])
        if (frame[..., :3].max(-1)[edge] > alpha[edge] + 3).mean() > 0.01 if edge.any() else False:
            return False  # premultiplied colours are never brighter than their alpha
        weight = cv2.blur((alpha > 250).astype(np.float32), (9, 9))
        near = edge & (weight > 0.02)
        if not near.any():
            continue
        opaque = np.where((alpha > 250)[..., None], frame[..., :3], 0).astype(np.float32)
        inside = (cv2.blur(opaque, (9, 9)) / np.maximum(weight, 1e-6)[..., None])[near]
        colors = frame[..., :3][near].astype(np.float32)
        plain += float(np.abs(colors - inside).sum())
        darkened += float(np.abs(colors - inside * alpha[near][:, None] / 255).sum())
        count += int(near.sum())
    return count >= EDGES and darkened < 0.5 * plain


def _straight(frames: np.ndarray) -> np.ndarray:
    """Frames [T, H, W, 4] with premultiplied alpha as straight alpha."""
    alpha = np.maximum(frames[..., 3:].astype(np.float32), 1)
    rgb = (frames[..., :3] * (255 / alpha) + 0.5).clip(0, 255).astype(np.uint8)
    return np.concatenate([rgb, frames[..., 3:]], axis=-1)


# --- bars ---------------------------------------------------------------------------------------


def _picture(frames: np.ndarray) -> tuple[Box, list[str]]:
    """The picture within bars in some frames [T, H, W, 3], and what else there is."""
    _, height, width = frames.shape[:3]
    top, bottom, text = _bars(frames)
    words = [f"Bars{' with captions' if text else ''} above and below the picture are"]
    words = words if top and bottom else ["A caption beside the picture is"] if top + bottom else []
    inner = frames[:, top : height - bottom]
    left, right, text = _bars(inner.swapaxes(1, 2))
    if left and right:
        words.append(f"Bars{' with captions' if text else ''} at the sides of the picture are")
    elif left or right:
        words.append("A caption beside the picture is")
    return Box(top, height - bottom, left, width - right), words


def _bars(frames: np.ndarray) -> tuple[int, int, bool]:
    """Heights of the bars at the top and bottom of frames [T, H, W, 3], and if they hold text.

    Bars on both sides have one colour, and the picture begins at a straight line across the whole
    frame. A bar on one side counts only if it holds text that stands still.
    """
    first = frames[len(frames) // 2].astype(np.int16)
    above, text_above = _bar(frames, np.median(first[0], axis=0))
    below, text_below = _bar(frames[:, ::-1], np.median(first[-1], axis=0))
    alike = np.abs(np.median(first[0], axis=0) - np.median(first[-1], axis=0)).max() <= BAR_NOISE
    if above and below and alike:
        return above, below, text_above or text_below
    still = np.ptp(frames.astype(np.int16), axis=0).max(-1)  # [H, W]
    above = above if text_above and still[:above].max() < STILL_TEXT else 0
    below = below if text_below and still[len(still) - below :].max() < STILL_TEXT else 0
    return above, below, bool(above or below)


def _bar(frames: np.ndarray, color: np.ndarray) -> tuple[int, bool]:
    """Height of a bar of some colour at the top of frames [T, H, W, 3]; whether it holds text."""
    height = frames.shape[1]
    like = np.abs(frames.astype(np.int16) - color.astype(np.int16)).max(-1) <= BAR_NOISE
    share = like.mean(axis=2)  # [T, H]
    plain, crossed = (share >= FILLED).all(axis=0), (share >= TEXT_ROW).all(axis=0)
    inside = np.median(share, axis=0) <= 1 - INSIDE
    most = int(LARGEST_BAR * height)
    end = int(crossed.argmin()) if not crossed.all() else 0
    # The picture's first row may be a mixture of both.
    starts = [row for row in (end, end + 1) if row + 1 < height and inside[row : row + 2].all()]
    if (
        not starts
        or not SMALLEST_BAR * height <= end <= most
        or not plain[max(0, end - 2) : end].all()
    ):
        return 0, False
    return starts[0], not plain[:end].all()
