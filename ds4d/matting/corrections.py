"""Corrections of mattes by hand: brush strokes on a few frames, propagated to all others.

The strokes of a frame lie in RUN/corrections as an image of the whole frame: OBJECT and BACKGROUND
under strokes of each brush, UNTOUCHED elsewhere. Its name is the number of the source frame, so
that strokes stay with their frame when a run uses other frames.

Strokes are propagated along optical flow as long as the colours agree with those they were drawn
on. In each frame they are seeds of a graph cut, which finds the outline near them; farther away a
matte stays as it was.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import imageio.v3 as iio
import numpy as np

from ..clip import named_frames
from ..errors import UserError
from ..images import checkerboard, over
from ..run.events import Event, Stage
from ..run.workspace import replacing
from .classical import color_models
from .classical.graph_cut import MAX_LOG_ODDS, cut
from .cleanup import shrunk

OBJECT, UNTOUCHED, BACKGROUND = 255, 128, 0
LONGEST = 384  # pixels; of the flow and the cut
SIMILAR = 16.0  # Lab units by which a pixel may differ from the stroke's
BLUR = 1.5  # pixels; sigma, of the colours that are compared
REACH = 0.025  # of the longer side; distance from a stroke within which a matte may change
MATTE_LOG_ODDS = 2.0  # nats; weight of the matte itself there


def folder_of(run: Path) -> tuple[Path, ...]:
    """Folder of a run's strokes, as part of a content key; empty where there are none."""
    folder = run / "corrections"
    return (folder,) if folder.is_dir() and any(folder.iterdir()) else ()


def save(run: Path, number: int, marks: np.ndarray) -> None:
    """Save the strokes [H, W] uint8 of a source frame; UNTOUCHED everywhere removes them.

    The image may be smaller than the frame; only its proportions count.
    """
    file = run / "corrections" / f"{number:05d}.png"
    if (marks == UNTOUCHED).all():
        file.unlink(missing_ok=True)
        return
    with replacing(file) as path:
        iio.imwrite(path, marks)


def load(run: Path, number: int) -> np.ndarray | None:
    """Load the strokes of a source frame, [H, W] uint8, or None."""
    file = run / "corrections" / f"{number:05d}.png"
    return _levels(iio.imread(file)) if file.exists() else None


def read(
    folder: Path,  # the run folder
    indices: np.ndarray,  # [T] numbers of the source frames
    size: tuple[int, int],  # (H, W) of the frames
) -> Stage[dict[int, np.ndarray]]:
    """Strokes in a run folder: frame -> [H, W] int8, 1 object, -1 background, 0 elsewhere.

    Raises:
        UserError: a file among the strokes is not named by a frame's number.
    """
    strokes, unused = {}, []
    frame_of = {int(number): frame for frame, number in enumerate(indices)}
    for file in sorted((folder / "corrections").glob("*.png")):
        if not file.stem.isdigit():
            raise UserError(
                f"corrections/{file.name} is not named by the number of a frame.",
                "Name it like 00012.png, by the source frame that it was drawn on.",
            )
        if int(file.stem) not in frame_of:
            unused.append(int(file.stem))
            continue
        levels = cv2.resize(_levels(iio.imread(file)), size[::-1], interpolation=cv2.INTER_NEAREST)
        marks = np.sign(levels.astype(np.int16) - UNTOUCHED).astype(np.int8)
        if marks.any():
            strokes[frame_of[int(file.stem)]] = marks
    if unused:
        names = named_frames(np.array(unused))
        message = f"The corrections of {names} of the source are left out: "
        message += "this run uses other frames."
        yield Event("matting", len(indices), len(indices), message, warning=True)
    return strokes


def run(
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8
    alphas: np.ndarray,  # [T, H, W] uint8, mattes of any engine
    strokes: dict[int, np.ndarray],  # frame -> [H, W] int8, as `read` returns them
) -> Stage[np.ndarray]:
    """Correct mattes by strokes, [T, H, W] uint8."""
    if not strokes:
        return alphas
    rgb = over(frames) if frames.shape[-1] == 4 else frames
    marks = propagate(rgb, strokes)
    result = alphas.copy()
    board = checkerboard(*alphas.shape[1:])
    for index, frame in enumerate(rgb):
        if marks[index].any():
            result[index] = correct(frame, alphas[index], marks[index])
        preview = over(np.dstack([frame, result[index]]), board)
        yield Event("matting", index + 1, len(frames), "corrections", preview)
    return result


def propagate(
    rgb: np.ndarray,  # [T, H, W, 3] uint8
    strokes: dict[int, np.ndarray],  # frame -> [H, W] int8, 1 object, -1 background
) -> np.ndarray:
    """Marks in every frame from strokes on a few: [T, H, W] int8, 1 object, -1 background.

    Where strokes of several frames reach a pixel, those of the nearest frame count.
    """
    small = np.stack([shrunk(frame, LONGEST) for frame in rgb])
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small]
    lab = [cv2.GaussianBlur(color_models.lab(frame), (0, 0), BLUR) for frame in small]
    height, width = rgb.shape[1:3]
    scale = np.float32([width, height]) / np.float32(small.shape[2:0:-1])
    marks = np.zeros(rgb.shape[:3], np.int8)
    tracks = {key: _track(grey, lab, key) for key in strokes}
    for index in range(len(rgb)):
        for key in sorted(strokes, key=lambda key: -abs(key - index)):  # the nearest comes last
            moved = strokes[key].astype(np.float32)
            if key != index:
                origin, similar = tracks[key][index]
                source = (cv2.resize(origin, (width, height)) + 0.5) * scale - 0.5
                moved = cv2.remap(moved, source, None, cv2.INTER_LINEAR)
                moved *= cv2.resize(similar.astype(np.float32), (width, height)) > 0.5
            marked = np.abs(moved) > 0.5
            marks[index][marked] = np.sign(moved[marked])
    return marks


def correct(
    rgb: np.ndarray,  # [H, W, 3] uint8
    alpha: np.ndarray,  # [H, W] uint8
    marks: np.ndarray,  # [H, W] int8
) -> np.ndarray:
    """One frame's matte [H, W] uint8 corrected by its marks; unchanged away from them."""
    height, width = alpha.shape
    image = shrunk(rgb, LONGEST)
    size = image.shape[1::-1]
    seeds = cv2.resize(marks.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    matte = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 127.5 - 1
    log_odds = np.where(
        np.abs(seeds) > 0.5, 2 * MAX_LOG_ODDS * np.sign(seeds), MATTE_LOG_ODDS * matte
    )
    mask = cut(log_odds.astype(np.float32), color_models.lab(image)).astype(np.float32)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    side = 2 * max(1, round(REACH * max(height, width))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    near = cv2.dilate((marks != 0).astype(np.uint8), disc) > 0
    changed = near & ((mask > 0.5) != (alpha > 127))
    result = np.where(changed, mask * 255, alpha)
    result = np.where(marks > 0, 255, np.where(marks < 0, 0, result))
    return (result + 0.5).astype(np.uint8)


def _track(
    grey: list[np.ndarray],  # T of [h, w] uint8
    lab: list[np.ndarray],  # T of [h, w, 3] float32
    key: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Origins of each frame's pixels in frame `key`, [h, w, 2] (x, y), and [h, w] bool, where the
    colours of both are similar."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = grey[0].shape
    identity = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    origins = {key: identity}
    for step in (1, -1):
        for index in range(key + step, len(grey) if step > 0 else -1, step):
            source = identity + flow.calc(grey[index], grey[index - step], None)
            beyond = cv2.BORDER_CONSTANT  # pixels that came in from outside have no origin
            origins[index] = cv2.remap(
                origins[index - step], source, None, cv2.INTER_LINEAR, None, beyond, (-1e4, -1e4)
            )
    tracks = []
    for index in range(len(grey)):
        original = cv2.remap(lab[key], origins[index], None, cv2.INTER_LINEAR)
        similar = color_models.length(lab[index] - original) < SIMILAR
        tracks.append((origins[index], similar))
    return tracks


def _levels(image: np.ndarray) -> np.ndarray:
    """Strokes as any program may have saved them, reduced to the three levels, [H, W] uint8."""
    grey = image if image.ndim == 2 else image[..., :3].mean(axis=-1)
    return np.select([grey > 192, grey < 64], [OBJECT, BACKGROUND], UNTOUCHED).astype(np.uint8)
