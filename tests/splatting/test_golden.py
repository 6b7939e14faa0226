"""The renderer against stored results of the field's reference implementation."""

from __future__ import annotations

import json

import pytest
import torch

from ds4d.splatting import rasterize
from tests.paths import golden_cases

CASES = golden_cases("g3/s*.safetensors")


def spherical_harmonics(degree, coefficients, directions):  # [N, K, 3], [C, N, 3] -> [C, N, 3]
    """Real spherical harmonics with the field's signs, degree 0 to 3."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    bases = [torch.full_like(x, 0.28209479177387814)]
    if degree > 0:
        bases += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if degree > 1:
        bases += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * zz - xx - yy),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
        ]
    if degree > 2:
        bases += [
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (4 * zz - xx - yy),
            0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy),
            -0.4570457994644658 * x * (4 * zz - xx - yy),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ]
    return torch.einsum("cnk,nkd->cnd", torch.stack(bases, -1), coefficients[:, : len(bases)])


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden_rasterization(path, backend):
    from safetensors.torch import load_file

    case, settings = load_file(path), json.loads(path.with_suffix(".json").read_text())
    if backend == "triton" and case["means2d"].shape[0] * case["means2d"].shape[1] > 150:
        pytest.skip("too many Gaussians for Triton's interpreter")
    names = [
        name
        for name in ("means", "quats", "scales", "opacities", "colors", "sh", "backgrounds")
        if name in case
    ]
    parts = {name: case[name].float().requires_grad_() for name in names}
    viewmats, Ks = case["viewmats"].float(), case["Ks"].float()

    if "sh" in parts:
        centres = torch.linalg.inv(case["viewmats"])[:, None, :3, 3]
        directions = torch.nn.functional.normalize(parts["means"].double() - centres, dim=-1)
        sh = spherical_harmonics(settings["sh_degree"], parts["sh"].double(), directions)
        colors = (sh + 0.5).clamp(min=0).float()
    else:
        colors = parts["colors"]
    rgb, alpha, depth = rasterize(
        parts["means"], parts["quats"], parts["scales"], parts["opacities"], colors,
        viewmats, Ks, settings["width"], settings["height"], parts.get("backgrounds"),
        antialiased=settings["antialiased"], backend=backend,
    )  # fmt: skip

    robust = case["robust_mask"].bool()[..., None]
    for name, image in {"rgb": rgb, "alpha": alpha, "depth": depth}.items():
        difference = ((image - case[name]) * robust).abs().max()
        assert difference < 1e-4 * case[name].abs().max(), name

    loss = sum(
        (case[f"loss_w_{name}"].double() * image.double()).sum()
        for name, image in {"rgb": rgb, "alpha": alpha, "depth": depth}.items()
    )
    gradients = torch.autograd.grad(loss, list(parts.values()))
    for name, gradient in zip(parts, gradients, strict=True):
        expected = case[f"grad_{name}"]
        worst = (gradient - expected).abs().max() / expected.abs().max()
        assert worst < 1e-4, name
