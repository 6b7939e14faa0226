"""Pictures as L4GM takes them: on white, framed as in its training, with the rays of their pixels.

L4GM's world has Y up: (x, y, z) there is (x, -z, y) here. Its cameras stand level at a distance of
1.5 and have a field of view of 49.1 degrees, so that its unit is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ...cameras import Cameras, orbit_cameras
from ...images import over

SIZE = 256  # side of the network's pictures, pixels
RADIUS, FOV_DEG = 1.5, 49.1
HALF_WIDTH = RADIUS * math.tan(math.radians(FOV_DEG / 2))  # seen at the origin: 0.6852
TURN = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # to our world
# ImageNet's mean and deviation
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def l4gm_cameras(
    azimuths_deg: Sequence[float], size: int, elevations_deg: Sequence[float] | float = 0.0
) -> Cameras:
    """L4GM's cameras in our world, at size x size pixels."""
    return orbit_cameras(azimuths_deg, elevations_deg, size=size, radius=RADIUS, fov_deg=FOV_DEG)


def half_width(camera: Cameras) -> float:
    """Half of what a camera that looks at the origin sees there, world units."""
    return float(camera.centres()[0].norm()) * camera.width / 2 / float(camera.Ks[0, 0, 0])


def reframed(
    image: np.ndarray,  # [S, S, 4] uint8 RGBA, straight alpha
    half_width: float,  # of the picture at the origin, world units
    size: int = SIZE,
) -> np.ndarray:
    """The picture on white as L4GM's camera frames it, [size, size, 3] uint8.

    A picture of our cameras, 0.5 wide, is made smaller in a white border. The area of pixels is
    averaged, as OpenCV's INTER_AREA does it.
    """
    white = over(image)
    side = len(white)
    border = round(side * (HALF_WIDTH / half_width - 1) / 2)
    if border > 0:
        white = np.pad(white, ((border, border), (border, border), (0, 0)), constant_values=255)
    elif border < 0:
        white = white[-border:border, -border:border]
    return cv2.resize(white, (size, size), interpolation=cv2.INTER_AREA)


def silhouette(image: np.ndarray, half_width: float, size: int = SIZE) -> np.ndarray:
    """The object's pixels [size, size] bool in the picture that `reframed` makes."""
    black = np.concatenate([np.zeros_like(image[..., :3]), image[..., 3:]], -1)
    return reframed(black, half_width, size)[..., 0] < 128


def plucker_rays(
    azimuths_deg: Sequence[float], size: int = SIZE, elevation_deg: float = 0.0
) -> Tensor:
    """Pluecker coordinates [V, 6, size, size] of the pixels' rays in L4GM's world.

    Origin x direction, then the direction of unit length.
    """
    cameras = l4gm_cameras(azimuths_deg, size, elevation_deg)
    steps = (torch.arange(size) + 0.5 - size / 2) / float(cameras.Ks[0, 0, 0])
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    in_camera = torch.stack([columns, rows, torch.ones_like(rows)], -1)
    directions = torch.einsum("hwc,vcd->vhwd", in_camera, cameras.viewmats[:, :3, :3])
    directions = torch.nn.functional.normalize(directions, dim=-1) @ TURN
    origins = (cameras.centres() @ TURN)[:, None, None].expand_as(directions)
    return torch.cat([torch.cross(origins, directions, dim=-1), directions], -1).movedim(-1, 1)


def with_rays(
    images: Tensor,  # [B, T, V, 3, S, S] in [0, 1]
    rays: Tensor,  # [V, 6, S, S]
) -> Tensor:
    """The network's input [B, T, V, 9, S, S]: normalised colours, then the rays."""
    normalized = (images - MEAN.to(images)) / DEVIATION.to(images)
    return torch.cat([normalized, rays.to(images).expand(*images.shape[:2], *rays.shape)], 3)


def as_images(pictures: np.ndarray) -> Tensor:
    """Pictures [..., S, S, 3] uint8 as [..., 3, S, S] float32 in [0, 1]."""
    return torch.from_numpy(pictures).movedim(-1, -3).float() / 255
