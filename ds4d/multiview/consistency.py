"""Visual-hull consistency of the views of a frame."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ..cameras import Cameras, project
from .views import Views

FRAMES = 6  # sampled evenly from the clip
RAYS = 400  # per view: a standard error of 0.01 at a disagreement of 0.05
STEPS = 160  # samples along a ray: about a hundredth of a world unit apart
REACH = 0.75  # distance from the origin within which a ray is sampled, world units
INSIDE = 0.25  # alpha from which on a pixel counts as inside another silhouette, leniently


@torch.no_grad()
def disagreement(
    views: Views,
    counts: np.ndarray | None = None,  # [T, V] bool, the views to compare; None = all
) -> float:
    """Share of the object's pixels that the other views' silhouettes rule out, in [0, 1].

    A pixel inside one silhouette is consistent if its ray meets the visual hull of the others
    (Laurentini 1994). That holds for nearly all pixels in renders of one solid object; generated
    views violate it at their outlines.
    """
    generator = torch.Generator().manual_seed(0)
    frames = np.linspace(0, len(views.images) - 1, min(FRAMES, len(views.images)))
    shares = []
    for frame in np.unique(frames.round().astype(int)):
        compared = slice(None) if counts is None else np.flatnonzero(counts[frame])
        alphas = torch.from_numpy(views.images[frame, compared, ..., 3]).float() / 255
        cameras = views.cameras[compared]
        shares += [
            _inconsistent(view, alphas, cameras, generator)
            for view in range(len(alphas))
            if (alphas[view] > 0.5).any()
        ]
    return float(np.mean(shares)) if shares else 0.0


def _inconsistent(
    view: int,
    alphas: Tensor,  # [V, S, S] in [0, 1]
    cameras: Cameras,
    generator: torch.Generator,
) -> float:
    """Share of one view's pixels, estimated from RAYS random ones."""
    size = alphas.shape[-1]
    rows, columns = torch.nonzero(alphas[view] > 0.5, as_tuple=True)
    sample = torch.randint(len(rows), (RAYS,), generator=generator)
    pixels = torch.stack([columns[sample] + 0.5, rows[sample] + 0.5, torch.ones(RAYS)], -1)
    camera = cameras[view]
    rotation, centre = camera.viewmats[0, :3, :3], camera.centres()[0]
    directions = torch.linalg.solve(camera.Ks[0], pixels.T).T @ rotation  # [R, 3], depth 1
    depths = centre.norm() + torch.linspace(-REACH, REACH, STEPS)
    points = centre + directions[:, None] * depths[:, None]  # [R, D, 3]
    others = [other for other in range(len(alphas)) if other != view]
    pixels, _ = project(points.reshape(-1, 3), cameras[others])
    grid = pixels / size * 2 - 1
    inside = grid_sample(alphas[others, None], grid[:, None], align_corners=False)[:, 0, 0]
    consistent = (inside > INSIDE).all(0).view(RAYS, STEPS).any(1)
    return 1 - consistent.float().mean().item()
