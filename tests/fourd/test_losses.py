"""Image losses against literal transcriptions and their purpose."""

import numpy as np
import pytest
import torch

from ds4d.fourd.losses import (
    SSIM_C1,
    SSIM_C2,
    SSIM_WINDOW,
    LossWeights,
    image_loss,
    photometric,
    ssim,
    structural,
)
from ds4d.fourd.targets import TargetImages


def pictures(seed: int = 0, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(2, size, size, 3, generator=generator)
    return a, (a + 0.2 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def test_ssim_matches_the_letter():
    a, b = (x.permute(0, 3, 1, 2)[:1, :1, :10, :9] for x in pictures())
    x, y = a.double().numpy()[0, 0], b.double().numpy()[0, 0]
    values = []
    for row in range(0, 10 - SSIM_WINDOW + 1, SSIM_WINDOW):
        for column in range(0, 9 - SSIM_WINDOW + 1, SSIM_WINDOW):
            p = x[row : row + SSIM_WINDOW, column : column + SSIM_WINDOW]
            q = y[row : row + SSIM_WINDOW, column : column + SSIM_WINDOW]
            covariance = ((p - p.mean()) * (q - q.mean())).mean()
            top = (2 * p.mean() * q.mean() + SSIM_C1) * (2 * covariance + SSIM_C2)
            bottom = (p.mean() ** 2 + q.mean() ** 2 + SSIM_C1) * (p.var() + q.var() + SSIM_C2)
            values.append(top / bottom)
    assert float(ssim(a, b)) == pytest.approx(np.mean(values), abs=1e-5)


def test_equal_pictures_cost_nothing():
    a, _ = pictures()
    assert structural(a, a).abs().max() < 1e-6
    assert photometric(a, a, robust=True).max() == 0


def test_photometric_is_the_mean_error_of_each_picture():
    a, b = pictures()
    difference = (a - b).numpy()
    for index in range(2):
        absolute, squared = np.abs(difference[index]).mean(), (difference[index] ** 2).mean()
        assert float(photometric(a, b, True)[index]) == pytest.approx(absolute, rel=1e-5)
        assert float(photometric(a, b, False)[index]) == pytest.approx(squared, rel=1e-5)


def test_structure_weighs_more_than_a_change_of_level():
    """Purpose of the perceptual loss: views that differ in brightness, but not in shape."""
    rows = torch.linspace(0, 12, 64)
    a = (0.5 + 0.3 * torch.sin(rows)[:, None] * torch.cos(rows)[None])[None, ..., None]
    a = a.repeat(1, 1, 1, 3)
    brighter, blank = a + 0.1, torch.full_like(a, 0.5)
    assert photometric(a, brighter, True) > 0.5 * photometric(a, blank, True)
    assert structural(a, brighter) < 0.2 * structural(a, blank)


def renders_and_targets(size: int, around: str) -> tuple[torch.Tensor, torch.Tensor, TargetImages]:
    """Four renders, [4, size, size, 3] and [.., 1], and the targets; white around a box, or not."""
    generator = torch.Generator().manual_seed(0)
    rgb, true_rgb = torch.rand(2, 4, size, size, 3, generator=generator)
    alpha, true_alpha = torch.rand(2, 4, size, size, 1, generator=generator)
    inside = torch.ones(4, size, size, 1)
    if around == "white":
        inside = torch.zeros(4, size, size, 1)
        for picture, (top, left) in enumerate(((0, 0), (9, 17), (size - 12, 3), (30, size - 9))):
            inside[picture, top : top + 11, left : left + 8] = 1
    inside[3] *= around == "all"  # a picture without any difference
    rgb, true_rgb = (1 - inside * (1 - x) for x in (rgb, true_rgb))
    alpha, true_alpha = inside * alpha, inside * true_alpha
    return rgb, alpha, TargetImages((255 * true_rgb).byte(), (255 * true_alpha).byte())


@pytest.mark.parametrize("size", [64, 61])
@pytest.mark.parametrize("around", ["all", "white"])
@pytest.mark.parametrize("perceptual", [False, True])
def test_error_and_gradients_of_the_kernels_are_those_of_the_formulas(size, around, perceptual):
    """In float64 the formulas are computed as they are written, over whole pictures."""
    rgb, alpha, targets = renders_and_targets(size, around)
    results = []
    for dtype in (torch.float32, torch.float64):
        renders = [x.to(dtype, copy=True).requires_grad_() for x in (rgb, alpha)]
        weights = torch.tensor([[1.3, 0.4, 0.0, 1.0], [0.7, 0.2, 1.0, 1.0]], dtype=dtype)
        of_second = torch.tensor([2.0, 0.6], dtype=dtype) if perceptual else None
        weights = LossWeights(*weights, of_second, slice(1, None, 2))
        error = image_loss(*renders, targets, weights, True, structural)
        (0.5 * error).backward()
        results.append((error, *(x.grad for x in renders)))
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_another_perceptual_loss_gets_the_images_that_the_weights_name():
    rgb, alpha, targets = renders_and_targets(32, "all")
    weights = LossWeights(
        torch.ones(4), torch.zeros(4), torch.tensor([1.0, 2.0]), slice(1, None, 2)
    )
    seen = []

    def loss(render: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        seen.append((render, target))
        return torch.tensor([3.0, 4.0])

    error = image_loss(rgb, alpha, targets, weights, False, loss)
    squares = (rgb - targets.rgb / 255).square().mean((1, 2, 3)).sum()
    assert float(error) == pytest.approx(float(squares) + 1 * 3 + 2 * 4, rel=1e-5)
    ((render, target),) = seen
    assert torch.equal(render, rgb[1::2]) and torch.equal(target, targets.rgb[1::2] / 255)
