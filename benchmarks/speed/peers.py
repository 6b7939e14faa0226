"""Third-party rasterizers behind one signature, where installed."""

from __future__ import annotations

import torch
from torch import Tensor

from ds4d.cameras import Cameras

NEAR, FAR = 0.01, 100.0  # clipping planes; the object lies well inside


def gsplat(
    parts: dict[str, Tensor], cameras: Cameras, backgrounds: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Colours, alphas and expected depths, [C, H, W, 3 and 1 and 1]."""
    from gsplat import rasterization

    images, alphas, _ = rasterization(
        **parts, viewmats=cameras.viewmats, Ks=cameras.Ks, width=cameras.width,
        height=cameras.height, backgrounds=backgrounds, packed=False, render_mode="RGB+ED",
    )  # fmt: skip
    return images[..., :-1], alphas, images[..., -1:]


def diff_gaussian(parts: dict[str, Tensor], cameras: Cameras, backgrounds: Tensor) -> tuple[Tensor]:
    """Colours only, [C, H, W, 3]: the package renders one camera at a time and returns no alpha."""
    import diff_gaussian_rasterization as package

    images = []
    for index, centre in enumerate(cameras.centres()):
        settings = _settings(package, cameras[index], centre, backgrounds[index])
        image = package.GaussianRasterizer(settings)(
            means3D=parts["means"],
            means2D=torch.zeros_like(parts["means"], requires_grad=True),
            opacities=parts["opacities"][:, None],
            colors_precomp=parts["colors"],
            scales=parts["scales"],
            rotations=torch.nn.functional.normalize(parts["quats"], dim=-1),
        )[0]
        images.append(image.permute(1, 2, 0))
    return (torch.stack(images),)


def _settings(package, camera: Cameras, centre: Tensor, background: Tensor):
    """Settings of the package: transposed matrices, tangents of half the fields of view."""
    tan_x = camera.width / 2 / camera.Ks[0, 0, 0].item()
    tan_y = camera.height / 2 / camera.Ks[0, 1, 1].item()
    view = camera.viewmats[0]
    named = {
        "image_height": camera.height, "image_width": camera.width,
        "tanfovx": tan_x, "tanfovy": tan_y, "bg": background, "scale_modifier": 1.0,
        "viewmatrix": view.T.contiguous(),
        "projmatrix": (projection(tan_x, tan_y).to(view) @ view).T.contiguous(),
        "sh_degree": 0, "campos": centre, "prefiltered": False, "debug": False,
    }  # fmt: skip
    if "antialiasing" in package.GaussianRasterizationSettings._fields:  # newer versions
        named["antialiasing"] = False
    return package.GaussianRasterizationSettings(**named)


def projection(tan_x: float, tan_y: float) -> Tensor:
    """Camera space (x right, y down, z forward) to clip space, [4, 4]; depth from 0 to 1."""
    depth = FAR / (FAR - NEAR)
    return torch.tensor(
        [[1 / tan_x, 0, 0, 0], [0, 1 / tan_y, 0, 0], [0, 0, depth, -depth * NEAR], [0, 0, 1, 0]],
        dtype=torch.float32,
    )


PEERS = {"gsplat": gsplat, "diff_gaussian_rasterization": diff_gaussian}
