"""The one function that renders Gaussians, and the backends behind it."""

from __future__ import annotations

import functools
import os
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import UserError
from ..kernels.numba.cache import forget_stale
from .inputs import Inputs

MODULES = {
    "numba": "numba_backend",
    "triton": "triton_backend",
    "diff_gaussian": "diff_gaussian_backend",
}  # of each backend, beside this file
DEVICES = {
    "numba": ("cpu",),
    "triton": ("cuda", "cpu") if os.environ.get("TRITON_INTERPRET") == "1" else ("cuda",),
    "diff_gaussian": ("cuda",),
}


def check(backend: str, device: torch.device) -> None:
    """Raise UserError where a backend that was asked for cannot render on this device."""
    if backend == "auto":
        return
    if device.type not in DEVICES[backend]:
        place = "a CPU" if device.type == "cpu" else "a GPU"
        raise UserError(
            f"The rasterizer {backend} does not draw on {place}.",
            "Leave out --rasterizer to use the default of this machine.",
        )
    if backend == "diff_gaussian":
        import_module(".diff_gaussian_backend", __package__).package()


def supports_cuda_graph(backend: str) -> bool:
    """True if a backend's work on a GPU can be captured in a CUDA graph."""
    return backend != "diff_gaussian"


def supports_offsets(backend: str) -> bool:
    """True if a backend can add `means2d_offsets` that are not zero."""
    return backend != "diff_gaussian"


def crowded() -> bool:
    """True if a captured CUDA graph should be captured again, after one rendering outside of it."""
    from . import triton_backend

    return triton_backend.crowded()


def rasterize(
    means: Tensor,  # [N, 3] or [C, N, 3] world
    quats: Tensor,  # [N, 4] or [C, N, 4] w, x, y, z, of any length but zero
    scales: Tensor,  # [N, 3] or [C, N, 3] linear, world units
    opacities: Tensor,  # [N] or [C, N] in [0, 1]
    colors: Tensor,  # [N, D] or [C, N, D]
    viewmats: Tensor,  # [C, 4, 4] world to camera, OpenCV axes
    Ks: Tensor,  # [C, 3, 3] pixels, pixel centres at +0.5
    width: int,  # pixels
    height: int,  # pixels
    backgrounds: Tensor | None = None,  # [C, D]; None is black
    *,
    antialiased: bool = False,
    means2d_offsets: Tensor | None = None,  # [C, N, 2] pixels
    backend: str = "auto",  # "numba" (CPU), "triton" or "diff_gaussian" (GPU)
) -> tuple[Tensor, Tensor, Tensor]:
    """Render N Gaussians with C cameras (3D Gaussian splatting, Kerbl et al. 2023).

    Each of the first five may be shared by all cameras or have a leading axis of its own for
    them. Returns colours [C, H, W, D] over the backgrounds, alphas [C, H, W, 1] and expected
    depths [C, H, W, 1] (the blended depth / alpha; 0 where nothing is drawn).

    Gradients reach everything but the cameras. means2d_offsets are added to the projected centres:
    zeros there collect the gradient in the image plane. The projected covariance gains 0.3 px^2 on
    its diagonal; antialiased lowers the opacity to make up for it (Yu et al. 2024, Mip-Splatting).
    The result is the same, bit by bit, on every run (triton_backend.py has the one exception).

    The backend "auto" is "numba" on a CPU and "triton" on a GPU. "diff_gaussian" needs the package
    of that name; diff_gaussian_backend.py lists its differences. "triton" renders tensors on a CPU
    when TRITON_INTERPRET=1 is set before it is imported: slowly, for tests.

    Raises:
        ValueError: shapes, types or devices do not fit together, or there is no such backend.
    """
    C, N, D = _check_shapes(means, quats, scales, opacities, colors, viewmats, Ks)
    if width < 1 or height < 1:
        raise ValueError(f"an image needs at least one pixel, got {width} x {height}")
    if backgrounds is None:
        backgrounds = colors.new_zeros(C, D)
    if means2d_offsets is None:
        means2d_offsets = means.new_zeros(C, N, 2)
    _check("backgrounds", backgrounds, [(C, D)], means)
    _check("means2d_offsets", means2d_offsets, [(C, N, 2)], means)

    per_gaussian = (means, 2), (quats, 2), (scales, 2), (opacities, 1), (colors, 2)
    tensors = [x if x.ndim > shared else x[None] for x, shared in per_gaussian]
    tensors += [means2d_offsets, backgrounds, viewmats, Ks]
    inputs = Inputs(*tensors, width, height, antialiased)
    module = _backend(backend, means.device)
    if hasattr(module, "draw"):  # made of differentiable operations
        rendered, alphas, depths = module.draw(inputs)
    elif torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        rendered, alphas, depths = _Rasterize.apply(module, *inputs)
    else:
        rendered, alphas, depths, _ = module.forward(inputs)
    return rendered, alphas[..., None], depths[..., None]


def _backend(name: str, device: torch.device) -> ModuleType:
    """The module of a backend; "auto" is numba on a CPU and Triton on a GPU."""
    if name == "auto":
        name = "numba" if device.type == "cpu" else "triton"
    if name not in MODULES:
        raise ValueError(f"there is no backend {name}, only {', '.join(MODULES)} and auto")
    if device.type not in DEVICES[name]:
        devices = " or ".join(DEVICES[name])
        raise ValueError(f"{name} draws tensors on {devices}, got tensors on {device}")
    return _load(name)


@functools.cache
def _load(name: str) -> ModuleType:
    if name == "numba":
        forget_stale()
    return import_module(f".{MODULES[name]}", __package__)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, module, *inputs):
        colors, alphas, depths, trace = module.forward(Inputs(*inputs))
        *tensors, width, height, antialiased = inputs
        ctx.module, ctx.settings, ctx.trace = module, (width, height, antialiased), trace
        ctx.save_for_backward(*tensors, alphas)
        return colors, alphas, depths

    @staticmethod
    @once_differentiable
    def backward(ctx, v_colors, v_alphas, v_depths):
        *tensors, alphas = ctx.saved_tensors
        inputs = Inputs(*tensors, *ctx.settings)
        gradients = ctx.module.backward(inputs, ctx.trace, v_colors, v_alphas, v_depths)
        v_backgrounds = None
        if ctx.needs_input_grad[1 + Inputs._fields.index("backgrounds")]:
            v_backgrounds = (v_colors * (1 - alphas)[..., None]).sum((1, 2))
        return None, *gradients, v_backgrounds, *[None] * 5  # no gradient of the cameras


def _check_shapes(means, quats, scales, opacities, colors, viewmats, Ks) -> tuple[int, int, int]:
    """Check that all shapes agree; returns C, N and D."""
    if viewmats.ndim != 3:
        raise ValueError(f"viewmats must be [C, 4, 4], got {list(viewmats.shape)}")
    if means.ndim not in (2, 3) or colors.ndim not in (2, 3):
        raise ValueError(
            "means must be [N, 3] or [C, N, 3] and colors [N, D] or [C, N, D], "
            f"got {list(means.shape)} and {list(colors.shape)}"
        )
    C, N, D = len(viewmats), means.shape[-2], colors.shape[-1]
    _check("viewmats", viewmats, [(C, 4, 4)], means)
    _check("Ks", Ks, [(C, 3, 3)], means)
    _check("means", means, [(N, 3), (C, N, 3)], means)
    _check("quats", quats, [(N, 4), (C, N, 4)], means)
    _check("scales", scales, [(N, 3), (C, N, 3)], means)
    _check("opacities", opacities, [(N,), (C, N)], means)
    _check("colors", colors, [(N, D), (C, N, D)], means)
    if viewmats.requires_grad or Ks.requires_grad:
        raise ValueError("viewmats and Ks get no gradient; detach them")
    return C, N, D


def _check(name: str, tensor: Tensor, shapes: list[tuple[int, ...]], means: Tensor) -> None:
    if tuple(tensor.shape) not in shapes:
        wanted = " or ".join(str(list(shape)) for shape in shapes)
        raise ValueError(f"{name} must be {wanted}, got {list(tensor.shape)}")
    if tensor.dtype != torch.float32:
        raise ValueError(f"{name} must be float32, got {tensor.dtype}")
    if tensor.device != means.device:
        raise ValueError(f"{name} is on {tensor.device}, means on {means.device}")
