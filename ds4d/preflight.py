"""A look at a clip before anything is spent on it: what will be used, and what may go wrong.

It reads a dozen small pictures and takes about a second; no network, no torch. The mattes here are
the classical engine's at the size of thumbnails: a guess, good enough to see whether the object
leaves the frame or is too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .clip.sampling import sampled_indices, stacked
from .clip.sources import Source, open_source
from .config import ClipConfig
from .errors import UserError
from .images import over
from .matting import alpha, classical
from .matting.classical import color_models, stabilization
from .matting.cleanup import shrunk
from .run.events import Event, result

PICTURES = 12  # that are looked at, evenly over the chosen part
MATTED = 8  # of these, for the guess at the object
THUMB, GUESS = 192, 144  # longest sides of the pictures and of the guess, pixels
SHARPNESS_AT = 640  # pixels; at this size, the finest detail is looked for
SPARSE = 0.25  # seconds between two used frames that a moving object seldom survives
SHORT, LONG = 0.4, 6.0  # seconds
SMALL = 0.15  # of the frame's shorter side
DARK = 22.0  # Lab lightness of the object
BLURRED = 3.0  # grey levels that the clearest edges lose by halving; sharp clips: 20 to 40
SECOND = 0.25  # share of the largest body that a second one needs to be another object
CUT = 0.55  # of the colours that change between two neighbouring pictures


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str  # one or two words
    sentence: str
    fine: bool = True
    hint: str = ""  # what a person could do about it


@dataclass(frozen=True)
class Look:
    """What a clip is and what would be used of it."""

    name: str
    seconds: float | None  # of the whole clip; None = it knows no time
    fps: float | None
    width: int  # pixels
    height: int  # pixels
    source_frames: int
    used: np.ndarray  # [T] numbers of the source frames that a run uses
    shown: np.ndarray  # [K] numbers of the source frames that are pictured
    pictures: np.ndarray  # [K, h, w, 3 or 4] uint8
    outlines: np.ndarray  # [M, h', w'] uint8, mattes of some of the pictures, as far as guessed
    checks: tuple[Check, ...]

    def moment(self, frame: int) -> float | None:
        """Seconds at which a source frame is shown."""
        return frame / self.fps if self.fps else None


def look(path: Path, config: ClipConfig) -> Look:
    """Look at the part of a clip that the settings choose.

    Raises:
        UserError: what `clip.read` would refuse.
    """
    source, prepared = open_source(Path(path), config)
    used = sampled_indices(source, config)
    shown = used[np.linspace(0, len(used) - 1, min(PICTURES, len(used))).round().astype(int)]
    pictures, details = [], []
    width = height = 0
    for frame in source.pick(shown.tolist()):
        height, width = frame.shape[:2]
        pictures.append(shrunk(frame, THUMB))
        details.append(_detail(frame))
    if not pictures:
        raise UserError(f"{source.name} has no frame that can be read.", "Export it again.")
    pictures, shown = stacked(pictures, source.name), shown[: len(pictures)]
    moments = [index / source.fps if source.fps else None for index in shown]
    some = np.linspace(0, len(pictures) - 1, min(MATTED, len(pictures))).round().astype(int)
    outlines, doubt = _outlines(pictures[some])
    checks = [
        _length(source, used),
        *_background(pictures, doubt, prepared),
        *_object(outlines, [moments[index] for index in some], min(height, width)),
        _light(pictures[some], outlines, float(np.median(details))),
        *_shots(pictures, moments),
    ]
    stored = source.size or (width, height)
    lies = (stored[0] > stored[1]) != (width > height)  # stored on its side
    return Look(
        name=source.name,
        seconds=source.count / source.fps if source.fps else None,
        fps=source.fps,
        width=stored[1] if lies else stored[0],
        height=stored[0] if lies else stored[1],
        source_frames=source.count,
        used=used,
        shown=shown,
        pictures=pictures,
        outlines=outlines,
        checks=tuple(checks),
    )


# --- checks -------------------------------------------------------------------------------------


def _length(source: Source, used: np.ndarray) -> Check:
    count = f"{len(used)} of {source.count} frames are used"
    if source.fps is None:
        return Check("Length", f"{count}.")
    lasts, gap = (used[-1] - used[0] + 1) / source.fps, np.diff(used).mean() / source.fps
    words = f"{count}: {lasts:.1f} s, one every {gap:.2f} s."
    if gap > SPARSE:
        long = "Choose the one to five seconds in which it moves."
        return Check("Length", words, False, long if lasts > LONG else "Use more frames.")
    if lasts < SHORT:
        return Check("Length", words, False, "A longer part has more time to move in.")
    return Check("Length", words)


def _background(pictures: np.ndarray, doubt: str, prepared: bool) -> list[Check]:
    """How the object can be told apart, and whether the camera stands still."""
    if alpha.usable(pictures):
        return [Check("Background", "The clip brings its own transparency.")]
    if prepared:
        return []
    grey = np.stack([cv2.cvtColor(_opaque(picture), cv2.COLOR_RGB2GRAY) for picture in pictures])
    movements = stabilization.movements(grey)
    if movements is None:
        words = "The camera moves, or what is behind the object does."
        hint = "A camera on a table or a tripod gives much better mattes."
        checks = [Check("Camera", words, False, hint)]
    elif np.array_equal(movements, np.broadcast_to(stabilization.IDENTITY, movements.shape)):
        checks = [Check("Camera", "The camera stands still.")]
    else:
        checks = [Check("Camera", "The camera drifts a little, which is made up for.")]
    if doubt and movements is not None:
        hint = "Look at the mattes when they are there; they can be mended by hand."
        checks.append(Check("Background", doubt, False, hint))
    return checks


def _outlines(pictures: np.ndarray) -> tuple[np.ndarray, str]:
    """A guess at the mattes [M, h, w] uint8, and what the guess was unsure about."""
    if alpha.usable(pictures):
        return pictures[..., 3], ""
    small = np.stack([shrunk(picture, GUESS) for picture in pictures])
    events: list[Event] = []
    mattes = result(classical.run(small), events.append)
    return mattes, " ".join(event.message for event in events if event.warning)


def _object(
    outlines: np.ndarray,  # [M, h, w] uint8
    moments: list[float | None],
    shorter: int,  # pixels of the frame's shorter side
) -> list[Check]:
    """Whether there is one object, whole and large enough."""
    solid = outlines > 127
    seen = solid.any(axis=(1, 2))
    plain = "The object should stand out from a plain or still background."
    if not seen.any():
        return [Check("Object", "No object stands out here.", False, plain)]
    if np.median(solid.mean(axis=(1, 2))) > 0.98:
        hint = "Some background has to be visible all around the object."
        return [Check("Object", "The object fills the whole frame.", False, hint)]
    checks = []
    rim = np.concatenate([solid[:, 0], solid[:, -1], solid[:, :, 0], solid[:, :, -1]], axis=1)
    cut = np.flatnonzero(rim.sum(axis=1) >= 3)
    if len(cut):
        where = f" {_when([moments[index] for index in cut], len(moments))}"
        hint = "What the frame cuts off is missing from every side: choose another part, if any."
        checks.append(Check("Frame", f"The border cuts the object off{where}.", False, hint))
    else:
        checks.append(Check("Frame", "The object stays inside the frame."))
    share = np.median([_extent(mask) for mask in solid[seen]]) / min(solid.shape[1:])
    if share < SMALL:
        words = f"The object is small: about {share * shorter:.0f} pixels of {shorter}."
        checks.append(Check("Object", words, False, "Crop the clip, or film from nearer by."))
    bodies = [_bodies(mask) for mask in solid[seen]]
    if np.median(bodies) >= 2:
        words = f"There seem to be {int(np.median(bodies))} objects."
        hint = "They are taken for one; one alone comes out better."
        checks.append(Check("Object", words, False, hint))
    return checks


def _extent(mask: np.ndarray) -> int:
    """Pixels that a mask [h, w] is wide or high, whichever is more."""
    return 1 + max(int(np.ptp(np.flatnonzero(mask.any(axis=axis)))) for axis in (0, 1))


def _bodies(mask: np.ndarray) -> int:
    """How many parts of a mask [h, w] are large beside the largest and do not nearly touch."""
    joined = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8))
    _, _, facts, _ = cv2.connectedComponentsWithStats(joined)
    areas = facts[1:, cv2.CC_STAT_AREA]
    return int((areas > SECOND * areas.max()).sum())


def _light(pictures: np.ndarray, outlines: np.ndarray, detail: float) -> Check:
    size = outlines.shape[2:0:-1]
    small = [cv2.resize(_opaque(p), size, interpolation=cv2.INTER_AREA) for p in pictures]
    solid = outlines > 127
    lightness = np.stack([color_models.lab(picture) for picture in small])[..., 0]
    bright = float(np.percentile(lightness[solid] if solid.any() else lightness, 90))
    if bright < DARK:
        return Check("Light", "The object is very dark.", False, "More light shows its shape.")
    if detail < BLURRED:
        words = "The clip is blurred: it shows no fine detail."
        return Check("Sharpness", words, False, "Hold still, focus on the object, use more light.")
    return Check("Light", "Light and sharpness are fine.")


def _detail(frame: np.ndarray) -> float:
    """Grey levels that the clearest edges lose when a frame is halved in size."""
    grey = cv2.cvtColor(shrunk(_opaque(frame), SHARPNESS_AT), cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = grey.shape[::-1]
    half = (max(1, size[0] // 2), max(1, size[1] // 2))
    lost = cv2.resize(cv2.resize(grey, half, interpolation=cv2.INTER_AREA), size)
    return float(np.percentile(np.abs(grey - lost), 99))


def _shots(pictures: np.ndarray, moments: list[float | None]) -> list[Check]:
    """Cuts: neighbouring pictures whose colours have little in common."""
    histograms = []
    for picture in pictures:
        levels = (_opaque(picture) // 64).reshape(-1, 3).astype(int) @ (16, 4, 1)
        histograms.append(np.bincount(levels, minlength=64) / len(levels))
    changes = np.abs(np.diff(histograms, axis=0)).sum(axis=1) / 2
    cuts = np.flatnonzero(changes > CUT)
    if not len(cuts):
        return []
    words = f"The scene changes {_when([moments[index + 1] for index in cuts], len(moments))}."
    return [Check("Scene", words, False, "Choose a part without a cut.")]


def _opaque(picture: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3 or 4] without transparency, over white."""
    return over(picture) if picture.shape[2] == 4 else picture


def _when(moments: list[float | None], of: int) -> str:
    """Moments for a person."""
    if len(moments) == of:
        return "all the time"
    if None in moments or len(moments) > 4:
        return f"in {len(moments)} of {of} pictures"
    return "at " + ", ".join(f"{moment:.1f} s" for moment in moments)
