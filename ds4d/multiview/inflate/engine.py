"""Six views of each frame from its front view alone, by inflating the silhouette.

Each frame's silhouette is inflated by Poisson's equation (Teddy, Igarashi et al. 1999; Monster
Mash, Dvoroznak et al. 2020) about a mid-surface that is estimated over the whole clip; a part that
rotates in front of a static body is inflated by itself. The closed surfaces are rendered from the
six other cameras as small opaque Gaussians. The silhouette is exact in every frame; depth is an
informed guess.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from ...cameras import (
    ZERO123PLUS_AZIMUTHS,
    ZERO123PLUS_ELEVATIONS,
    Cameras,
    concatenate,
    orbit_cameras,
)
from ...images import over, tile
from ...run.events import Event, Stage
from ...run.parallel import each
from ...splatting import Splats, rasterize
from ..views import Views
from .model import fit, frame_mesh, frame_splats, resized

ALPHA_RAMP = (0.3, 0.9)  # rendered alphas that become 0 and 1: removes the Gaussians' soft edge


def run(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    front: Cameras,  # one camera at S x S, level, at azimuth 0
    size: int,  # side of the views, pixels
    slant: float | None = None,  # degrees, positive: the right side is farther away; None = fit
    depth: float = 1.0,  # factor on the thickness
) -> Stage[Views]:
    """Render the front view and six views around the object, in every frame.

    Yields one event per frame, whose preview tiles the six views over white.

    Returns:
        Views with images [T, 7, size, size, 4], the cameras of the front and of the Zero123++
        poses at the front camera's distance and field of view, and the middle frame's mesh. A
        frame with an empty matte has transparent views.
    """
    model = yield from fit(frames, front, slant, depth)
    others = _zero123plus_cameras(front, size)
    cameras = concatenate([front.resized(size, size), others])
    images = np.empty((len(frames), len(cameras), size, size, 4), np.uint8)
    all_splats = each(partial(frame_splats, model), range(len(frames)))
    for index, splats in enumerate(all_splats):
        images[index, 0] = np.rint(resized(frames[index], size) * 255)
        images[index, 1:] = render(splats, others)
        preview = tile(over(images[index, 1:]), columns=3)
        yield Event("multiview", index + 1, len(frames), f"frame {index + 1}", preview)
    return Views(images, cameras, mesh=frame_mesh(model, len(frames) // 2))


def render(splats: Splats, cameras: Cameras) -> np.ndarray:
    """Render straight-alpha RGBA [C, H, W, 4] uint8 with a nearly binary matte.

    At twice the resolution: the rasterizer's screen-space blur would enlarge the silhouette.
    """
    if len(splats) == 0:
        return np.zeros((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    double = cameras.resized(2 * cameras.width, 2 * cameras.height)
    color, alpha, _ = rasterize(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
        double.viewmats, double.Ks, double.width, double.height,
    )  # fmt: skip
    low, high = ALPHA_RAMP
    matte = ((alpha - low) / (high - low)).clamp_(0, 1)
    color *= matte / alpha.clamp(min=1e-4)
    image = torch.cat([color, matte], -1).permute(0, 3, 1, 2)
    *premultiplied, opacity = avg_pool2d(image, 2).clamp(0, 1).unbind(1)
    rgba = torch.stack([*(c / opacity.clamp(min=1e-4) for c in premultiplied), opacity], -1)
    return (rgba.clamp(0, 1) * 255).round().byte().numpy()


def _zero123plus_cameras(front: Cameras, size: int) -> Cameras:
    """The six Zero123++ v1.2 poses at the front camera's distance and field of view."""
    fov = 2 * math.degrees(math.atan(front.height / 2 / float(front.Ks[0, 1, 1])))
    radius = float(front.centres().norm())
    elevations = ZERO123PLUS_ELEVATIONS["v1.2"]
    return orbit_cameras(ZERO123PLUS_AZIMUTHS, elevations, size=size, radius=radius, fov_deg=fov)
