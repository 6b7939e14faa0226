"""The losses against transcriptions and against what they are for."""

import numpy as np
import pytest
import torch

from ds4d.fourd.losses import SSIM_C1, SSIM_C2, SSIM_WINDOW, photometric, ssim, structural


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


def test_a_pixel_counts_as_much_as_it_can_be_trusted():
    a, b = pictures()
    trust = torch.zeros(2, *a.shape[1:3], 1)
    trust[0, 4, 7], trust[1, :8] = 0.5, 1.0
    error = (a - b).abs().mean(-1)
    weighted = photometric(a, b, True, trust) * a[0, ..., 0].numel()
    assert float(weighted[0]) == pytest.approx(0.5 * float(error[0, 4, 7]), rel=1e-5)
    assert float(weighted[1]) == pytest.approx(float(error[1, :8].sum()), rel=1e-5)


def test_structure_weighs_more_than_a_change_of_level():
    """What the perceptual loss is for: views that differ in brightness, but not in shape."""
    rows = torch.linspace(0, 12, 64)
    a = (0.5 + 0.3 * torch.sin(rows)[:, None] * torch.cos(rows)[None])[None, ..., None]
    a = a.repeat(1, 1, 1, 3)
    brighter, blank = a + 0.1, torch.full_like(a, 0.5)
    assert photometric(a, brighter, True) > 0.5 * photometric(a, blank, True)
    assert structural(a, brighter) < 0.2 * structural(a, blank)


def photometric_robust(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return photometric(a, b, robust=True)


def photometric_trusting(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    trust = torch.linspace(0, 1, a.shape[1] * a.shape[2], dtype=a.dtype)
    trust = trust.reshape(1, *a.shape[1:3], 1).expand(2, -1, -1, -1)
    return photometric(a, b, robust=True, trust=trust)


@pytest.mark.parametrize("size", [32, 61])
@pytest.mark.parametrize("loss", [structural, photometric_robust, photometric_trusting])
def test_values_and_gradients_of_the_kernels_are_those_of_the_formulas(loss, size):
    """In float64 the formulas are computed as they are written."""
    a, b = pictures(size=size)
    weights = torch.tensor([1.3, -0.4])
    results = []
    for dtype in (torch.float32, torch.float64):
        render = a.to(dtype, copy=True).requires_grad_()
        errors = loss(render, b.to(dtype))
        (errors * weights).sum().backward()
        results.append((errors, render.grad))
    (ours, v_ours), (theirs, v_theirs) = results
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-7)
    assert (v_ours - v_theirs).abs().max() < 1e-5 * v_theirs.abs().max()
