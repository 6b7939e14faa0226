"""Frames cut to the squares around the object, and its colours without the background."""

from __future__ import annotations

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from ..run.parallel import each
from .clip import Clip
from .squares import Square, Squares, choose

SMALLEST = 256  # pixels: squares are not resampled to less than this, unless it was asked for


def square(
    clip: Clip,
    alphas: np.ndarray,  # [T, H, W] uint8
    config: ClipConfig,
    camera: np.ndarray | None = None,  # [T, 2, 3] its motion, as in `squares.choose`
) -> tuple[np.ndarray, Squares, tuple[str, ...]]:
    """Crop all frames of a clip to the squares around the object that squares.py chooses.

    A square may extend beyond the frame, where it is transparent. If the clip has no alpha of its
    own, the object's colours are estimated at soft edges, so that no rim of the background remains.
    A prepared clip is only resized. S is config.size, or the square's side if that is less, but at
    least SMALLEST: enlarging adds nothing but time.

    Returns:
        Frames [T, S, S, 4] uint8 with straight alpha, whose colours extend a little beyond the
        edges; the squares; warnings.

    Raises:
        UserError: no object is visible, it fills the frame, or prepared frames are not square.
    """
    warnings = _check_mattes(alphas)
    if clip.prepared:
        chosen, warnings = _as_prepared(alphas), ()
    else:
        chosen = choose(alphas, config.margin, camera)
    if chosen.follows:
        side = f"a square of {chosen.places[0, 2]} pixels follows it"
        warnings = (*warnings, f"The object moves far through the clip: {side}.")
    crops: list[Square] = [tuple(place) for place in chosen.places.tolist()]
    size = min(config.size, max(crops[0][2], SMALLEST))
    own_colors = clip.frames.shape[-1] == 4

    def cut(frame: np.ndarray, alpha: np.ndarray, crop: Square) -> np.ndarray:
        return _cut(frame[..., :3], alpha, crop, size, own_colors)

    return np.stack(list(each(cut, clip.frames, alphas, crops))), chosen, warnings


def _as_prepared(alphas: np.ndarray) -> Squares:
    """The whole frames of a prepared clip. Raises UserError if they are not square."""
    count, height, width = alphas.shape
    if height != width:
        raise UserError(
            f"The frames of a prepared folder must be square, not {width} x {height} pixels.",
            "Give the images alone, as a folder of images.",
        )
    return Squares(np.tile([0, 0, width], (count, 1)), np.zeros((count, 2), np.int64), False)


def _check_mattes(alphas: np.ndarray) -> tuple[str, ...]:
    """Warnings about mattes [T, H, W] uint8. Raises UserError if they show no object."""
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
            "Some background must be visible all around the object.",
        )
    warnings = []
    missing = np.flatnonzero(covered < 2e-4)
    if len(missing):
        warnings.append(f"The object is not visible in {named_frames(missing)}.")
    rim = np.concatenate([solid[:, 0], solid[:, -1], solid[:, :, 0], solid[:, :, -1]], axis=1)
    cut = np.flatnonzero(rim.sum(axis=1) >= 3)
    if len(cut):
        warnings.append(f"The border of the frame cuts the object off in {named_frames(cut)}.")
    return tuple(warnings)


def named_frames(indices: np.ndarray) -> str:
    """Frames by their numbers among the sampled ones, counted from 1, for messages."""
    numbers = [str(index + 1) for index in indices]
    if len(numbers) == 1:
        return f"frame {numbers[0]}"
    return f"{len(numbers)} of the frames" if len(numbers) > 6 else "frames " + ", ".join(numbers)


def _cut(
    colors: np.ndarray,  # [H, W, 3] uint8: the object's own, or the frame with its background
    alpha: np.ndarray,  # [H, W] uint8
    crop: Square,
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
    """Resize a square RGBA image [H, H, 4] uint8 to [S, S, 4] uint8, both with straight alpha.

    Premultiplied colours are averaged, so that colours of transparent pixels do not bleed in; there
    the object's colours are extended outward.
    """
    return _resample(image[..., :3].astype(np.float32), image[..., 3] / np.float32(255), size)


def cut_out(image: np.ndarray, alpha: np.ndarray, size: int) -> np.ndarray:
    """Cut the object out of a square image [H, H, 3] by its matte [H, H], both uint8.

    Returns [S, S, 4] uint8 with straight alpha. The object's colours are estimated at soft edges,
    so that no rim of the background remains.
    """
    return _cut(image, alpha, (0, 0, len(image)), size, own_colors=False)


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
    """Mean colour weighted by opacity, within `radius` pixels, or within more where none is near.

    premultiplied [H, W, 3], opacity [H, W]; returns [H, W, 3].
    """
    import cv2

    result = np.zeros_like(premultiplied)
    for reach in (16 * radius, 4 * radius, radius):
        kernel = (2 * reach + 1, 2 * reach + 1)
        weight = cv2.blur(opacity, kernel)[..., None]
        mean = cv2.blur(premultiplied, kernel) / np.maximum(weight, 1e-6)
        result = np.where(weight > 1e-3, mean, result)
    return result


def _foreground(rgb: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """The object's colours in an image [H, W, 3] = opacity * object + (1 - opacity) * background.

    Both layers start from local means, in which the purest pixels count most; the object's then
    takes up the residual (Forte, "Approximate Fast Foreground Colour Estimation", 2021).
    """
    a = opacity[..., None]
    front = behind = rgb
    for reach in (max(4, len(rgb) // 24), 2):
        mean = _spread(front * a**4, opacity**4, reach)
        behind = _spread(behind * (1 - a) ** 4, (1 - opacity) ** 4, reach)
        front = (mean + a * (rgb - a * mean - (1 - a) * behind)).clip(0, 255)
    return front
