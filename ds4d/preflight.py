"""Preflight report on a clip: the frames that a run would use, and what may go wrong.

It reads a dozen frames at thumbnail size and takes about a second, without any network and without
torch. Mattes are the classical engine's on thumbnails, which is good enough to find out whether
the object leaves the frame or is too small.
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

THUMBNAILS = 12  # sampled evenly from the chosen part
MATTED = 8  # of the thumbnails
THUMBNAIL_SIZE, MATTE_SIZE = 192, 144  # longest sides, pixels
SHARPNESS_SIZE = 640  # longest side of the frames whose sharpness is measured, pixels
SPARSE = 0.25  # seconds between used frames; with more, motion is hard to follow
SHORT, LONG = 0.4, 6.0  # seconds
SMALL = 0.15  # extent of the object, share of the frame's shorter side
DARK = 22.0  # Lab lightness of the object
BLURRED = 3.0  # grey levels that the sharpest edges lose by halving; sharp clips lose 20 to 40
SECOND = 0.25  # area of another object, share of the largest one's
CUT = 0.55  # share of the colours that change between neighbouring thumbnails


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str  # one or two words
    sentence: str
    fine: bool = True
    hint: str = ""  # advice, if it is not fine


@dataclass(frozen=True)
class Report:
    """Properties of a clip, the frames that a run would use, and the results of all checks."""

    name: str
    seconds: float | None  # length of the whole clip; None = images without a frame rate
    fps: float | None
    width: int  # pixels
    height: int  # pixels
    source_frames: int
    used: np.ndarray  # [T] indices of the source frames that a run uses
    thumbnail_indices: np.ndarray  # [K] indices of the source frames shown as thumbnails
    thumbnails: np.ndarray  # [K, h, w, 3 or 4] uint8
    mattes: np.ndarray  # [M, h', w'] uint8, of some of the thumbnails
    checks: tuple[Check, ...]


def inspect_clip(path: Path, config: ClipConfig) -> Report:
    """Inspect the part of a clip that the settings choose.

    Raises:
        UserError: `clip.read` would refuse the clip.
    """
    source, prepared = open_source(Path(path), config)
    used = sampled_indices(source, config)
    indices = _evenly(used, THUMBNAILS)
    thumbnails, sharpness = [], []
    width = height = 0
    for frame in source.pick(indices.tolist()):
        height, width = frame.shape[:2]
        thumbnails.append(shrunk(frame, THUMBNAIL_SIZE))
        sharpness.append(_sharpness(frame))
    if not thumbnails:
        raise UserError(f"{source.name} has no frame that can be read.", "Export it again.")
    thumbnails, indices = stacked(thumbnails, source.name), indices[: len(thumbnails)]
    seconds = [index / source.fps if source.fps else None for index in indices]
    matted = _evenly(np.arange(len(thumbnails)), MATTED)
    mattes, doubt = _mattes(thumbnails[matted])
    checks = [
        _check_length(source, used),
        *_check_background(thumbnails, doubt, prepared),
        *_check_object(mattes, [seconds[index] for index in matted], min(height, width)),
        _check_light(thumbnails[matted], mattes, float(np.median(sharpness))),
        *_check_cuts(thumbnails, seconds),
    ]
    stored = source.size or (width, height)
    rotated = (stored[0] > stored[1]) != (width > height)  # stored on its side
    return Report(
        name=source.name,
        seconds=source.count / source.fps if source.fps else None,
        fps=source.fps,
        width=stored[1] if rotated else stored[0],
        height=stored[0] if rotated else stored[1],
        source_frames=source.count,
        used=used,
        thumbnail_indices=indices,
        thumbnails=thumbnails,
        mattes=mattes,
        checks=tuple(checks),
    )


def _evenly(items: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the items, evenly spaced, first and last included."""
    return items[np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)]


# --- checks -------------------------------------------------------------------------------------


def _check_length(source: Source, used: np.ndarray) -> Check:
    count = f"{len(used)} of {source.count} frames are used"
    if source.fps is None:
        return Check("Length", f"{count}.")
    duration, gap = (used[-1] - used[0] + 1) / source.fps, np.diff(used).mean() / source.fps
    sentence = f"{count}: {duration:.1f} s, one every {gap:.2f} s."
    if gap > SPARSE:
        shorten = "Choose the one to five seconds in which it moves."
        hint = shorten if duration > LONG else "Use more frames."
        return Check("Length", sentence, False, hint)
    if duration < SHORT:
        return Check("Length", sentence, False, "A longer part shows more of the motion.")
    return Check("Length", sentence)


def _check_background(thumbnails: np.ndarray, doubt: str, prepared: bool) -> list[Check]:
    """Checks of what separates the object from its background, and of the camera's motion."""
    if alpha.usable(thumbnails):
        return [Check("Background", "The clip has its own transparency.")]
    if prepared:
        return []
    grey = np.stack([cv2.cvtColor(_opaque(image), cv2.COLOR_RGB2GRAY) for image in thumbnails])
    movements = stabilization.camera_transforms(grey)
    if movements is None:
        sentence = "The camera moves, or the background behind the object does."
        hint = "A camera on a table or a tripod gives much better mattes."
        checks = [Check("Camera", sentence, False, hint)]
    elif np.array_equal(movements, np.broadcast_to(stabilization.IDENTITY, movements.shape)):
        checks = [Check("Camera", "The camera stands still.")]
    else:
        checks = [Check("Camera", "The camera drifts a little, which is compensated.")]
    if doubt and movements is not None:
        hint = "Check the mattes when they are done; you can correct them by hand."
        checks.append(Check("Background", doubt, False, hint))
    return checks


def _mattes(thumbnails: np.ndarray) -> tuple[np.ndarray, str]:
    """Mattes [M, h, w] uint8 of some thumbnails, and the warnings of the engine."""
    if alpha.usable(thumbnails):
        return thumbnails[..., 3], ""
    small = np.stack([shrunk(image, MATTE_SIZE) for image in thumbnails])
    events: list[Event] = []
    mattes = result(classical.run(small, soft_edges=False), events.append)
    return mattes, " ".join(event.message for event in events if event.warning)


def _check_object(
    mattes: np.ndarray,  # [M, h, w] uint8
    seconds: list[float | None],  # of the M frames
    shorter: int,  # pixels of the frame's shorter side
) -> list[Check]:
    """Checks that there is one object, completely visible and large enough."""
    solid = mattes > 127
    visible = solid.any(axis=(1, 2))
    if not visible.any():
        hint = "The object should stand out from a plain or still background."
        return [Check("Object", "No object stands out here.", False, hint)]
    if np.median(solid.mean(axis=(1, 2))) > 0.98:
        hint = "Some background must be visible all around the object."
        return [Check("Object", "The object fills the whole frame.", False, hint)]
    checks = []
    rim = np.concatenate([solid[:, 0], solid[:, -1], solid[:, :, 0], solid[:, :, -1]], axis=1)
    cut = np.flatnonzero(rim.sum(axis=1) >= 3)
    if len(cut):
        times = _times([seconds[index] for index in cut], len(seconds))
        hint = "The missing part is missing from every side: choose another part of the clip."
        sentence = f"The border of the frame cuts the object off {times}."
        checks.append(Check("Frame", sentence, False, hint))
    else:
        checks.append(Check("Frame", "The object stays inside the frame."))
    share = np.median([_extent(mask) for mask in solid[visible]]) / min(solid.shape[1:])
    if share < SMALL:
        sentence = f"The object is small: about {share * shorter:.0f} pixels of {shorter}."
        checks.append(Check("Object", sentence, False, "Crop the clip, or film from closer by."))
    count = np.median([_count_objects(mask) for mask in solid[visible]])
    if count >= 2:
        sentence = f"There seem to be {int(count)} objects."
        hint = "They are treated as one object; a single one gives better results."
        checks.append(Check("Object", sentence, False, hint))
    return checks


def _extent(mask: np.ndarray) -> int:
    """The larger of width and height of a mask [h, w], pixels."""
    return 1 + max(int(np.ptp(np.flatnonzero(mask.any(axis=axis)))) for axis in (0, 1))


def _count_objects(mask: np.ndarray) -> int:
    """Number of parts of a mask [h, w] that are separate and not small beside the largest."""
    joined = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return int((areas > SECOND * areas.max()).sum())


def _check_light(thumbnails: np.ndarray, mattes: np.ndarray, sharpness: float) -> Check:
    size = mattes.shape[2:0:-1]
    small = [cv2.resize(_opaque(t), size, interpolation=cv2.INTER_AREA) for t in thumbnails]
    solid = mattes > 127
    lightness = np.stack([color_models.lab(image) for image in small])[..., 0]
    bright = float(np.percentile(lightness[solid] if solid.any() else lightness, 90))
    if bright < DARK:
        return Check("Light", "The object is very dark.", False, "More light shows its shape.")
    if sharpness < BLURRED:
        sentence = "The clip is blurred: it shows no fine detail."
        hint = "Hold the camera still, focus on the object, use more light."
        return Check("Sharpness", sentence, False, hint)
    return Check("Light", "Light and sharpness are fine.")


def _sharpness(frame: np.ndarray) -> float:
    """Grey levels that the sharpest edges lose when a frame is halved in size."""
    small = shrunk(_opaque(frame), SHARPNESS_SIZE)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    size = grey.shape[::-1]
    half = (max(1, size[0] // 2), max(1, size[1] // 2))
    halved = cv2.resize(cv2.resize(grey, half, interpolation=cv2.INTER_AREA), size)
    return float(np.percentile(np.abs(grey - halved), 99))


def _check_cuts(thumbnails: np.ndarray, seconds: list[float | None]) -> list[Check]:
    """Checks for cuts: neighbouring thumbnails whose colour histograms have little in common."""
    histograms = []
    for image in thumbnails:
        levels = (_opaque(image) // 64).reshape(-1, 3).astype(int) @ (16, 4, 1)
        histograms.append(np.bincount(levels, minlength=64) / len(levels))
    changes = np.abs(np.diff(histograms, axis=0)).sum(axis=1) / 2
    cuts = np.flatnonzero(changes > CUT)
    if not len(cuts):
        return []
    times = _times([seconds[index + 1] for index in cuts], len(seconds))
    return [Check("Scene", f"The scene changes {times}.", False, "Choose a part without a cut.")]


def _opaque(image: np.ndarray) -> np.ndarray:
    """An image [H, W, 3 or 4] over white, without transparency."""
    return over(image) if image.shape[2] == 4 else image


def _times(seconds: list[float | None], total: int) -> str:
    """Times of some of `total` frames, for a message."""
    if len(seconds) == total:
        return "all the time"
    if None in seconds or len(seconds) > 4:
        return f"in {len(seconds)} of {total} frames"
    return "at " + ", ".join(f"{time:.1f} s" for time in seconds)
