"""Point cloud of a multi-camera capture by plane sweep stereo (Collins 1996).

Each pixel of each view is projected into the other cameras at many depths. The depth of least
colour difference is kept if the difference is small and distinct, and if another camera's depth
map confirms it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate

from ..cameras import Cameras, project
from ..errors import UserError

SIDE = 64  # pixels along a side of the swept images: 4,096 points per view are plenty
DEPTHS = 128  # evenly spaced in 1 / depth: a pixel or two apart at usual baselines
NEAREST, FARTHEST = 0.1, 30.0  # range of the depths, in units of the largest camera distance
RANGE_STEPS, RANGE_SIDE = 64, 8  # depths, and pixels per side, at which overlap is estimated
MIN_OVERLAP = 0.2  # share of a view's pixels that two other cameras must see at a depth
MAX_COLOR_ERROR = 0.08  # mean absolute difference, colours in [0, 1], of a match
# A match is ambiguous (a surface without texture) where more than MAX_AMBIGUITY of all depths have
# a colour error within AMBIGUITY_MARGIN of the least one.
AMBIGUITY_MARGIN, MAX_AMBIGUITY = 0.03, 0.12
MAX_DEPTH_ERROR = 0.06  # relative difference of two cameras' depths that confirm each other
MIN_POINTS = 64


@torch.no_grad()
def points(
    images: np.ndarray,  # [V, S, S, 4] uint8, one frame of every camera
    cameras: Cameras,  # V, in the capture's coordinates
) -> tuple[Tensor, Tensor]:
    """Triangulate points [N, 3] in the cameras' coordinates; also colours [N, 3] in [0, 1].

    Raises:
        UserError: all cameras have one position, or their images hardly match.
    """
    cameras = cameras.resized(SIDE, SIDE)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    pixels = interpolate(pixels, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    rgb, opaque = pixels[:, :3], pixels[:, 3] > 0.5
    depths = _depths(cameras)
    maps = [_depth_map(view, rgb, cameras, depths) for view in range(len(cameras))]
    depth_maps = torch.stack([depth for depth, _ in maps])  # [V, SIDE, SIDE]
    valid = torch.stack([matched for _, matched in maps]) & opaque
    clouds, colors = [], []
    for view in range(len(cameras)):
        positions = _unproject(cameras[view], depth_maps[view].flatten()[None])[0]
        confirmed = _confirmed(positions, view, depth_maps, valid, cameras)
        kept = valid[view].flatten() & confirmed
        clouds.append(positions[kept])
        colors.append(rgb[view].flatten(1).T[kept])
    cloud = torch.cat(clouds)
    if len(cloud) < MIN_POINTS:
        raise UserError(
            "The images of the cameras hardly match at any depth.",
            "Check the poses in cameras.json (camera to world, OpenGL axes), or add points3d.ply.",
        )
    return cloud, torch.cat(colors)


def _depths(cameras: Cameras) -> Tensor:
    """Depths to test [DEPTHS]: the range in which a fair part of a view overlaps with others."""
    centres = cameras.centres()
    baseline = float(torch.cdist(centres, centres).max())
    if baseline < 1e-6:
        raise UserError("All cameras have the same position.", "Check cameras.json.")
    candidates = baseline * torch.logspace(np.log10(NEAREST), np.log10(FARTHEST), RANGE_STEPS)
    grid, pixels = cameras.resized(RANGE_SIDE, RANGE_SIDE), RANGE_SIDE**2
    overlaps = []
    for view in range(len(cameras)):
        positions = _unproject(grid[view], candidates[:, None].expand(-1, pixels), RANGE_SIDE)
        inside = _inside(*project(positions.flatten(0, 1), grid), RANGE_SIDE)
        count = inside.view(len(cameras), RANGE_STEPS, pixels).sum(0)
        overlaps.append((count >= 3).float().mean(-1))  # the view itself, and two others
    useful = candidates[torch.stack(overlaps).mean(0) >= MIN_OVERLAP]
    near, far = (useful if len(useful) else candidates)[[0, -1]].tolist()
    return 1 / torch.linspace(1 / near, 1 / far, DEPTHS)


def _unproject(camera: Cameras, depths: Tensor, side: int = SIDE) -> Tensor:
    """Positions [K, side * side, 3] of one camera's pixels at depths [K, side * side]."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    pixels = torch.stack([column + 0.5, row + 0.5, torch.ones(side, side)], -1).reshape(-1, 3)
    rays = pixels @ torch.linalg.inv(camera.Ks[0]).T
    rotation, translation = camera.viewmats[0, :3, :3], camera.viewmats[0, :3, 3]
    return (rays * depths[..., None] - translation) @ rotation


def _homogeneous(positions: Tensor, cameras: Cameras) -> Tensor:
    """Homogeneous pixels [V, 3, N] of positions [N, 3]: pixel times depth, and depth."""
    in_camera = cameras.viewmats[:, :3, :3] @ positions.T + cameras.viewmats[:, :3, 3:]
    return cameras.Ks @ in_camera


def _inside(pixels: Tensor, depth: Tensor, side: int = SIDE) -> Tensor:
    """Mask [V, N] of projections [V, N, 2] in front of the camera and inside its image."""
    return (depth > 0) & ((pixels >= 0) & (pixels <= side)).all(-1)


def _sample(maps: Tensor, pixels: Tensor, mode: str = "bilinear") -> Tensor:
    """Samples [V, C, N] of maps [V, C, SIDE, SIDE] at pixels [V, N, 2]."""
    grid = pixels[:, None] / SIDE * 2 - 1
    return grid_sample(maps, grid, mode=mode, padding_mode="border", align_corners=False)[:, :, 0]


def _depth_map(view: int, rgb: Tensor, cameras: Cameras, depths: Tensor) -> tuple[Tensor, Tensor]:
    """Depth of least colour error of each pixel, and a mask of clear matches, [SIDE, SIDE] both.

    The error at a depth is the mean over the better half of the cameras that see the point; for
    the others it may be occluded.
    """
    others = [index for index in range(len(cameras)) if index != view]
    own = rgb[view].flatten(1)  # [3, P]
    # A pixel at depth d has the homogeneous pixel d * ray + epipole in another camera.
    centre = _unproject(cameras[view], torch.zeros(1, 1), side=1)[0]  # [1, 3]
    at_depth_1 = _unproject(cameras[view], torch.ones(1, SIDE * SIDE))[0]
    epipole, end = (_homogeneous(p, cameras[others]) for p in (centre, at_depth_1))
    rays = end - epipole  # [V - 1, 3, P]
    rank = torch.arange(len(others))[:, None]
    costs = []
    for depth in depths:
        x, y, z = (rays * depth + epipole).unbind(1)
        pixels = torch.stack([x, y], -1) / z.clamp(min=1e-6)[..., None]
        error = (_sample(rgb[others], pixels) - own).abs().mean(1)  # [V - 1, P]
        error[~_inside(pixels, z)] = torch.inf
        best = error.sort(0).values
        half = ((best.isfinite().sum(0) + 1) // 2).clamp(min=min(2, len(others)))
        costs.append(best.where(rank < half, 0).sum(0) / half)
    cost = torch.stack(costs).view(len(depths), SIDE, SIDE)
    cost = cost.nan_to_num(1.0, 1.0).clamp(max=1)
    cost = avg_pool2d(cost[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    least, index = cost.min(0)
    ambiguity = (cost < least + AMBIGUITY_MARGIN).float().mean(0)
    return depths[index], (least < MAX_COLOR_ERROR) & (ambiguity < MAX_AMBIGUITY)


def _confirmed(
    positions: Tensor,  # [P, 3] from the depth map of `view`
    view: int,
    depth_maps: Tensor,  # [V, SIDE, SIDE]
    valid: Tensor,  # [V, SIDE, SIDE] bool
    cameras: Cameras,
) -> Tensor:
    """Mask [P] of positions with the same depth in another camera's depth map."""
    pixels, depth = project(positions, cameras)
    other_depth = _sample(depth_maps[:, None], pixels, "nearest")[:, 0]
    other_valid = _sample(valid[:, None].float(), pixels, "nearest")[:, 0] > 0.5
    close = (depth - other_depth).abs() < MAX_DEPTH_ERROR * depth
    agree = other_valid & _inside(pixels, depth) & close
    agree[view] = False
    return agree.any(0)
