"""Mattes mended by hand: strokes on some frames, and what they say about all the others.

The strokes of a frame lie in RUN/corrections as a picture of the whole frame: OBJECT where the
brush said object, BACKGROUND where it said background, UNTOUCHED elsewhere. Its name is the number
of the source frame, so that strokes stay with their picture when a run uses other frames.

Strokes are carried along the optical flow as long as the colours agree with those they were drawn
on. There they are seeds of a graph cut around them, which finds the outline in the new frame;
farther away a matte stays as it was.
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
from .classical.graph_cut import TRUST, cut
from .cleanup import shrunk

OBJECT, UNTOUCHED, BACKGROUND = 255, 128, 0
LONGEST = 384  # pixels; of the flow and the cut
ALIKE = 16.0  # Lab units by which a place may differ from where its stroke was drawn
BLUR = 1.5  # pixels; of the colours that are compared
AROUND = 0.025  # of the longer side: how far from a stroke the cut may change a matte
LEAN = 2.0  # nats that a matte's own word counts there


def folder_of(run: Path) -> tuple[Path, ...]:
    """The strokes of a run folder as part of a content key: nothing where there are none."""
    folder = run / "corrections"
    return (folder,) if folder.is_dir() and any(folder.iterdir()) else ()


def save(run: Path, number: int, marks: np.ndarray) -> None:
    """Keep the strokes [H, W] uint8 of a source frame in place of earlier ones; none: forget them.

    The picture may be smaller than the frame; only its proportions count.
    """
    file = run / "corrections" / f"{number:05d}.png"
    if (marks == UNTOUCHED).all():
        file.unlink(missing_ok=True)
        return
    with replacing(file) as path:
        iio.imwrite(path, marks)


def load(run: Path, number: int) -> np.ndarray | None:
    """The strokes of a source frame, [H, W] uint8, or None."""
    file = run / "corrections" / f"{number:05d}.png"
    return _levels(iio.imread(file)) if file.exists() else None


def run(
    folder: Path,  # the run folder
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8
    indices: np.ndarray,  # [T] numbers of the source frames
    alphas: np.ndarray,  # [T, H, W] uint8, mattes of any engine
) -> Stage[np.ndarray]:
    """The mattes as the strokes in a run folder want them, [T, H, W] uint8.

    Raises:
        UserError: a file among the strokes is not named by a frame's number.
    """
    if not folder_of(folder):
        return alphas
    strokes, unused = {}, []
    places = {int(number): place for place, number in enumerate(indices)}
    for file in sorted((folder / "corrections").glob("*.png")):
        if not file.stem.isdigit():
            raise UserError(
                f"corrections/{file.name} is not named by the number of a frame.",
                "Name it like 00012.png, by the source frame that it was drawn on.",
            )
        if int(file.stem) in places:
            marks = _levels(iio.imread(file))
            size = alphas.shape[:0:-1]
            marks = cv2.resize(marks, size, interpolation=cv2.INTER_NEAREST)
            strokes[places[int(file.stem)]] = marks
        else:
            unused.append(int(file.stem))
    if unused:
        words = f"The corrections of {named_frames(np.array(unused))} of the source are left out: "
        words += "this run uses other frames."
        yield Event("matting", len(frames), len(frames), words, warning=True)
    if not strokes:
        return alphas
    rgb = over(frames) if frames.shape[-1] == 4 else frames
    marks = spread(rgb, strokes)
    result = alphas.copy()
    board = checkerboard(*alphas.shape[1:])
    for index, frame in enumerate(rgb):
        if marks[index].any():
            result[index] = mended(frame, alphas[index], marks[index])
        preview = over(np.dstack([frame, result[index]]), board)
        yield Event("matting", index + 1, len(frames), "corrections", preview)
    return result


def spread(
    rgb: np.ndarray,  # [T, H, W, 3] uint8
    strokes: dict[int, np.ndarray],  # frame -> [H, W] uint8
) -> np.ndarray:
    """What strokes on some frames say about every frame: [T, H, W] int8, 1 object, -1 background.

    Where several frames' strokes speak of a place, those of the nearest frame count.
    """
    small = np.stack([shrunk(frame, LONGEST) for frame in rgb])
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in small]
    lab = [cv2.GaussianBlur(color_models.lab(frame), (0, 0), BLUR) for frame in small]
    height, width = rgb.shape[1:3]
    said = np.zeros(rgb.shape[:3], np.int8)
    carried = {key: _carried(grey, lab, key) for key in strokes}
    for index in range(len(rgb)):
        for key in sorted(strokes, key=lambda key: -abs(key - index)):  # the nearest comes last
            marks = np.sign(strokes[key].astype(np.int16) - UNTOUCHED).astype(np.float32)
            if key != index:
                origin, alike = carried[key][index]
                origin = cv2.resize(origin, (width, height))
                scale = np.float32([width, height]) / np.float32(small.shape[2:0:-1])
                places = (origin + 0.5) * scale - 0.5
                marks = cv2.remap(marks, places, None, cv2.INTER_LINEAR)
                marks *= cv2.resize(alike.astype(np.float32), (width, height)) > 0.5
            spoken = np.abs(marks) > 0.5
            said[index][spoken] = np.sign(marks[spoken])
    return said


def mended(
    rgb: np.ndarray,  # [H, W, 3] uint8
    alpha: np.ndarray,  # [H, W] uint8
    marks: np.ndarray,  # [H, W] int8
) -> np.ndarray:
    """One frame's matte [H, W] uint8 as the marks want it; unchanged away from them."""
    height, width = alpha.shape
    picture = shrunk(rgb, LONGEST)
    size = picture.shape[1::-1]
    wanted = cv2.resize(marks.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    said = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 127.5 - 1
    proof = np.where(np.abs(wanted) > 0.5, 2 * TRUST * np.sign(wanted), LEAN * said)
    mask = cut(proof.astype(np.float32), color_models.lab(picture)).astype(np.float32)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    reach = 2 * max(1, round(AROUND * max(height, width))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = cv2.dilate((marks != 0).astype(np.uint8), disc) > 0
    changed = near & ((mask > 0.5) != (alpha > 127))
    result = np.where(changed, mask * 255, alpha)
    result = np.where(marks > 0, 255, np.where(marks < 0, 0, result))
    return (result + 0.5).astype(np.uint8)


def _carried(
    grey: list[np.ndarray],  # T of [h, w] uint8
    lab: list[np.ndarray],  # T of [h, w, 3] float32
    key: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where each frame's pixels were in frame `key`, [h, w, 2] (x, y), and whether the colours
    there are the same, [h, w] bool."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = grey[0].shape
    still = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    origins = {key: still}
    for step in (1, -1):
        for index in range(key + step, len(grey) if step > 0 else -1, step):
            back = still + flow.calc(grey[index], grey[index - step], None)
            beyond = cv2.BORDER_CONSTANT  # what came in from outside was nowhere
            origins[index] = cv2.remap(
                origins[index - step], back, None, cv2.INTER_LINEAR, None, beyond, (-1e4, -1e4)
            )
    found = []
    for index in range(len(grey)):
        before = cv2.remap(lab[key], origins[index], None, cv2.INTER_LINEAR)
        found.append((origins[index], color_models.length(lab[index] - before) < ALIKE))
    return found


def _levels(picture: np.ndarray) -> np.ndarray:
    """Strokes as any program may have saved them: [H, W] of the three levels."""
    grey = picture if picture.ndim == 2 else picture[..., :3].mean(axis=-1)
    return np.select([grey > 192, grey < 64], [OBJECT, BACKGROUND], UNTOUCHED).astype(np.uint8)
