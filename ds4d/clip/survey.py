"""Frames of a clip that a run may use: readable, not blank, and no repeats of the one before.

Short parts of a clip are looked at frame by frame, as small grey images. Of long ones a dozen
frames are looked at: their used frames lie so far apart that repeats do not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from .sources import Source

WHOLE = 8  # times config.frames: parts of at most so many frames are looked at frame by frame
LOOK_PIXELS = 1_500_000_000  # pixels that are decoded at most to look at every frame of a video
STILL_PIXELS = 300_000_000  # the same of images, which are decoded more slowly
SPARSE_PIXELS = 1_000_000_000  # the same to look at some frames of a longer part
LOOKS = 12  # frames that are looked at in a longer part
BLANK = 16  # grey levels; a frame whose small grey image spans no more shows nothing
NOISE = 8.0  # grey levels by which compression changes 8 x 8 pixels of a repeated frame
MOTION = 0.08  # a repeat changes less than this share of what neighbouring frames change
LARGE_NOISE = 40.0  # the same in strongly compressed clips, grey levels
SMALL_SHARE = 0.33  # and as a share of what neighbouring frames change
FEWEST_RUNS = 3  # of repeats; with fewer, they do not come regularly
LONGEST_REPEAT = 6  # frames; what stands still for longer is a pause in the motion
NEAR = 8  # neighbouring frames that a change is compared with
REPEATED = 0.15  # share of the frames; with fewer, the object just moves unevenly
TOUCH = 0.001  # seconds: the page and many programs round times to milliseconds


@dataclass(frozen=True)
class Usable:
    """Numbers of the frames [K] that a run may use, and what was found about the others."""

    indices: np.ndarray
    notes: tuple[str, ...] = ()


def usable(source: Source, config: ClipConfig) -> Usable:
    """Find the frames between config.start and config.end that a run may use.

    Raises:
        UserError: there are fewer than two, or the source has no frame rate.
    """
    part = _part(source, config)
    if source.kind == "prepared":
        return Usable(part)
    pixels = len(part) * math.prod(source.size)
    most = LOOK_PIXELS if source.kind == "video" else STILL_PIXELS
    if len(part) > WHOLE * config.frames or pixels > most:
        return _longer(source, part)
    seen = dict(source.look(part.tolist()))
    if len(seen) < 2:
        raise UserError(
            f"{source.name} has {'only one' if seen else 'no'} frame that can be read.",
            "Give a clip in which the object moves: a video, a GIF or a folder of images.",
        )
    kept = np.array(sorted(seen))
    notes = [*_cut_off(source), *lost_frames(source, np.setdiff1d(part, kept))]
    shown = np.array([_shows(seen[index]) for index in kept.tolist()])
    kept, blank = _without_blank_ends(source, kept, shown)
    repeats = _repeats([seen[index] for index in kept.tolist()])
    if repeats.any():
        blank.append(
            f"{repeats.sum()} of {len(kept)} frames repeat the one before: they are left out, and "
            "count only once."
        )
    return Usable(kept[~repeats], (*notes, *blank))


def affordable(source: Source, indices: np.ndarray) -> np.ndarray:
    """Numbers of frames [K] near the given ones that are decoded within SPARSE_PIXELS."""
    frames = int(SPARSE_PIXELS / len(indices) / math.prod(source.size))
    return source.affordable(indices, frames)


def evenly(items: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the items, evenly spaced, first and last included."""
    return items[np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


def lost_frames(source: Source, lost: np.ndarray) -> list[str]:
    """A sentence on the frames that cannot be decoded."""
    if not len(lost):
        return []
    frames = f"{len(lost)} of {source.count} frames are"
    if len(lost) == 1:
        frames = f"1 of {source.count} frames is"
    where = f"number {lost[0] + 1}" if len(lost) == 1 else f"{lost[0] + 1} to {lost[-1] + 1}"
    if source.seconds is not None:
        first, last = source.times[lost[0]], source.times[lost[-1]]
        where = f"at {first:.2f} s" if len(lost) == 1 else f"from {first:.2f} s to {last:.2f} s"
    return [
        f"{source.name} is damaged: {frames} missing or broken ({where}); "
        "the others keep their time."
    ]


def _part(source: Source, config: ClipConfig) -> np.ndarray:
    """Numbers of the frames that are on the screen from start to end."""
    if not config.start and config.end is None:
        return np.arange(source.count)
    if source.seconds is None:
        raise UserError(
            f"{source.name} has no frame rate, so no part can be chosen by seconds.",
            "Remove the images that are not wanted, and leave out start and end.",
        )
    end = math.inf if config.end is None else config.end
    ends = np.append(source.times[1:], source.seconds)
    chosen = np.flatnonzero((ends > config.start + TOUCH) & (source.times <= end + TOUCH))
    if len(chosen) < 2:
        until = "its end" if config.end is None else f"{config.end:g} s"
        raise UserError(
            f"From {config.start:g} s to {until}, {source.name} has fewer than two frames.",
            f"It lasts {source.seconds:.1f} s.",
        )
    return chosen


def _longer(source: Source, part: np.ndarray) -> Usable:
    """The same for a part that is too long to look at every frame: its blank ends are cut."""
    looked = np.unique(affordable(source, evenly(part, LOOKS)).clip(part[0]))
    notes = _cut_off(source)
    seen = {index: _shows(grey) for index, grey in source.look(looked[[0, -1]].tolist())}
    if all(seen.values()):
        return Usable(part, tuple(notes))
    seen |= {index: _shows(grey) for index, grey in source.look(looked[1:-1].tolist())}
    found = np.array(sorted(index for index, shows in seen.items() if shows))
    if not len(found):
        return Usable(part, tuple(notes))
    first, last = part[0], part[-1]
    if not seen.get(int(looked[0]), True):
        first = _edge(source, int(looked[0]), int(found[0]))
    if not seen.get(int(looked[-1]), True):
        last = _edge(source, int(looked[-1]), int(found[-1]))
    shown = (part >= first) & (part <= last)
    kept, blank = _without_blank_ends(source, part, shown)
    return Usable(kept, (*notes, *blank))


def _edge(source: Source, blank: int, shows: int) -> int:
    """A frame that shows something, as near as possible to one that is blank."""
    while abs(shows - blank) > 1:
        middle = affordable(source, np.array([(blank + shows) // 2]))
        seen = [(index, _shows(grey)) for index, grey in source.look(middle.tolist())]
        if not seen or seen[0][0] in (blank, shows):
            break
        index, something = seen[0]
        blank, shows = (blank, index) if something else (index, shows)
    return shows


def _cut_off(source: Source) -> list[str]:
    if source.promised is None or source.count >= source.promised:
        return []
    return [
        f"{source.name} is cut off: {source.count} of about {source.promised} frames can be "
        "read, and these are used."
    ]


def _shows(grey: np.ndarray) -> bool:
    return int(grey.max()) - int(grey.min()) > BLANK


def _without_blank_ends(
    source: Source, kept: np.ndarray, shown: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Cut blank frames off at both ends, unless that is most of the clip."""
    some = np.flatnonzero(shown)
    if len(some) < max(2, len(kept) / 2) or len(some) == len(kept):
        return kept, []
    first, last = int(some[0]), int(some[-1])
    notes = []
    for word, ended in (("first", first), ("last", len(kept) - 1 - last)):
        if ended:
            frames = f"{ended} frames are" if ended > 1 else "frame is"
            notes.append(f"The {word} {frames} blank, and left out.")
    return kept[first : last + 1], notes


def _repeats(greys: list[np.ndarray]) -> np.ndarray:
    """Frames [K] bool that show the same picture as the one before.

    Clips that were brought to a higher rate repeat frames regularly. A pause in the motion lasts
    longer, and all of it is kept.
    """
    none = np.zeros(len(greys), bool)
    if len({grey.shape for grey in greys}) > 1 or len(greys) < 4:
        return none
    changes = np.array([
        _change(before, after) for before, after in zip(greys[:-1], greys[1:], strict=True)
    ])  # fmt: skip
    around = np.array([changes[max(0, i - NEAR) : i + NEAR + 1].max() for i in range(len(changes))])
    clear = (changes < NOISE) & (changes < MOTION * around)
    for same in (np.append(False, _apart(changes, around)), np.append(False, clear)):
        runs = [run for run in _runs(same) if len(run) < LONGEST_REPEAT]
        repeated = np.zeros(len(greys), bool)
        repeated[[index for run in runs for index in run]] = True
        if len(runs) >= FEWEST_RUNS and repeated.mean() > REPEATED:
            return repeated
    return none


def _apart(changes: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Small changes, if they are well apart from the others and come regularly.

    So do the repeats of strongly compressed clips, which differ by more than NOISE.
    """
    low = (changes < SMALL_SHARE * around) & (changes < LARGE_NOISE)
    if not low.any() or low.all() or 2 * changes[low].max() > changes[~low].min():
        return np.zeros(len(changes), bool)
    lengths = [len(run) for run in _runs(low)]
    return low if np.ptp(lengths) <= 1 else np.zeros(len(changes), bool)


def _runs(marked: np.ndarray) -> list[np.ndarray]:
    """Indices of each run of neighbours that are marked."""
    runs = np.split(np.arange(len(marked)), np.flatnonzero(np.diff(marked)) + 1)
    return [run for run in runs if marked[run[0]]]


def _change(before: np.ndarray, after: np.ndarray) -> float:
    """The greatest mean change of 8 x 8 pixels between two grey images, grey levels."""
    return float(cv2.blur(cv2.absdiff(before, after).astype(np.float32), (8, 8)).max())
