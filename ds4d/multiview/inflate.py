"""Six views of each frame from its front view alone, without any network.

Every frame's silhouette is inflated about a middle surface whose slant is estimated over the whole
clip, front and back get their colours, and the closed shell, as small opaque Gaussians, is drawn
from the six other sides. The silhouette is exact in every frame; depth is an informed guess.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from ..cameras import (
    ZERO123PLUS_AZIMUTHS,
    ZERO123PLUS_ELEVATIONS,
    Cameras,
    concatenate,
    orbit_cameras,
)
from ..events import Event, Stage
from ..images import over, tile
from ..splat import Splats, render
from . import Views
from .middle_surface import Slant, estimate_slant
from .shell import shell
from .texture import cast_votes, front_colors, palette, regional_colors

LARGEST_GRID = 256  # the shell is sampled at most this finely along a side
EDGE = (0.3, 0.9)  # drawn alphas that count as outside and as inside


def run(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    front: Cameras,  # one camera at S x S, level, at azimuth 0
    size: int,  # side of the views, pixels
    version: str = "v1.2",
) -> Stage[Views]:
    """The front view and six views around the object, in every frame.

    The silhouette is inflated by Poisson's equation (shell.half_thickness): a disc becomes a
    sphere. The middle surface is a vertical plane through the object's centre, which stands at the
    depth of the camera's target, and is one for the whole clip.

    Yields one event per frame, whose preview is a grid of the six views over white; returns Views
    with images [T, 7, size, size, 4] and the cameras of the front and the Zero123++ poses at the
    front camera's distance and field of view. A frame with an empty matte has transparent views.
    """
    radius = float(front.centres().norm())
    grid = min(size, LARGEST_GRID)
    small = np.stack([_resized(frame, grid) for frame in frames])  # [T, G, G, 4] float32
    camera = front.resized(grid, grid)
    slant = estimate_slant(small[..., 3], float(camera.Ks[0, 0, 0]), radius)
    yield Event("multiview", 0, len(frames), _describe(slant))
    insides = small[..., 3] > 0.5
    fronts = np.stack([front_colors(frame) for frame in small])
    colors = palette(small)
    votes = cast_votes(fronts, insides, colors)
    cameras = concatenate([front.resized(size, size), _around(front, radius, size, version)])
    images = np.empty((len(frames), 7, size, size, 4), np.uint8)
    for index, frame in enumerate(frames):
        hidden = regional_colors(votes[:, index], colors, grid)
        splats = shell(insides[index], fronts[index], hidden, slant, camera)
        images[index, 0] = np.rint(_resized(frame, size) * 255)
        images[index, 1:] = draw(splats, cameras[[*range(1, 7)]])
        preview = tile(over(images[index, 1:]), columns=3)
        yield Event("multiview", index + 1, len(frames), f"frame {index + 1}", preview)
    return Views(images, cameras)


def draw(splats: Splats, cameras: Cameras) -> np.ndarray:
    """Straight-alpha RGBA [C, H, W, 4] uint8 of the shell, nearly binary inside its edge.

    Drawn at twice the size: the screen-space blur of the rasterizer would fatten the silhouette.
    """
    if len(splats) == 0:
        return np.zeros((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    double = cameras.resized(2 * cameras.width, 2 * cameras.height)
    color, alpha, _ = render(splats, double, background=0.0)
    solid = ((alpha - EDGE[0]) / (EDGE[1] - EDGE[0])).clamp_(0, 1)
    color *= solid / alpha.clamp(min=1e-4)
    image = torch.cat([color, solid], -1).permute(0, 3, 1, 2)
    image = avg_pool2d(image, 2).permute(0, 2, 3, 1)
    image[..., :3] /= image[..., 3:].clamp(min=1e-4)
    return (image.clamp(0, 1) * 255).round().byte().numpy()


def _around(front: Cameras, radius: float, size: int, version: str) -> Cameras:
    """The six Zero123++ poses at the front camera's distance and field of view."""
    fov = 2 * math.degrees(math.atan(front.height / 2 / float(front.Ks[0, 1, 1])))
    elevations = ZERO123PLUS_ELEVATIONS[version]
    return orbit_cameras(ZERO123PLUS_AZIMUTHS, elevations, size=size, radius=radius, fov_deg=fov)


def _resized(frame: np.ndarray, size: int) -> np.ndarray:
    """[S, S, 4] uint8 -> [size, size, 4] float32 in [0, 1]; colours weighted by their alpha."""
    image = frame.astype(np.float32) / 255
    if len(frame) == size:
        return image
    image[..., :3] *= image[..., 3:]
    shrinks = size < len(frame)
    image = cv2.resize(
        image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    image[..., :3] /= np.maximum(image[..., 3:], 1e-4)
    return image.clip(0, 1)


def _describe(slant: Slant) -> str:
    angle = math.degrees(math.atan(slant.slope))
    if abs(angle) < 2:
        return "the object is taken to stand parallel to the image"
    side = "right" if angle > 0 else "left"
    return f"the object's {side} side is taken to be farther away, by {abs(angle):.0f} degrees"
