"""Detection of generated views that are outliers in time: empty, of another shape or colour.

Each view is compared with the same view in all other frames. It is an outlier if it differs from
its nearest neighbour among them by far more than this view's frames usually do, and by more than
the real front view differs at that moment: a fast object changes in all views, an error is in one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import UserError

SIDE = 64  # pixels; views are compared at this size
RATIO = 1.8  # of a difference to the view's median one, from which on it is unusual
FRONT_ALLOWANCE = 2.0  # factor on the front view's excess over its own median at that frame
MIN_SHAPE = 0.1  # smallest difference of silhouettes (1 - IoU) that counts
MIN_COLOR = 9.0  # smallest difference of mean colours that counts, Lab units
EMPTY = 0.1  # share of the view's median area below which it is empty
NAMED = 4  # views that a message names before it only counts
MIN_FRAMES = 3  # that can be compared
LONG = 6  # frames, from which on the second nearest neighbour decides: an error may occur twice


@dataclass(frozen=True)
class Flag:
    """An outlier, and the reason for it."""

    frame: int
    view: int  # index into the images; the front view, 0, is never flagged
    reason: str  # e.g. "another shape"


def named_views(
    names: Sequence[str],  # FRAME:VIEW, both counted from 1 as in messages
    frames: int,
    views: int,  # including the front view, which cannot be named
) -> np.ndarray:
    """Mask [T, V] bool of the named views; names of frames that the clip lacks are ignored.

    Raises:
        UserError: a name does not have this form, or there is no such view.
    """
    mask = np.zeros((frames, views), bool)
    for name in names:
        frame, _, view = name.partition(":")
        if not (frame.isdigit() and view.isdigit() and int(frame) and 0 < int(view) < views):
            raise UserError(
                f"{name} names no view.", f"Write FRAME:VIEW, with a view from 1 to {views - 1}."
            )
        if int(frame) <= frames:
            mask[int(frame) - 1, int(view)] = True
    return mask


def describe(flags: Sequence[Flag]) -> str:
    """Name the flagged views in one sentence, frames counted from 1."""
    names = [f"view {flag.view} of frame {flag.frame + 1} ({flag.reason})" for flag in flags]
    more = f" and {len(flags) - NAMED} more" if len(flags) > NAMED else ""
    return f"Views that do not fit their neighbours: {', '.join(names[:NAMED])}{more}."


def find_outliers(images: np.ndarray) -> list[Flag]:
    """Flag views that do not fit the same view in other frames, ordered by frame, then view.

    Args:
        images: [T, V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view. Clips
            of fewer than MIN_FRAMES frames have no flags.
    """
    times, views = images.shape[:2]
    if times < MIN_FRAMES:
        return []
    summaries = [[_Summary.of(image) for image in row] for row in images]
    areas = np.array([[summary.mask.sum() for summary in row] for row in summaries], float)
    median_area = np.median(areas, axis=0)  # [V]
    empty = areas < np.maximum(EMPTY * median_area, 1)  # [T, V]
    outliers = {
        "shape": _outliers(summaries, empty, _shape_difference, MIN_SHAPE),
        "colour": _outliers(summaries, empty, _color_difference, MIN_COLOR),
    }
    flags = []
    for frame in range(times):
        for view in range(1, views):
            kinds = [kind for kind, mask in outliers.items() if mask[frame, view]]
            if empty[frame, view] and not empty[frame, 0] and median_area[view]:
                flags.append(Flag(frame, view, "empty"))
            elif kinds:
                flags.append(Flag(frame, view, f"another {' and '.join(kinds)}"))
    return flags


@dataclass(frozen=True)
class _Summary:
    """Shape and colour of one view."""

    mask: np.ndarray  # [SIDE, SIDE] bool
    color: np.ndarray  # [3] mean of the object, Lab

    @staticmethod
    def of(image: np.ndarray) -> _Summary:
        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        mask = small[..., 3] > 127
        lab = cv2.cvtColor(small[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        return _Summary(mask, lab[mask].mean(0) if mask.any() else np.zeros(3))


def _shape_difference(a: _Summary, b: _Summary) -> float:
    """1 - IoU of the silhouettes."""
    return 1 - (a.mask & b.mask).sum() / max((a.mask | b.mask).sum(), 1)


def _color_difference(a: _Summary, b: _Summary) -> float:
    """Distance of the mean colours, Lab units."""
    return float(np.linalg.norm(a.color - b.color))


def _outliers(
    summaries: list[list[_Summary]],  # [T][V]
    empty: np.ndarray,  # [T, V] bool
    difference: Callable[[_Summary, _Summary], float],
    minimum: float,  # smallest difference that counts
) -> np.ndarray:
    """Mask [T, V] bool of views whose nearest neighbour in time is unusually different."""
    times, views = empty.shape
    neighbour = 1 if times >= LONG else 0  # 0 = the nearest one
    differences = np.zeros((times, views))
    for view in range(views):
        present = np.flatnonzero(~empty[:, view])
        if len(present) <= neighbour + 1:
            continue
        for frame in present:
            to_others = [
                difference(summaries[frame][view], summaries[other][view])
                for other in present
                if other != frame
            ]
            differences[frame, view] = np.sort(to_others)[neighbour]
    median = np.median(differences, axis=0)  # [V]
    front_excess = np.maximum(differences[:, :1] - median[0], 0)  # [T, 1]
    return differences > np.maximum(minimum, RATIO * median) + FRONT_ALLOWANCE * front_excess
