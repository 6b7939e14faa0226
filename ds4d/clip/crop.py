"""A square around the object, and foreground colours.

One square serves all frames of a clip. Where the object would have few pixels in it, because it
crosses the frame, a square of one size follows it on a smooth path.
"""

from __future__ import annotations

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from ..run.parallel import each
from .clip import Clip

FEW = 1 / 3  # share of the square's side; an object with less is followed
GAIN = 2 / 3  # side of the following square by that of the one square, at most
SMOOTH = 1 / 12  # standard deviation of the path's smoothing, share of the number of frames
VISIBLE = 50  # alpha
SMALLEST = 256  # pixels: squares are not resampled to less than this, unless it was asked for


def square(
    clip: Clip,
    alphas: np.ndarray,  # [T, H, W] uint8
    config: ClipConfig,
) -> tuple[np.ndarray, tuple[int, int, int], tuple[str, ...]]:
    """Crop all frames of a clip to a square around the object.

    It is one square around everything that the mattes cover, or the squares of `travel`.

    The square may extend beyond the frame, where it is transparent. If the clip has no alpha of its
    own, the object's colours are estimated at soft edges, so that no rim of the background remains.
    A prepared clip is only resized. S is config.size, or the square's side if that is less, but at
    least SMALLEST: enlarging adds nothing but time.

    Returns:
        Frames [T, S, S, 4] uint8 with straight alpha, whose colours extend a little beyond the
        edges; the one square (left, top, side) in pixels of the clip's frames; warnings.

    Raises:
        UserError: no object is visible, it fills the frame, or prepared frames are not square.
    """
    _, height, width = alphas.shape
    warnings = _check_mattes(alphas)
    if clip.prepared:
        if height != width:
            raise UserError(
                f"The frames of a prepared folder must be square, not {width} x {height} pixels.",
                "Give the images alone, as a folder of images.",
            )
        crop, path, warnings = (0, 0, width), None, ()
    else:
        crop, path = _crop(alphas, config.margin), travel(alphas, config.margin)
    crops = [crop] * len(alphas) if path is None else [tuple(row) for row in path.tolist()]
    if path is not None:
        sentence = f"The object crosses the frame: a square of {crops[0][2]} pixels follows it, "
        warnings = (*warnings, sentence + f"where one for all frames would have {crop[2]}.")
    size = min(config.size, max(crops[0][2], SMALLEST))
    own_colors = clip.frames.shape[-1] == 4

    def cut(frame: np.ndarray, alpha: np.ndarray, crop: tuple[int, int, int]) -> np.ndarray:
        return _cut(frame[..., :3], alpha, crop, size, own_colors)

    return np.stack(list(each(cut, clip.frames, alphas, crops))), crop, warnings


def travel(
    alphas: np.ndarray,  # [T, H, W] uint8
    margin: float,
) -> np.ndarray | None:
    """Squares [T, 3] int64 (left, top, side) that follow the object, in pixels of the mattes.

    All have one side, which holds the object in every frame, and their centres lie on a smooth
    path. None = one square for all frames is good enough.
    """
    seen = [_extent(alpha) for alpha in alphas]
    visible = np.array([box is not None for box in seen])
    if visible.sum() < 2:
        return None
    boxes = np.array([box for box in seen if box is not None])  # left, top, right, bottom
    _, _, whole = _crop(alphas, margin)
    own = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    if np.median(own) >= FEW * whole:
        return None
    frames = np.arange(len(alphas))
    centers = np.stack([
        np.interp(frames, frames[visible], (boxes[:, axis] + boxes[:, axis + 2]) / 2)
        for axis in (0, 1)
    ], axis=1)  # fmt: skip
    path = _smoothed(centers)
    reach = np.maximum(boxes[:, 2:] - path[visible], path[visible] - boxes[:, :2]).max()
    side = round(2 * float(reach) / (1 - 2 * margin))
    if side > GAIN * whole:
        return None
    corners = np.round(path - side / 2).astype(np.int64)
    return np.column_stack([corners, np.full(len(frames), side)])


def _smoothed(path: np.ndarray) -> np.ndarray:
    """A path [T, 2] without jitter. It goes on in its direction at both ends, and does not lag."""
    from scipy.ndimage import gaussian_filter1d

    beyond = len(path) - 1
    longer = np.pad(path, ((beyond, beyond), (0, 0)), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(longer, SMOOTH * len(path), axis=0)[beyond : beyond + len(path)]


def _extent(alpha: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of what is visible in a matte [H, W]; None = nothing."""
    seen = alpha > VISIBLE
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


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


def _crop(alphas: np.ndarray, margin: float) -> tuple[int, int, int]:
    """Left, top and side of the square around everything that is visible in any frame."""
    left, top, right, bottom = _extent(alphas.max(axis=0)) or (0, 0, *alphas.shape[:0:-1])
    side = round(max(bottom - top, right - left) / (1 - 2 * margin))
    return round((left + right - side) / 2), round((top + bottom - side) / 2), side


def _cut(
    colors: np.ndarray,  # [H, W, 3] uint8: the object's own, or the frame with its background
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
