"""Places on which real cameras agree: a plane sweep over each view's depths (Collins 1996).

A pixel is asked at many depths: which colours do the other cameras see there? The depth at which
they agree best is kept where they agree well, and where the other camera found the same surface.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from ..cameras import Cameras, project
from ..errors import UserError

SIDE = 64  # pixels along a side of the swept images
DEPTHS = 128  # evenly spaced in 1 / depth
NEAREST, FARTHEST = 0.1, 30.0  # depths that are looked at, in largest distances of two cameras
SHARED = 0.2  # share of the pixels that two other cameras must see at a depth
COLOR_ERROR = 0.08  # mean difference of colours, each in [0, 1], up to which cameras agree
DISTINCT = 0.03  # how much worse than the best depth most others must be:
VAGUE = 0.12  # a larger share of depths that are as good as the best means that there is no texture
DEPTH_ERROR = 0.06  # share of a depth by which two cameras' surfaces may differ
FEWEST = 64  # points


@torch.no_grad()
def points(
    images: np.ndarray,  # [V, S, S, 4] uint8, one moment
    cameras: Cameras,  # V, in the scene's own world
) -> tuple[Tensor, Tensor]:
    """Points [N, 3] in the cameras' world and their colours [N, 3] in [0, 1].

    Raises:
        UserError: the cameras stand in one place, or hardly agree on anything.
    """
    cameras = cameras.resized(SIDE, SIDE)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    pixels = interpolate(pixels, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    rgb, solid = pixels[:, :3], pixels[:, 3] > 0.5
    depths = _depths(cameras)
    found = [_depth_map(view, rgb, cameras, depths) for view in range(len(cameras))]
    surface = torch.stack([depth for depth, _ in found])  # [V, SIDE, SIDE]
    trusted = torch.stack([trust for _, trust in found]) & solid
    clouds, colors = [], []
    for view in range(len(cameras)):
        places = _lifted(cameras[view], surface[view].flatten()[None])[0]
        kept = trusted[view].flatten() & _confirmed(places, view, surface, trusted, cameras)
        clouds.append(places[kept])
        colors.append(rgb[view].flatten(1).T[kept])
    cloud = torch.cat(clouds)
    if len(cloud) < FEWEST:
        raise UserError(
            "The cameras of the scene hardly agree on anything.",
            "Check the poses in cameras.json (camera to world, OpenGL axes), or add points3d.ply.",
        )
    return cloud, torch.cat(colors)


def _depths(cameras: Cameras) -> Tensor:
    """The depths to look at [DEPTHS]: those at which a fair part of a view is seen by others."""
    centres = cameras.centres()
    apart = float(torch.cdist(centres, centres).max())
    if apart < 1e-6:
        raise UserError("All cameras of the scene stand in one place.", "Check cameras.json.")
    tried = apart * torch.logspace(np.log10(NEAREST), np.log10(FARTHEST), 64)
    grid = cameras.resized(8, 8)
    shared = []
    for view in range(len(cameras)):
        places = _lifted(grid[view], tried[:, None].expand(-1, 64), side=8)
        seen = _inside(*project(places.flatten(0, 1), grid), side=8).view(len(cameras), 64, 64)
        shared.append((seen.sum(0) >= 3).float().mean(-1))  # the view itself, and two more
    useful = tried[torch.stack(shared).mean(0) >= SHARED]
    near, far = (useful[0], useful[-1]) if len(useful) else (tried[0], tried[-1])
    return 1 / torch.linspace(1 / float(near), 1 / float(far), DEPTHS)


def _lifted(camera: Cameras, depths: Tensor, side: int = SIDE) -> Tensor:
    """Places [K, side * side, 3] of one camera's pixels at depths [K, side * side]."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    at = torch.stack([column + 0.5, row + 0.5, torch.ones(side, side)], -1).reshape(-1, 3)
    rays = at @ torch.linalg.inv(camera.Ks[0]).T
    turn, shift = camera.viewmats[0, :3, :3], camera.viewmats[0, :3, 3]
    return (rays * depths[..., None] - shift) @ turn


def _homogeneous(places: Tensor, cameras: Cameras) -> Tensor:
    """Places [N, 3] in each camera, pixels times depth and depth, [V, 3, N]."""
    in_camera = cameras.viewmats[:, :3, :3] @ places.T + cameras.viewmats[:, :3, 3:]
    return cameras.Ks @ in_camera


def _inside(pixels: Tensor, depth: Tensor, side: int = SIDE) -> Tensor:
    """Which projections [V, N, 2] lie in front of the camera and inside its picture, [V, N]."""
    return (depth > 0) & ((pixels >= 0) & (pixels <= side)).all(-1)


def _sampled(maps: Tensor, pixels: Tensor, mode: str = "bilinear") -> Tensor:
    """Maps [V, C, SIDE, SIDE] at pixels [V, N, 2]: [V, C, N]."""
    grid = pixels[:, None] / SIDE * 2 - 1
    return grid_sample(maps, grid, mode=mode, padding_mode="border", align_corners=False)[:, :, 0]


def _depth_map(view: int, rgb: Tensor, cameras: Cameras, depths: Tensor) -> tuple[Tensor, Tensor]:
    """The depth of each pixel on which the cameras agree best [SIDE, SIDE], and where that is
    worth something [SIDE, SIDE]."""
    others = [index for index in range(len(cameras)) if index != view]
    own = rgb[view].flatten(1)  # [3, P]
    # A pixel of this view at a depth d lies at d * ray + start in the others' pixels (times z).
    start = _lifted(cameras[view], torch.zeros(1, 1), side=1)[0]  # [1, 3] this camera's place
    far = _lifted(cameras[view], torch.ones(1, SIDE * SIDE))[0]
    start, far = (_homogeneous(places, cameras[others]) for places in (start, far))
    rays = far - start  # [V - 1, 3, P]
    rank = torch.arange(len(others))[:, None]
    costs = []
    for depth in depths:
        x, y, z = (rays * depth + start).unbind(1)
        pixels = torch.stack([x, y], -1) / z.clamp(min=1e-6)[..., None]
        error = (_sampled(rgb[others], pixels) - own).abs().mean(1)  # [V - 1, P]
        error[~_inside(pixels, z)] = torch.inf
        # Half of those that look there may see something in front of it.
        best = error.sort(0).values
        half = ((best.isfinite().sum(0) + 1) // 2).clamp(min=min(2, len(others)))
        costs.append(best.where(rank < half, 0).sum(0) / half)
    cost = torch.stack(costs).view(len(depths), SIDE, SIDE)
    cost = cost.nan_to_num(1.0, 1.0).clamp(max=1)
    cost = avg_pool2d(cost[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    least, index = cost.min(0)
    alike = (cost < least + DISTINCT).float().mean(0)
    return depths[index], (least < COLOR_ERROR) & (alike < VAGUE)


def _confirmed(
    places: Tensor,  # [P, 3]
    view: int,
    surface: Tensor,  # [V, SIDE, SIDE] depths
    trusted: Tensor,  # [V, SIDE, SIDE]
    cameras: Cameras,
) -> Tensor:
    """Which places another camera found as well, [P]."""
    pixels, depth = project(places, cameras)
    there = _sampled(surface[:, None], pixels, "nearest")[:, 0]
    sure = _sampled(trusted[:, None].float(), pixels, "nearest")[:, 0] > 0.5
    agree = sure & _inside(pixels, depth) & ((depth - there).abs() < DEPTH_ERROR * depth)
    agree[view] = False
    return agree.any(0)
