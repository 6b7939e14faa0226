"""Boxes as objects to train on, and clips of them."""

import math

import numpy as np
import torch

from training.shape_prior.assets import Asset
from training.shape_prior.motion import Variation
from training.shape_prior.views import Clips, PointClouds, render_clips


def box(name="box", size=(0.5, 0.25, 0.3), path=None) -> Asset:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    poses = (corners * size)[None].astype(np.float32)
    colors = np.full((len(faces), 3), 200, np.uint8)
    about = {"repo": "test", "path": path or name}
    return Asset(name, "prop", about, poses, 0, faces, colors, None, None, None)


def clips_of(asset, yaw, frames=2, size=64) -> Clips:
    rng = torch.Generator().manual_seed(0)
    clouds = PointClouds([asset], 60_000)
    turn = torch.tensor([math.radians(yaw)])
    return render_clips(clouds, torch.tensor([0]), frames, size, rng, Variation.none(), turn, 0.0)


def clip_frames(clips: Clips) -> np.ndarray:
    images = clips.images[0].movedim(1, -1)
    straight = images[..., :3] / images[..., 3:].clamp(min=1e-3)
    return (torch.cat([straight, images[..., 3:]], -1).clamp(0, 1) * 255).byte().numpy()
