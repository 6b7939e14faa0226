"""Surroundings of the picture in a clip's frames: bars, captions, transparent margins.

They are found in some frames of the clip and cut off all of them. The alpha channel is brought to
straight alpha.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..errors import UserError
from .captions import overlaid
from .sources import Source

PROBES = 6  # frames in which bars are looked for
BAR_NOISE = 14  # grey levels by which compression changes a bar
FILLED = 0.98  # share of the pixels beside a bar's text that have its colour, per row
TEXT_ROW = 0.5  # the same of a row that text crosses
INSIDE = 0.7  # share of the pixels of the picture's first rows that differ from the bar
LARGEST_BAR = 0.45  # share of the frame's side
SMALLEST_BAR = 0.02
STILL_TEXT = 60  # grey levels by which compression changes the letters of a caption
MOVING_TEXT = 0.002  # share of a bar on one side only; if more of it changes, it is no caption
WINDOW = 0.2  # share of the frame; a static opaque rectangle of more than this is no object
SOFT = (26, 230)  # alpha between which a pixel counts as an edge
Cut = tuple[int, int, int, int]  # pixels at top, bottom, left, right

EDGES = 40  # edge pixels that are needed to tell premultiplied from straight alpha


class Framed(NamedTuple):
    """Frames without what surrounded the picture."""

    frames: np.ndarray  # [T, h, w, 3], or [T, h, w, 4] if any pixel is transparent
    cut: Cut = (0, 0, 0, 0)  # pixels cut off: top, bottom, left, right
    notes: tuple[str, ...] = ()


def framed(frames: list[np.ndarray], source: Source) -> Framed:
    """Stack frames [H, W, 3 or 4] without what surrounds the picture.

    Frames of a prepared folder are only stacked.

    Raises:
        UserError: the frames differ in size.
    """
    stack = stacked(frames, source.name)
    if source.kind == "prepared":
        return Framed(stack)
    notes, cuts = [], [(0, 0, 0, 0)]
    if stack.shape[-1] == 4:
        cut = _window(stack[..., 3])
        if cut is not None:
            cuts.append(cut)
            stack = _without(stack[..., :3], cut)
            notes.append("Only a rectangle is opaque, which is no object: its margin is cut off.")
        elif _is_premultiplied(stack):
            stack = _straight(stack)
            notes.append("The colours were multiplied by the transparency, which is undone.")
    if stack.shape[-1] == 3:
        probes = stack[np.unique(np.linspace(0, len(stack) - 1, PROBES).round().astype(int))]
        cut, found = _around(probes)
        if found:
            cuts.append(cut)
            stack = _without(stack, cut)
            size = f"{stack.shape[2]} x {stack.shape[1]}"
            verb = "is" if len(found) == 1 and found[0].startswith("A ") else "are"
            notes.append(f"{' and '.join(found)} {verb} cut off: {size} pixels are left.")
            top, bottom, left, right = cut
            probes = probes[:, top : probes.shape[1] - bottom, left : probes.shape[2] - right]
        if overlaid(probes):
            notes.append("A caption lies over the picture, and over the object where they meet.")
    top, bottom, left, right = np.sum(cuts, axis=0).tolist()
    return Framed(stack, (top, bottom, left, right), tuple(notes))


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


def _without(stack: np.ndarray, cut: Cut) -> np.ndarray:
    top, bottom, left, right = cut
    _, height, width, _ = stack.shape
    return np.ascontiguousarray(stack[:, top : height - bottom, left : width - right])


# --- alpha --------------------------------------------------------------------------------------


def _window(alpha: np.ndarray) -> Cut | None:
    """Margins around the opaque part of mattes [T, H, W], if that is one large rectangle."""
    _, height, width = alpha.shape
    margins = []
    for solid in alpha > 127:
        rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
        if not len(rows):
            return None
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        if solid[top:bottom, left:right].mean() < FILLED:
            return None
        margins.append((top, height - bottom, left, width - right))
    top, bottom, left, right = np.max(margins, axis=0).tolist()
    area = (height - bottom - top) * (width - right - left) / (height * width)
    if np.ptp(margins, axis=0).max() > 2 or not WINDOW < area < 1:
        return None
    # An edge that lies between pixels is cut off as well.
    return top + (top > 0), bottom + (bottom > 0), left + (left > 0), right + (right > 0)


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


def _around(frames: np.ndarray) -> tuple[Cut, list[str]]:
    """The bars of some frames [T, H, W, 3], and words for them."""
    top, bottom, text = _bars(frames)
    words = _named(top, bottom, text, "above and below")
    inner = frames[:, top : frames.shape[1] - bottom]
    left, right, text = _bars(inner.swapaxes(1, 2))
    return (top, bottom, left, right), words + _named(left, right, text, "at the sides of")


def _named(first: int, second: int, text: bool, where: str) -> list[str]:
    if first and second:
        return [f"Bars{' with captions' if text else ''} {where} the picture"]
    return ["A caption beside the picture"] if first or second else []


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
    above = above if text_above and _stands(still[:above]) else 0
    below = below if text_below and _stands(still[len(still) - below :]) else 0
    return above, below, bool(above or below)


def _stands(changes: np.ndarray) -> bool:
    """True if a bar [h, W] changes no more over time than compression explains."""
    return float((changes > STILL_TEXT).mean()) < MOVING_TEXT


def _bar(frames: np.ndarray, color: np.ndarray) -> tuple[int, bool]:
    """Height of a bar of some colour at the top of frames [T, H, W, 3]; whether it holds text."""
    height = frames.shape[1]
    like = np.abs(frames.astype(np.int16) - color.astype(np.int16)).max(-1) <= BAR_NOISE
    share = like.mean(axis=2)  # [T, H]
    plain, crossed = (share >= FILLED).all(axis=0), (share >= TEXT_ROW).all(axis=0)
    inside = np.median(share, axis=0) <= 1 - INSIDE
    most = int(LARGEST_BAR * height)
    end = int(crossed.argmin()) if not crossed.all() else 0
    # Compression mixes the rows on both sides of the picture's edge.
    bar = SMALLEST_BAR * height <= end <= most and plain[max(0, end - 4) : end - 1].all()
    if not bar or not inside[end + 1 : end + 3].all():
        return 0, False
    return end + 1, not plain[: end - 1].all()
