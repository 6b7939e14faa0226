"""How well the silhouettes of a frame's views agree that there is one object."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ..cameras import Cameras, project
from . import Views

FRAMES = 6  # that are looked at
RAYS = 400  # of each view, through the object
STEPS = 160  # places along a ray
REACH = 0.75  # the object ends at this distance from the origin, world units
INSIDE = 0.25  # matte of what counts as inside


@torch.no_grad()
def disagreement(
    views: Views,
    counts: np.ndarray | None = None,  # [T, V] bool; None = all views do
    seed: int = 0,
) -> float:
    """Share of the object's pixels that no place in space can explain, in [0, 1].

    A pixel inside one silhouette is explained where its ray passes a place that lies inside all the
    other silhouettes, too. Renders of one solid object explain all but a few pixels; views that a
    network imagined leave many at their outlines.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = np.linspace(0, len(views.images) - 1, min(FRAMES, len(views.images)))
    shares = []
    for frame in np.unique(chosen.round().astype(int)):
        some = slice(None) if counts is None else np.flatnonzero(counts[frame])
        alphas = torch.from_numpy(views.images[frame, some, ..., 3]).float() / 255
        cameras = views.cameras[some]
        shares += [
            _unexplained(view, alphas, cameras, generator)
            for view in range(len(alphas))
            if (alphas[view] > 0.5).any()
        ]
    return float(np.mean(shares)) if shares else 0.0


def _unexplained(view: int, alphas: Tensor, cameras: Cameras, generator: torch.Generator) -> float:
    """The share of one view's pixels; alphas [V, S, S]."""
    size = alphas.shape[-1]
    rows, columns = torch.nonzero(alphas[view] > 0.5, as_tuple=True)
    some = torch.randint(len(rows), (RAYS,), generator=generator)
    pixels = torch.stack([columns[some] + 0.5, rows[some] + 0.5, torch.ones(RAYS)], -1)
    camera = cameras[view]
    rotation, centre = camera.viewmats[0, :3, :3], camera.centres()[0]
    directions = torch.linalg.solve(camera.Ks[0], pixels.T).T @ rotation  # [R, 3], depth 1
    depths = centre.norm() + torch.linspace(-REACH, REACH, STEPS)
    places = centre + directions[:, None] * depths[:, None]  # [R, D, 3]
    others = [other for other in range(len(alphas)) if other != view]
    at, _ = project(places.reshape(-1, 3), cameras[others])
    grid = at / size * 2 - 1
    inside = grid_sample(alphas[others, None], grid[:, None], align_corners=False)[:, 0, 0]
    explained = (inside > INSIDE).all(0).view(RAYS, STEPS).any(1)
    return 1 - explained.float().mean().item()
