"""Which drawn views are out of line: nothing there, another shape, or another colour.

A view is compared with all other frames of the same view. It is out of line where it is like none
of them, by far more than this view's frames usually are unlike each other and than the real front
view is at that moment: a fast object changes everywhere, a mistake is in one place only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import UserError

SIDE = 64  # views are compared at this size, pixels
UNUSUAL = 1.8  # times the usual difference
EXCUSE = 2.0  # times what the front view changes more than usual at that moment
SHAPE = 0.1  # differences of silhouettes (1 - IoU) that are nothing to speak of
COLOR = 9.0  # differences of mean colours that are nothing to speak of, Lab units
EMPTY = 0.1  # share of the view's usual area below which nothing is there
NAMED = 4  # views that a sentence names before it counts the rest


@dataclass(frozen=True)
class Flag:
    """A view that is out of line, and in what."""

    frame: int
    view: int  # as in the images; 0, the real front view, is never flagged
    words: str


def named_views(
    names: Sequence[str],  # FRAME:VIEW, both from 1 on, as messages count them
    frames: int,
    views: int,  # with the front view, which cannot be named
) -> np.ndarray:
    """Which views are named, [T, V] bool; False in frames that a clip does not have.

    Raises:
        UserError: a name is not of this form, or there is no such view.
    """
    found = np.zeros((frames, views), bool)
    for name in names:
        frame, _, view = name.partition(":")
        if not (frame.isdigit() and view.isdigit() and int(frame) and 0 < int(view) < views):
            raise UserError(
                f"{name} names no view.", f"Write FRAME:VIEW, with a view from 1 to {views - 1}."
            )
        if int(frame) <= frames:
            found[int(frame) - 1, int(view)] = True
    return found


def told(found: Sequence[Flag]) -> str:
    """One sentence about the views that are out of line."""
    named = [f"view {flag.view} of frame {flag.frame + 1} ({flag.words})" for flag in found[:NAMED]]
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"Out of line with their neighbours: {', '.join(named)}{more}."


def flags(images: np.ndarray) -> list[Flag]:
    """Views that do not fit their neighbours in time, in order of frames, then of views.

    Args:
        images: [T, V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view. Fewer
            than three frames say nothing about each other.
    """
    if len(images) < 3:
        return []
    looks = [[_Look.of(image) for image in views] for views in images]
    times, views = len(images), images.shape[1]
    areas = np.array([[look.mask.sum() for look in row] for row in looks], float)  # [T, V]
    usual = np.median(areas, axis=0)
    empty = areas < np.maximum(EMPTY * usual, 1)
    odd = {
        "shape": _odd(looks, empty, _shape, SHAPE),
        "colour": _odd(looks, empty, _color, COLOR),
    }
    found = []
    for frame in range(times):
        for view in range(1, views):
            named = [words for words, where in odd.items() if where[frame, view]]
            if empty[frame, view] and not empty[frame, 0] and usual[view]:
                found.append(Flag(frame, view, "nothing is there"))
            elif named:
                found.append(Flag(frame, view, f"another {' and '.join(named)}"))
    return found


@dataclass(frozen=True)
class _Look:
    mask: np.ndarray  # [SIDE, SIDE] bool
    color: np.ndarray  # [3] mean of the object, Lab

    @staticmethod
    def of(image: np.ndarray) -> _Look:
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        mask = small[..., 3] > 127
        lab = cv2.cvtColor(small[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        return _Look(mask, lab[mask].mean(0) if mask.any() else np.zeros(3))


def _shape(a: _Look, b: _Look) -> float:
    return 1 - (a.mask & b.mask).sum() / max((a.mask | b.mask).sum(), 1)


def _color(a: _Look, b: _Look) -> float:
    return float(np.linalg.norm(a.color - b.color))


def _odd(
    looks: list[list[_Look]],  # [T][V]
    empty: np.ndarray,  # [T, V] bool
    difference: Callable[[_Look, _Look], float],
    floor: float,
) -> np.ndarray:
    """Where a view is like no other frame of its own, [T, V] bool.

    In longer clips one look-alike is not enough: the same mistake may be made twice.
    """
    times, views = empty.shape
    needed = 2 if times >= 6 else 1
    unlike = np.zeros((times, views))
    for view in range(views):
        there = np.flatnonzero(~empty[:, view])
        if len(there) <= needed:
            continue
        for frame in there:
            others = [difference(looks[frame][view], looks[o][view]) for o in there if o != frame]
            unlike[frame, view] = np.sort(others)[needed - 1]
    usual = np.median(unlike, axis=0)  # [V]
    front = np.maximum(unlike[:, :1] - usual[0], 0)
    return unlike > np.maximum(floor, UNUSUAL * usual) + EXCUSE * front
