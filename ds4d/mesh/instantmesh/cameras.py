"""Conversion between our world and cameras and InstantMesh's.

Its world has Z up too, but the front view stands on +X, positive azimuths turn towards +Y, and its
cameras are at radius 4 where ours are at 1.866. Its cameras have OpenGL axes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...cameras import RADIUS, Cameras

SCALE = 4 / RADIUS  # InstantMesh's units in one of ours
# From our world to InstantMesh's.
ROTATION = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def to_instantmesh(points: Tensor) -> Tensor:
    """Points [..., 3] of our world in InstantMesh's world."""
    return points @ ROTATION.T.to(points) * SCALE


def from_instantmesh(points: Tensor) -> Tensor:
    """Points [..., 3] of InstantMesh's world in our world."""
    return points @ ROTATION.to(points) / SCALE


def camera_vectors(cameras: Cameras) -> Tensor:
    """InstantMesh's vectors [C, 16] of C cameras.

    The upper three rows of the camera-to-world matrix, row by row, then the focal lengths and the
    principal point as fractions of the image's size.
    """
    rotation = cameras.viewmats[:, :3, :3].transpose(1, 2)  # columns right, down, forward
    axes = ROTATION @ rotation * torch.tensor([1.0, -1.0, -1.0])  # right, up, backward
    poses = torch.cat([axes, to_instantmesh(cameras.centres())[..., None]], -1)
    size = torch.tensor([cameras.width, cameras.height])
    focal = cameras.Ks[:, [0, 1], [0, 1]] / size
    middle = cameras.Ks[:, :2, 2] / size
    return torch.cat([poses.flatten(1), focal, middle], 1)
