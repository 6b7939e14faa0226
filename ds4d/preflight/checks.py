"""Preflight report on a clip: the frames that a run would use, and what may go wrong.

The clip is read by the same code as in a run. A dozen frames are looked at more closely, at
thumbnail size, which takes about a second, without any network and without torch. Mattes are the
classical engine's on thumbnails, which is good enough to find out whether the object leaves the
frame or is too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ..clip.crop import SMALLEST
from ..clip.framing import framed
from ..clip.sampling import positions, sampled
from ..clip.sources import Kind, Source, open_source
from ..clip.squares import FEW, choose
from ..clip.survey import LOOKS, affordable, evenly, usable
from ..config import ClipConfig
from ..errors import UserError
from ..images import over
from ..matting import alpha, camera, classical
from ..matting.classical import color_models, stabilization
from ..matting.cleanup import shrunk
from ..run.events import Event, result

MATTED = 8  # of the thumbnails, of which there are as many as a survey LOOKS at
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
    kind: Kind
    seconds: float | None  # length of the whole clip; None = images without a frame rate
    fps: float | None  # average rate
    width: int  # pixels, as shown
    height: int  # pixels, as shown
    source_frames: int
    used: np.ndarray  # [T] indices of the source frames that a run uses
    positions: np.ndarray  # [T] their places in time, from 0 = first to 1 = last
    used_seconds: np.ndarray | None  # [T] their times from the source's first frame; None = no rate
    thumbnail_indices: np.ndarray  # [K] indices of the source frames shown as thumbnails
    thumbnails: np.ndarray  # [K, h, w, 3 or 4] uint8
    mattes: np.ndarray  # [M, h', w'] uint8, of some of the thumbnails
    alpha: bool  # whether the clip has its own transparency
    object_pixels: int  # longer side of the object in the square frames of a run; 0 = none is seen
    crop: Literal["fixed", "follow"]
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]  # about how the clip is read; they are among the checks as well
    left_out: tuple[str, ...]  # files and streams that are not used


def inspect_clip(path: Path, config: ClipConfig) -> Report:
    """Inspect the part of a clip that the settings choose.

    Raises:
        UserError: `clip.read` would refuse the clip.
    """
    source = open_source(Path(path), config)
    found = usable(source, config)
    used = sampled(source, found.indices, config.frames)
    picked = dict(source.pick(affordable(source, evenly(used, LOOKS)).tolist()))
    if len(used) < 2 or not picked:
        raise UserError(f"{source.name} has no frame that can be read.", "Export it again.")
    indices = np.array(sorted(picked))
    frames, _, notes = framed([picked[index] for index in indices.tolist()], source)
    height, width = frames.shape[1:3]
    thumbnails = np.stack([shrunk(frame, THUMBNAIL_SIZE) for frame in frames])
    sharpness = float(np.median([_sharpness(frame) for frame in frames]))
    seconds = [None if source.seconds is None else source.times[index] for index in indices]
    matted = evenly(np.arange(len(thumbnails)), MATTED)
    mattes, doubt = _mattes(thumbnails[matted])
    warnings = (*source.notes, *found.notes, *notes)
    prepared = source.kind == "prepared"
    opaque = thumbnails.shape[-1] == 3 and not prepared
    moved = _camera(thumbnails[matted], mattes) if opaque else None
    pixels, side, follows = _object_pixels(mattes, height, config, prepared, moved)
    checks = [
        _check_length(source, used),
        *(Check("Clip", warning, False) for warning in warnings),
        *_check_background(thumbnails, doubt, prepared),
        *_check_object(
            mattes,
            [seconds[index] for index in matted],
            min(height, width),
            f"{pixels} of {side} pixels in the run",
        ),
        *_check_travel(pixels, side, follows),
        _check_light(thumbnails[matted], mattes, sharpness),
        *check_cuts(thumbnails, seconds),
    ]
    return Report(
        name=source.name,
        kind=source.kind,
        seconds=source.seconds,
        fps=source.fps,
        width=source.size[0],
        height=source.size[1],
        source_frames=source.count,
        used=used,
        positions=positions(source, used),
        used_seconds=None if source.seconds is None else source.times[used],
        thumbnail_indices=indices,
        thumbnails=thumbnails,
        mattes=mattes,
        alpha=alpha.usable(thumbnails),
        object_pixels=pixels,
        crop="follow" if follows else "fixed",
        checks=tuple(checks),
        warnings=warnings,
        left_out=source.left_out,
    )


# --- checks -------------------------------------------------------------------------------------


def _check_length(source: Source, used: np.ndarray) -> Check:
    count = f"{len(used)} of {source.count} frames are used"
    if source.seconds is None:
        return Check("Length", f"{count}.")
    ends = np.append(source.times[1:], source.seconds)
    duration, gap = ends[used[-1]] - source.times[used[0]], np.diff(source.times[used]).mean()
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
    elif stabilization.stands_still(movements):
        checks = [Check("Camera", "The camera stands still.")]
    else:
        checks = [Check("Camera", "The camera drifts a little: the square follows the background.")]
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
    mattes = result(classical.run(small), events.append)
    return mattes, " ".join(event.message for event in events if event.warning)


def _camera(thumbnails: np.ndarray, mattes: np.ndarray) -> np.ndarray | None:
    """The camera's motion [M, 2, 3] in the pixels of the mattes [M, h, w]."""
    size = mattes.shape[2:0:-1]
    small = np.stack([cv2.resize(t, size, interpolation=cv2.INTER_AREA) for t in thumbnails])
    return camera.motion(small, mattes)


def _check_object(
    mattes: np.ndarray,  # [M, h, w] uint8
    seconds: list[float | None],  # of the M frames
    shorter: int,  # pixels of the frame's shorter side
    extent: str,  # the object's pixels in a run, in words
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
        sentence = f"The border of the frame cuts the object off {times}; it has {extent}."
        checks.append(Check("Frame", sentence, False, hint))
    else:
        sentence = f"The object stays inside the frame, and has {extent}."
        checks.append(Check("Frame", sentence))
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


def _object_pixels(
    mattes: np.ndarray,  # [M, h, w] uint8
    frame_height: int,
    config: ClipConfig,
    prepared: bool,
    moved: np.ndarray | None,  # [M, 2, 3] the camera's motion in pixels of the mattes
) -> tuple[int, int, bool]:
    """Longer side of the object in the square frames that a run makes, and their side, pixels;
    whether a square follows the object."""
    solid = mattes > 127
    visible = solid.any(axis=(1, 2))
    if not visible.any():
        return 0, config.size, False
    squares = None if prepared else choose(mattes, config.margin, moved)
    square = mattes.shape[1] if squares is None else int(squares.places[0, 2])
    scale = frame_height / solid.shape[1]  # pixels of a frame per pixel of a matte
    side = min(config.size, max(round(square * scale), SMALLEST))
    across = float(np.median([_extent(mask) for mask in solid[visible]]))
    return round(across / square * side), side, squares is not None and squares.follows


def _check_travel(pixels: int, side: int, follows: bool) -> list[Check]:
    """Checks that the object does not become small because it crosses the frame."""
    if follows:
        sentence = f"The object moves far: a square follows it, of {side} pixels in the run"
        return [Check("Path", f"{sentence}.")]
    if not 0 < pixels < FEW * side:
        return []
    sentence = f"The object moves far, and has only {pixels} of {side} pixels in the run."
    hint = "Choose a part in which it moves less, or crop the clip."
    return [Check("Pixels", sentence, False, hint)]


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


def check_cuts(thumbnails: np.ndarray, seconds: list[float | None]) -> list[Check]:
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
