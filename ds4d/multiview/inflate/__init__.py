"""Six views of each frame from its front view alone, without any network.

Every frame's silhouette is inflated (as Teddy did with a drawn outline: Igarashi et al. 1999; by
Poisson's equation: Monster Mash, Dvoroznak et al. 2020) about a middle surface that is estimated
over the whole clip; a part that turns before a body at rest is inflated for itself. The closed
shells, as small opaque Gaussians, are drawn from the six other sides. The silhouette is exact in
every frame; depth is an informed guess.
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
from .. import Views
from .model import prepare, resized, solid, surface

EDGE = (0.3, 0.9)  # drawn alphas that count as outside and as inside


def run(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    front: Cameras,  # one camera at S x S, level, at azimuth 0
    size: int,  # side of the views, pixels
    version: str = "v1.2",
    slant: float | None = None,  # degrees, positive: the right side is farther away; None = found
    depth: float = 1.0,  # scale of the thickness
) -> Stage[Views]:
    """The front view and six views around the object, in every frame.

    What the front view cannot know may be told: the slant of the object's middle plane, and how
    deep it is, as a factor of the engine's own guess.

    Yields one event per frame, whose preview is a grid of the six views over white; returns Views
    with images [T, 7, size, size, 4], the cameras of the front and the Zero123++ poses at the
    front camera's distance and field of view, and the middle frame's surface. A frame with an empty
    matte has transparent views.
    """
    model = yield from prepare(frames, front, slant, depth)
    cameras = concatenate([front.resized(size, size), _around(front, size, version)])
    images = np.empty((len(frames), 7, size, size, 4), np.uint8)
    others = cameras[[*range(1, 7)]]
    solids = each(partial(solid, model), range(len(frames)))
    for index, splats in enumerate(solids):
        images[index, 0] = np.rint(resized(frames[index], size) * 255)
        images[index, 1:] = draw(splats, others)
        preview = tile(over(images[index, 1:]), columns=3)
        yield Event("multiview", index + 1, len(frames), f"frame {index + 1}", preview)
    return Views(images, cameras, surface=surface(model, len(frames) // 2))


def draw(splats: Splats, cameras: Cameras) -> np.ndarray:
    """Straight-alpha RGBA [C, H, W, 4] uint8 of the shell, nearly binary inside its edge.

    Drawn at twice the size: the screen-space blur of the rasterizer would fatten the silhouette.
    """
    if len(splats) == 0:
        return np.zeros((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    double = cameras.resized(2 * cameras.width, 2 * cameras.height)
    color, alpha, _ = rasterize(
        splats.means, splats.quats, splats.scales, splats.opacities, splats.colors,
        double.viewmats, double.Ks, double.width, double.height,
    )  # fmt: skip
    solid = ((alpha - EDGE[0]) / (EDGE[1] - EDGE[0])).clamp_(0, 1)
    color *= solid / alpha.clamp(min=1e-4)
    image = torch.cat([color, solid], -1).permute(0, 3, 1, 2)
    *premultiplied, opacity = avg_pool2d(image, 2).clamp(0, 1).unbind(1)
    rgba = torch.stack([*(c / opacity.clamp(min=1e-4) for c in premultiplied), opacity], -1)
    return (rgba.clamp(0, 1) * 255).round().byte().numpy()


def _around(front: Cameras, size: int, version: str) -> Cameras:
    """The six Zero123++ poses at the front camera's distance and field of view."""
    fov = 2 * math.degrees(math.atan(front.height / 2 / float(front.Ks[0, 1, 1])))
    radius = float(front.centres().norm())
    elevations = ZERO123PLUS_ELEVATIONS[version]
    return orbit_cameras(ZERO123PLUS_AZIMUTHS, elevations, size=size, radius=radius, fov_deg=fov)
