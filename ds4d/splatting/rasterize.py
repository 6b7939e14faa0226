"""The only entrance to the renderers of Gaussians."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import UserError

ENGINES = {
    "numba": "numba_backend",
    "triton": "triton_backend",
    "diff_gaussian": "diff_gaussian_backend",
}  # name: module
DEVICES = {
    "numba": ("cpu",),
    "triton": ("cuda", "cpu") if os.environ.get("TRITON_INTERPRET") == "1" else ("cuda",),
    "diff_gaussian": ("cuda",),
}
Item, Result = TypeVar("Item"), TypeVar("Result")
_chosen: ContextVar[str] = ContextVar("rasterizer", default="auto")


@contextmanager
def use(engine: str) -> Iterator[None]:
    """Draw with "numba" (CPU), "triton" (GPU; its interpreter on a CPU), "diff_gaussian" (GPU,
    where that package is installed), or "auto" inside this.

    Triton draws tensors on a CPU when TRITON_INTERPRET=1 was set before it was imported: slowly,
    for tests. Raises ValueError for another name.
    """
    if engine not in (*ENGINES, "auto"):
        raise ValueError(f"there is no engine {engine}, only {', '.join(ENGINES)} and auto")
    token = _chosen.set(engine)
    try:
        yield
    finally:
        _chosen.reset(token)


def drawn_with(engine: str, work: Generator[Item, None, Result]) -> Generator[Item, None, Result]:
    """What `work` yields and returns; it draws with this engine, and nobody else does.

    A generator may be resumed in another thread each time, so the choice holds for a step of it.
    """
    try:
        while True:
            with use(engine):
                try:
                    item = next(work)
                except StopIteration as end:
                    return end.value
            yield item
    finally:
        work.close()


def check(engine: str, device: torch.device) -> None:
    """Raises UserError where an engine that was asked for cannot draw on this device, here."""
    if engine == "auto":
        return
    if device.type not in DEVICES[engine]:
        place = "a CPU" if device.type == "cpu" else "a GPU"
        raise UserError(
            f"The rasterizer {engine} does not draw on {place}.",
            "Leave --rasterizer out to draw with what does.",
        )
    if engine == "diff_gaussian":
        import_module(".diff_gaussian_backend", __package__).package()


def capturable() -> bool:
    """Whether what draws on a GPU now can be captured in a CUDA graph."""
    return _chosen.get() != "diff_gaussian"


def moves_centres() -> bool:
    """Whether what draws now can add means2d_offsets that are not zero."""
    return _chosen.get() != "diff_gaussian"


def crowded() -> bool:
    """Whether a captured CUDA graph should be captured again, after a drawing that is not."""
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
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws N Gaussians with C cameras (3D Gaussian splatting, Kerbl et al. 2023).

    Each of the first five may be shared by all cameras or have a leading axis of its own for
    them. Returns colours [C, H, W, D] over the backgrounds, alphas [C, H, W, 1] and expected
    depths [C, H, W, 1] (the blended depth / alpha; 0 where nothing is drawn).

    Gradients reach everything but the cameras. means2d_offsets are added to the projected centres:
    zeros there collect the gradient in the image plane. The projected covariance gains 0.3 px^2 on
    its diagonal; antialiased lowers the opacity to make up for it (Yu et al. 2024, Mip-Splatting).
    The result is the same, bit by bit, on every run (on a GPU: see gpu.py for the one exception).
    What is different with diff_gaussian: see diff_gaussian_backend.py.

    Raises ValueError when shapes, types or devices do not fit together.
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
    settings = width, height, antialiased
    engine = _engine(means.device)
    if hasattr(engine, "draw"):  # made of differentiable operations
        rendered, alphas, depths = engine.draw(*tensors, *settings)
    elif torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        rendered, alphas, depths = _Rasterize.apply(engine, settings, *tensors)
    else:
        rendered, alphas, depths, _ = engine.forward(*tensors, *settings)
    return rendered, alphas[..., None], depths[..., None]


def _engine(device: torch.device):
    """The module that draws on this device: numba on a CPU, Triton on a GPU, or what was chosen."""
    name = _chosen.get()
    if name == "auto":
        name = "numba" if device.type == "cpu" else "triton"
    if device.type not in DEVICES[name]:
        places = " or ".join(DEVICES[name])
        raise ValueError(f"{name} draws tensors on {places}, got tensors on {device}")
    return import_module(f".{ENGINES[name]}", __package__)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, engine, settings, *tensors):
        colors, alphas, depths, trace = engine.forward(*tensors, *settings)
        ctx.engine, ctx.settings, ctx.trace = engine, settings, trace
        ctx.save_for_backward(*tensors, alphas)
        return colors, alphas, depths

    @staticmethod
    @once_differentiable
    def backward(ctx, v_colors, v_alphas, v_depths):
        *tensors, alphas = ctx.saved_tensors
        gradients = ctx.engine.backward(
            *tensors, *ctx.settings, ctx.trace, v_colors, v_alphas, v_depths
        )
        v_backgrounds = None
        if ctx.needs_input_grad[8]:
            v_backgrounds = (v_colors * (1 - alphas)[..., None]).sum((1, 2))
        return None, None, *gradients, v_backgrounds, None, None


def _check_shapes(means, quats, scales, opacities, colors, viewmats, Ks) -> tuple[int, int, int]:
    """C, N and D, once everything has been seen to agree on them."""
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
