"""The `diff_gaussian_rasterization` package (Kerbl et al. 2023) as a backend, where installed.

It is Inria's renderer of 3D Gaussian splatting, or one of its many forks with the same interface.
It needs a CUDA compiler to be built and its licence allows research and evaluation only, so people
install it themselves. It draws one camera at a time, three channels at a time.

What the versions return beside the colours differs in order, in meaning (blended, median or
inverse depth), and in whether gradients pass through it. The colours always come first: so opacity
and depth are drawn as colours, too, and every version gives all of the gradients.

What stays different from the other backends:
- what is nearer than 0.2 to a camera is not drawn;
- a Gaussian ends at three standard deviations, to the next border of a tile of 16 px;
- the bound on the slant of projected covariances (1.3 times the field of view) knows no principal
  point off the centre, which moves Gaussians far outside of the image only;
- a gradient passes where opacity is held at 0.99;
- gradients are sums in no fixed order, so that two runs differ in their last bits;
- projected centres cannot be moved; only their gradient is known.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from ..errors import UserError
from .inputs import Inputs

NAME = "diff_gaussian_rasterization"
SOURCE = "https://github.com/graphdeco-inria/diff-gaussian-rasterization"


def package() -> ModuleType:
    """The installed package. Raises UserError where there is none, or none that works."""
    try:
        return import_module(NAME)
    except ImportError as error:
        raise UserError(
            f"The package {NAME} cannot be used: {error}.",
            f"pip install --no-build-isolation git+{SOURCE} builds it with a CUDA compiler "
            "(Inria's licence: for research and evaluation, not for commercial use). "
            "Or leave --rasterizer out.",
        ) from error


def draw(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """Render colours [C, H, W, D], alphas [C, H, W] and expected depths [C, H, W], differentiably.

    Raises:
        UserError: the package is not installed, or has no anti-aliasing that was asked for.
        ValueError: the offsets are not zero.
    """
    *parameters, offsets, backgrounds, viewmats, Ks, width, height, antialiased = inputs
    splatting, means, D = package(), inputs.means, inputs.colors.shape[-1]
    options = {}
    if "antialiasing" in splatting.GaussianRasterizationSettings._fields:
        options["antialiasing"] = antialiased
    elif antialiased:
        raise UserError(
            f"The installed {NAME} is too old for anti-aliasing.",
            "Install a newer one, or switch it off with --fourd.no-antialiased.",
        )
    if offsets.any():
        raise ValueError(f"{NAME} cannot move projected centres, means2d_offsets must be zero")

    to_clip = offsets.new_tensor([2 / width, 2 / height])  # from pixels to [-1, 1] over the image
    images = []
    for camera, (viewmat, K) in enumerate(zip(viewmats, Ks.tolist(), strict=True)):
        own = [x[camera if len(x) > 1 else 0] for x in parameters]
        settings = splatting.GaussianRasterizationSettings(
            image_height=height,
            image_width=width,
            tanfovx=width / (2 * K[0][0]),
            tanfovy=height / (2 * K[1][1]),
            bg=means.new_zeros(3),
            scale_modifier=1.0,
            viewmatrix=viewmat.T.contiguous(),
            projmatrix=(_to_clip_space(K, width, height).to(viewmat) @ viewmat).T.contiguous(),
            sh_degree=0,
            campos=-viewmat[:3, :3].T @ viewmat[:3, 3],
            prefiltered=False,
            debug=False,
            **options,
        )
        centres = pad(offsets[camera] * to_clip, (0, 1))  # [N, 3], of which the last means nothing
        depths = own[0] @ viewmat[2, :3] + viewmat[2, 3]
        images.append(_blend(splatting.GaussianRasterizer(settings), *own, depths, centres))

    blended, depths, alphas = torch.stack(images).split([D, 1, 1], -1)
    rendered = blended + (1 - alphas) * backgrounds[:, None, None]
    return rendered, alphas[..., 0], (depths / alphas.clamp(min=1e-10))[..., 0]


def _to_clip_space(K: list[list[float]], width: int, height: int) -> Tensor:
    """[4, 4] From camera to clip space, where the image is [-1, 1] from edge to edge, y down.

    The package puts pixel centres at ((v + 1) S - 1) / 2 = 0, 1, ...: half a pixel less than K
    does, from the same edges. It reads x, y and w only.
    """
    (fx, _, cx), (_, fy, cy), _ = K
    return torch.tensor(
        [
            [2 * fx / width, 0, 2 * cx / width - 1, 0],
            [0, 2 * fy / height, 2 * cy / height - 1, 0],
            [0, 0, 1, 0],
            [0, 0, 1, 0],
        ]
    )


def _blend(
    rasterizer: torch.nn.Module,
    means: Tensor,  # [N, 3]
    quats: Tensor,  # [N, 4]
    scales: Tensor,  # [N, 3]
    opacities: Tensor,  # [N]
    colors: Tensor,  # [N, D]
    depths: Tensor,  # [N]
    centres: Tensor,  # [N, 3] clip space
) -> Tensor:
    """[H, W, D + 2]: the blended colours, the blended depth, and the sum of the weights."""
    channels = torch.cat([colors, depths[:, None], torch.ones_like(depths)[:, None]], -1)
    count = channels.shape[1]
    planes = [
        rasterizer(
            means3D=means.contiguous(),
            means2D=centres,
            opacities=opacities[:, None].contiguous(),
            colors_precomp=three.contiguous(),
            # The backward pass reads these two as if they were contiguous and of unit length.
            scales=scales.contiguous(),
            rotations=normalize(quats, dim=-1).contiguous(),
        )[0]
        for three in pad(channels, (0, -count % 3)).split(3, -1)
    ]
    return torch.cat(planes)[:count].permute(1, 2, 0)
