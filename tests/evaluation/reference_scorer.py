"""Second implementation of the scores, from their definitions alone (docs/results.md).

It shares no code with ds4d.evaluation and reads the same files, so that an error in one of the two
shows up as a difference. All errors are float32 means over channels first.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity

MOTION = 0.10  # change of a colour channel, in [0, 1]


def score(prediction: Path, case: Path) -> dict[str, Any]:
    """Scores of the images in `prediction` against the held-out and orbit views of a case."""
    views = sorted(path.name for path in (case / "heldout").iterdir())
    pooled, motions, per_view = [], [], {}
    for view in views:
        pairs = load_pairs(prediction / "heldout" / view, case / "heldout" / view)
        images = [image_scores(*pair) for pair in pairs]
        moving = motion_scores(
            np.stack([predicted for (predicted, _), _ in pairs]),
            np.stack([truth for _, (truth, _) in pairs]),
        )
        rounded = {name: None if x is None else round(x, 4) for name, x in moving.items()}
        per_view[view] = summary(images) | rounded
        pooled += images
        motions.append(moving)
    means = {name: mean(motion[name] for motion in motions) for name in motions[0]}
    orbit = [image_scores(*pair) for pair in load_pairs(prediction / "orbit", case / "orbit")]
    return {
        "case": case.resolve().name,
        "heldout": summary(pooled) | means | {"per_view": per_view},
        "orbit": summary(orbit),
    }


def load_pairs(prediction: Path, truth: Path) -> list[tuple]:
    """((predicted colours, mask), (true colours, mask)) of all images of the truth."""
    names = sorted(path.name for path in truth.glob("*.png"))
    return [(load(prediction / name), load(truth / name)) for name in names]


def load(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Colours over white [H, W, 3] float32, and alpha > 0.5 [H, W], None without alpha."""
    pixels = np.asarray(Image.open(path), np.float32) / 255
    if pixels.shape[-1] == 3:
        return pixels, None
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + 1 - alpha, pixels[..., 3] > 0.5


def image_scores(predicted: tuple, truth: tuple) -> dict[str, float | None]:
    """Scores of one image; None where a mask is missing."""
    (color, mask), (true_color, true_mask) = predicted, truth
    error = np.square(color - true_color).mean(-1)
    foreground = iou = None
    if true_mask is not None:
        object_ = true_mask if mask is None else true_mask | mask
        area = binary_dilation(object_, disc(5)) if object_.any() else np.ones_like(object_)
        foreground = psnr(error[area].mean() if object_.any() else error.mean())
        if mask is not None:
            iou = float((true_mask & mask).sum() / max(object_.sum(), 1))
    similarity = structural_similarity(
        color, true_color, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    return {
        "psnr": psnr(error.mean()), "ssim": float(similarity), "psnr_fg": foreground,
        "mask_iou": iou,
    }  # fmt: skip


def motion_scores(colors: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
    """Scores of the moving region of one still camera; colours [T, H, W, 3]."""
    error = np.square(colors - truth).mean(-1)
    ever = binary_dilation((truth.max(0) - truth.min(0)).max(-1) > MOTION, disc(3))
    change = np.abs(np.diff(truth, axis=0)).max(-1) > MOTION  # [T - 1, H, W]
    now = np.zeros(error.shape, bool)
    now[1:] |= change
    now[:-1] |= change
    for mask in now:
        if mask.any():
            mask[:] = binary_dilation(mask, disc(2))
    difference = np.square(np.diff(colors, axis=0) - np.diff(truth, axis=0)).mean(-1)
    return {
        "motion_fraction": float(ever.mean()),
        "motion_psnr": psnr(error[:, ever].mean()) if ever.any() else None,
        "motion_psnr_frame": psnr(error[now].mean()) if now.any() else None,
        "temporal_psnr": psnr(difference[:, ever].mean()) if ever.any() else None,
    }


def summary(images: list[dict]) -> dict[str, Any]:
    """Means over images; the IoU only if every image has one."""
    means = {name: mean(image[name] for image in images) for name in ("psnr", "ssim", "psnr_fg")}
    complete = all(image["mask_iou"] is not None for image in images)
    iou = mean(image["mask_iou"] for image in images) if complete else None
    return means | {"mask_iou": iou, "images": len(images)}


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that exist, to four digits."""
    existing = [value for value in values if value is not None]
    return round(float(np.mean(existing)), 4) if existing else None


def psnr(mean_squared_error: float) -> float:
    """In dB, at most 100."""
    return float(-10 * np.log10(max(float(mean_squared_error), 1e-10)))


def disc(radius: int) -> np.ndarray:
    """Footprint of a dilation by a radius in pixels."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x**2 + y**2 <= radius**2 + 0.5


def ms_ssim(color: np.ndarray, truth: np.ndarray) -> float:
    """Multi-scale SSIM of two images [H, W, 3] uint8, by its definition in float64."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(line, line) / line.sum() ** 2
    totals = []
    for channel in range(3):
        a, b = (image[..., channel] / 255 for image in (color, truth))
        total = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            ma, mb, aa, bb, ab = (
                convolve2d(image, window, mode="valid") for image in (a, b, a * a, b * b, a * b)
            )
            part = (2 * (ab - ma * mb) + 9e-4) / (aa - ma**2 + bb - mb**2 + 9e-4)
            if scale == 4:
                part = part * (2 * ma * mb + 1e-4) / (ma**2 + mb**2 + 1e-4)
            total *= max(part.mean(), 0) ** weight
            a, b = (_halved(image) for image in (a, b))
        totals.append(total)
    return float(np.mean(totals))


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd side gets a row of zeros on both ends first."""
    image = np.pad(image, [(side % 2, side % 2) for side in image.shape])
    rows, columns = (side // 2 * 2 for side in image.shape)
    return image[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))
