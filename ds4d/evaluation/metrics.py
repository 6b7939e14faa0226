"""Image and video metrics of predictions against ground truth: pure functions on arrays.

Colours are float32 in [0, 1], composited on white; masks mark the object. Higher is better in all
metrics. The white background inflates psnr and ssim, so psnr_fg, mask_iou and motion_psnr are more
informative for single objects; temporal_psnr alone rewards static results.

Squared errors are averaged over channels first, then over pixels, in float32.
"""

from __future__ import annotations

import numpy as np

from ..errors import UserError

SMALLEST_ERROR = 1e-10  # mean squared error that counts as none: psnr ends at 100 dB
FOREGROUND_MARGIN = 5  # pixels around the object that psnr_fg includes
MOTION_THRESHOLD = 0.10  # change of any colour channel that counts as motion
MOTION_MARGIN = 3  # pixels around the region that moves at any time in the clip
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales
MS_SSIM_LEAST = 161  # pixels: the window has to fit the smallest scale
FRAME_MOTION_MARGIN = 2  # pixels around what moves at one frame


def on_white(
    image: np.ndarray,  # [H, W, 3] or [H, W, 4] uint8; RGBA has straight alpha
) -> tuple[np.ndarray, np.ndarray | None]:
    """Composite on white: colours [H, W, 3], and the mask [H, W] alpha > 0.5 (None if opaque)."""
    image = image.astype(np.float32) / 255
    if image.shape[-1] == 3:
        return image, None
    color, alpha = image[..., :3], image[..., 3:]
    return color * alpha + 1 - alpha, alpha[..., 0] > 0.5


def squared_error(
    prediction: np.ndarray,  # [..., H, W, 3]
    truth: np.ndarray,  # [..., H, W, 3]
) -> np.ndarray:
    """Squared error of each pixel, averaged over its channels, [..., H, W]."""
    return ((prediction - truth) ** 2).mean(-1)


def decibels(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio for values in [0, 1], dB, at most 100."""
    return float(-10 * np.log10(max(float(mean_squared_error), SMALLEST_ERROR)))


def psnr(prediction: np.ndarray, truth: np.ndarray) -> float:
    """PSNR over the whole of two images [H, W, 3], dB."""
    return decibels(squared_error(prediction, truth).mean())


def ssim(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity of two images [H, W, 3], at most 1 (Wang et al. 2004).

    Gaussian window of sigma 1.5, each channel by itself, population covariance.
    """
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            prediction,
            truth,
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def ms_ssim(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Multi-scale SSIM of two images [H, W, 3] uint8, at most 1 (Wang et al. 2003).

    Five scales, Gaussian window of 11 pixels and sigma 1.5 without padding; negative contrasts
    count as 0. D-SSIM is (1 - MS-SSIM) / 2.

    Raises:
        UserError: an image has fewer than MS_SSIM_LEAST pixels on a side.
    """
    import torch
    import torch.nn.functional as F

    if min(prediction.shape[:2]) < MS_SSIM_LEAST:
        raise UserError(
            f"MS-SSIM needs images of at least {MS_SSIM_LEAST} pixels.",
            "Leave it out of --metrics.",
        )
    pair = [torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[:, None]
            for image in (prediction, truth)]  # fmt: skip
    offsets = torch.arange(11) - 5
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = torch.outer(line, line)[None, None] / line.sum() ** 2
    result = torch.ones(3)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        a, b = pair
        ma, mb = F.conv2d(a, window), F.conv2d(b, window)
        va, vb = F.conv2d(a * a, window) - ma**2, F.conv2d(b * b, window) - mb**2
        together = F.conv2d(a * b, window) - ma * mb
        contrast = (2 * together + 0.03**2) / (va + vb + 0.03**2)
        light = (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        value = (contrast * light if last else contrast).mean((1, 2, 3))
        result = result * value.clamp(min=0) ** weight
        padding = [side % 2 for side in a.shape[2:]]
        pair = [F.avg_pool2d(image, 2, padding=padding) for image in pair]
    return float(result.mean())


def psnr_fg(
    prediction: np.ndarray,  # [H, W, 3]
    truth: np.ndarray,  # [H, W, 3]
    prediction_mask: np.ndarray | None,  # [H, W] bool, None = unknown
    truth_mask: np.ndarray,  # [H, W] bool
) -> float:
    """PSNR over the pixels within 5 px of the true or predicted object, dB.

    If both masks are empty, the whole image counts.
    """
    mask = truth_mask if prediction_mask is None else truth_mask | prediction_mask
    if not mask.any():
        return psnr(prediction, truth)
    return decibels(squared_error(prediction, truth)[dilated(mask, FOREGROUND_MARGIN)].mean())


def mask_iou(
    prediction_mask: np.ndarray,  # [H, W] bool
    truth_mask: np.ndarray,  # [H, W] bool
) -> float:
    """Intersection over union of two masks, in [0, 1]; 0 where both are empty."""
    union = (prediction_mask | truth_mask).sum()
    return float((prediction_mask & truth_mask).sum() / max(union, 1))


def motion_region(truth: np.ndarray) -> np.ndarray:
    """Region in which a still camera sees motion: [H, W] bool from images [T, H, W, 3].

    A pixel moves when the range of any channel over all frames exceeds 0.10; 3 px are added.
    """
    spread = (truth.max(0) - truth.min(0)).max(-1)
    return dilated(spread > MOTION_THRESHOLD, MOTION_MARGIN)


def motion_psnr(
    prediction: np.ndarray,  # [T, H, W, 3] of one still camera
    truth: np.ndarray,  # [T, H, W, 3]
) -> float | None:
    """PSNR of the error pooled over all frames in the region that moves, dB; None if none does."""
    region = motion_region(truth)
    if not region.any():
        return None
    return decibels(squared_error(prediction, truth)[:, region].mean())


def motion_psnr_frame(
    prediction: np.ndarray,  # [T, H, W, 3] of one still camera
    truth: np.ndarray,  # [T, H, W, 3]
) -> float | None:
    """PSNR of the error pooled over what moves at each frame, dB; None if nothing ever does.

    At a frame move the pixels that differ from the previous or the next true frame by more than
    0.10 in any channel, and 2 px around them.
    """
    steps = np.abs(np.diff(truth, axis=0)).max(-1) > MOTION_THRESHOLD  # [T - 1, H, W]
    moving = np.zeros(truth.shape[:3], bool)
    moving[1:] |= steps
    moving[:-1] |= steps
    moving = np.stack([dilated(mask, FRAME_MOTION_MARGIN) for mask in moving])
    if not moving.any():
        return None
    return decibels(squared_error(prediction, truth)[moving].mean())


def temporal_psnr(
    prediction: np.ndarray,  # [T, H, W, 3] of one still camera
    truth: np.ndarray,  # [T, H, W, 3]
) -> float | None:
    """PSNR of the frame-to-frame differences in the region that moves, dB; None if none does.

    Penalizes flicker and missing motion, but not errors that are constant over time.
    """
    region = motion_region(truth)
    if len(truth) < 2 or not region.any():
        return None
    difference = squared_error(np.diff(prediction, axis=0), np.diff(truth, axis=0))
    return decibels(difference[:, region].mean())


def dilated(
    mask: np.ndarray,  # [H, W] bool
    radius: int,  # pixels
) -> np.ndarray:
    """Dilate a mask by a disk of `radius` pixels, [H, W] bool."""
    from scipy.ndimage import binary_dilation

    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = x * x + y * y <= radius * radius + 0.5
    return binary_dilation(mask, disk)
