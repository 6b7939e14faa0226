"""Read, check and sample a clip; cut one square around its object; write videos."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from ..images import checkerboard, load_images, over, save_images
from ..run.events import Event, Stage
from ..run.parallel import each
from .sources import Source, open_source
from .video import write_video

__all__ = ["Clip", "load", "read", "resized", "save", "square", "write_video"]

SMALLEST = 256  # pixels: no square is cut out smaller than this, unless it was asked for
STILL = 4.0  # grey levels; a clip whose 8 x 8 blocks change less than this does not move


@dataclass(frozen=True)
class Clip:
    """The sampled frames of a clip."""

    frames: np.ndarray  # [T, H, W, 3 or 4] uint8, straight alpha
    positions: np.ndarray  # [T] float64 in [0, 1], increasing: 0 = start of the used part, 1 = end
    indices: np.ndarray  # [T] int64, numbers of the sampled source frames
    source_frames: int
    fps: float | None  # of the source
    prepared: bool  # framed by a known camera: never crop, only resize
    warnings: tuple[str, ...] = ()


def read(path: Path, config: ClipConfig) -> Stage[Clip]:
    """Read a clip and sample it evenly to `config.frames` (a shorter clip: all of its frames),
    between `config.start` and `config.end`.

    Args:
        path: a video, an animated image, a folder of images, or a prepared folder (layouts.py).

    Raises:
        UserError: nothing there, not a clip, fewer than two frames, or over the limits.
    """
    path = Path(path)
    source, prepared = open_source(path, config)
    frames, indices = yield from _sample(source, config)
    if len(frames) < len(indices):  # cut off or damaged: the file promised more than it holds
        source = replace(source, count=source.recount())
        frames, indices = yield from _sample(source, config)
    if len(frames) < 2:
        raise UserError(
            f"{source.name} has {'no frame' if not frames else 'only one frame'} that can be read.",
            "Give a clip in which the object moves: a video, a GIF or a folder of images.",
        )
    stack = stacked(frames, source.name)
    remarks = []
    if source.promised and source.count < source.promised:
        remarks.append(
            f"{source.name} is cut off: {source.count} of about {source.promised} frames can be "
            "read, and these are used."
        )
    if _is_still(stack):
        remarks.append("The clip does not move, so the result will not move either.")
    for remark in remarks:
        yield Event("clip", len(frames), len(frames), remark, warning=True)
    yield Event("clip", len(frames), len(frames), f"{len(frames)} of {source.count} frames")
    return Clip(
        frames=stack,
        positions=(indices - indices[0]) / (indices[-1] - indices[0]),
        indices=indices,
        source_frames=source.count,
        fps=source.fps,
        prepared=prepared,
        warnings=tuple(remarks),
    )


def save(folder: Path, clip: Clip) -> None:
    """Write the frames as 0000.png, ... and everything else as clip.json."""
    save_images(folder, clip.frames)
    facts = {
        "positions": clip.positions.tolist(),
        "indices": clip.indices.tolist(),
        "source_frames": clip.source_frames,
        "fps": clip.fps,
        "prepared": clip.prepared,
        "warnings": clip.warnings,
    }
    (folder / "clip.json").write_text(json.dumps(facts, indent=1))


def load(folder: Path) -> Clip:
    """What `save` wrote."""
    facts = json.loads((folder / "clip.json").read_text())
    return Clip(
        frames=load_images(folder),
        positions=np.array(facts.pop("positions")),
        indices=np.array(facts.pop("indices"), np.int64),
        warnings=tuple(facts.pop("warnings")),
        **facts,
    )


# --- sampling -----------------------------------------------------------------------------------


def _sample(source: Source, config: ClipConfig) -> Stage[tuple[list[np.ndarray], np.ndarray]]:
    """The evenly chosen frames, as far as they can be read, and the numbers that were chosen."""
    indices = chosen(source, config)
    frames: list[np.ndarray] = []
    for frame in source.pick(indices.tolist()):
        frames.append(frame)
        message = f"frame {indices[len(frames) - 1] + 1} of {source.count}"
        yield Event("clip", len(frames), len(indices), message, preview=_preview(frame))
    return frames, indices


def chosen(source: Source, config: ClipConfig) -> np.ndarray:
    """Numbers [T] of the source's frames that a run uses: evenly, from start to end.

    Raises:
        UserError: there are fewer than two frames between them, or the source knows no seconds.
    """
    first, last = 0, source.count - 1
    if config.start or config.end is not None:
        if source.fps is None:
            raise UserError(
                f"{source.name} has no seconds to choose from.",
                "Take the images out that are not wanted, and leave start and end away.",
            )
        first = max(0, math.ceil(config.start * source.fps - 1e-6))
        if config.end is not None:
            last = min(last, math.floor(config.end * source.fps + 1e-6))
        if last <= first:
            until = "its end" if config.end is None else f"{config.end:g} s"
            raise UserError(
                f"From {config.start:g} s to {until}, {source.name} has fewer than two frames.",
                f"It lasts {source.count / source.fps:.1f} s.",
            )
    return np.linspace(first, last, min(config.frames, last - first + 1)).round().astype(np.int64)


def stacked(frames: list[np.ndarray], name: str) -> np.ndarray:
    """[T, H, W, 4] where any frame is transparent anywhere, else [T, H, W, 3]."""
    if len({frame.shape[:2] for frame in frames}) > 1:
        raise UserError(f"{name} changes the size of its frames.", "Export it with one size.")
    if all(frame.shape[2] == 3 or frame[..., 3].min() == 255 for frame in frames):
        return np.stack([frame[..., :3] for frame in frames])
    opaque = np.full((*frames[0].shape[:2], 1), 255, np.uint8)
    return np.stack([
        frame if frame.shape[2] == 4 else np.concatenate([frame, opaque], -1) for frame in frames
    ])  # fmt: skip


def _is_still(frames: np.ndarray) -> bool:
    """Whether no block of 8 x 8 pixels changes more than compression noise does."""
    import cv2

    height, width = frames.shape[1:3]
    size = (max(1, width // 8), max(1, height // 8))
    grey = [over(f, 128) if f.shape[2] == 4 else f for f in frames]
    small = [cv2.resize(f, size, interpolation=cv2.INTER_AREA).astype(np.float32) for f in grey]
    return float(np.ptp(small, axis=0).max()) < STILL


def _preview(frame: np.ndarray) -> np.ndarray:
    return over(frame, checkerboard(*frame.shape[:2])) if frame.shape[2] == 4 else frame


# --- the square ---------------------------------------------------------------------------------


def square(
    clip: Clip,
    alphas: np.ndarray,  # [T, H, W] uint8
    config: ClipConfig,
) -> tuple[np.ndarray, tuple[int, int, int], tuple[str, ...]]:
    """Cut one square out of the whole clip, around everything that the mattes cover.

    The square may reach beyond the frame, where it is transparent. Where the clip has no alpha of
    its own, the object's colours are estimated at its soft edges, so that no rim of the old
    background remains. A prepared clip is only resized. S is config.size, or less where the square
    has fewer pixels than that: enlarging adds nothing but time.

    Returns: frames [T, S, S, 4] uint8 straight alpha, whose colours reach a bit beyond the edges;
        the square (left, top, side) in pixels of the clip's frames; warnings.

    Raises:
        UserError: no object is visible, it fills the frame, or prepared frames are not square.
    """
    _, height, width = alphas.shape
    remarks = _check_mattes(alphas)
    if clip.prepared:
        if height != width:
            raise UserError(
                f"The frames of a prepared folder must be square, not {width} x {height} pixels.",
                "Give the images alone, as a folder of images.",
            )
        crop, remarks = (0, 0, width), ()
    else:
        crop = _crop(alphas, config.margin)
    size = min(config.size, max(crop[2], SMALLEST))
    own_colors = clip.frames.shape[-1] == 4

    def cut(frame: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        return _cut(frame[..., :3], alpha, crop, size, own_colors)

    return np.stack(list(each(cut, clip.frames, alphas))), crop, remarks


def _check_mattes(alphas: np.ndarray) -> tuple[str, ...]:
    solid = alphas > 127
    covered = solid.mean(axis=(1, 2))  # [T] share of the frame
    if covered.max() < 2e-4:
        raise UserError(
            "No object is visible in the clip.",
            "The object should stand out from a plain or still background.",
        )
    if np.median(covered) > 0.98:
        raise UserError(
            "The object fills the whole frame.",
            "Some background has to be visible all around the object.",
        )
    remarks = []
    missing = np.flatnonzero(covered < 2e-4)
    if len(missing):
        remarks.append(f"The object is not visible in {named_frames(missing)}.")
    rim = np.concatenate([solid[:, 0], solid[:, -1], solid[:, :, 0], solid[:, :, -1]], axis=1)
    cut = np.flatnonzero(rim.sum(axis=1) >= 3)
    if len(cut):
        remarks.append(f"The border of the picture cuts the object off in {named_frames(cut)}.")
    return tuple(remarks)


def named_frames(indices: np.ndarray) -> str:
    """Frame numbers for a person, counted from 1 among the sampled ones."""
    numbers = [str(index + 1) for index in indices]
    if len(numbers) == 1:
        return f"frame {numbers[0]}"
    return f"{len(numbers)} of the frames" if len(numbers) > 6 else "frames " + ", ".join(numbers)


def _crop(alphas: np.ndarray, margin: float) -> tuple[int, int, int]:
    """Left, top and side of the square around everything that is visible in any frame."""
    seen = (alphas > 50).any(axis=0)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = round(max(bottom - top, right - left) / (1 - 2 * margin))
    return round((left + right - side) / 2), round((top + bottom - side) / 2), side


def _cut(
    colors: np.ndarray,  # [H, W, 3] uint8: the object's own, or the picture with its background
    alpha: np.ndarray,  # [H, W] uint8
    crop: tuple[int, int, int],
    size: int,
    own_colors: bool,
) -> np.ndarray:
    """One frame's square, [S, S, 4] uint8 straight alpha."""
    left, top, side = crop
    height, width = alpha.shape
    y, x = np.arange(top, top + side), np.arange(left, left + side)
    inside = np.ix_(y.clip(0, height - 1), x.clip(0, width - 1))
    rgb = colors[inside].astype(np.float32)
    opacity = alpha[inside].astype(np.float32) / 255
    opacity[(y < 0) | (y >= height)] = 0
    opacity[:, (x < 0) | (x >= width)] = 0
    if own_colors:
        return _resample(rgb, opacity, size)
    small = _area(np.dstack([rgb, opacity]), size)
    return _joined(_foreground(small[..., :3], small[..., 3]), small[..., 3])


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square RGBA picture [H, H, 4] uint8 at another size, [S, S, 4] uint8 straight alpha.

    Averages premultiplied colours, so that what lies below transparent pixels does not bleed in;
    there the object's colours are extended outward.
    """
    return _resample(image[..., :3].astype(np.float32), image[..., 3] / np.float32(255), size)


def cut_out(picture: np.ndarray, alpha: np.ndarray, size: int) -> np.ndarray:
    """A square picture [H, H, 3] and its matte [H, H], uint8, as [S, S, 4] uint8 straight alpha.

    At soft edges the object's own colours are estimated: no rim of the background remains.
    """
    return _cut(picture, alpha, (0, 0, len(picture)), size, own_colors=False)


def _resample(rgb: np.ndarray, opacity: np.ndarray, size: int) -> np.ndarray:
    small = _area(np.dstack([rgb * opacity[..., None], opacity]), size)
    premultiplied, opacity = small[..., :3], small[..., 3]
    around = _spread(premultiplied, opacity, max(3, size // 32))
    own = premultiplied / np.maximum(opacity, 1 / 512)[..., None]
    return _joined(np.where(opacity[..., None] >= 1 / 512, own, around), opacity)


def _joined(rgb: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return (np.dstack([rgb, opacity * 255]) + 0.5).clip(0, 255).astype(np.uint8)


def _area(image: np.ndarray, size: int) -> np.ndarray:
    import cv2

    smaller = size < len(image)
    return cv2.resize(
        image, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )


def _spread(premultiplied: np.ndarray, opacity: np.ndarray, radius: int) -> np.ndarray:
    """Mean colour within `radius` pixels, weighted by the opacity; farther away, within more."""
    import cv2

    result = np.zeros_like(premultiplied)
    for reach in (16 * radius, 4 * radius, radius):
        kernel = (2 * reach + 1, 2 * reach + 1)
        weight = cv2.blur(opacity, kernel)[..., None]
        mean = cv2.blur(premultiplied, kernel) / np.maximum(weight, 1e-6)
        result = np.where(weight > 1e-3, mean, result)
    return result


def _foreground(rgb: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """The object's colours in a picture [H, W, 3] = opacity * object + (1 - opacity) * background.

    Both layers start from local means, where the purest pixels count most; the object's then takes
    up what of the picture is left (Forte, "Approximate Fast Foreground Colour Estimation", 2021).
    """
    a = opacity[..., None]
    front = behind = rgb
    for reach in (max(4, len(rgb) // 24), 2):
        mean = _spread(front * a**4, opacity**4, reach)
        behind = _spread(behind * (1 - a) ** 4, (1 - opacity) ** 4, reach)
        front = (mean + a * (rgb - a * mean - (1 - a) * behind)).clip(0, 255)
    return front
