"""Camera path of a multi-camera capture: a smooth tour past its input cameras.

An orbit would show regions that no camera saw. So the moving videos go from input camera to input
camera and back, and the still ones stand at an input camera.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, Slerp

from ..cameras import Cameras

MAX_ROUNDS = 20  # of 2-opt


def video_cameras(cameras: Cameras, size: int) -> Cameras:
    """Cameras with square pixels and the aspect ratio of the front camera's image.

    The longer side has `size` pixels; both sides are even, as H.264 requires.
    """
    aspect = float(cameras.Ks[0, 1, 1] / cameras.Ks[0, 0, 0])
    aspect *= cameras.width / cameras.height
    width, height = (size, size / aspect) if aspect >= 1 else (size * aspect, size)
    resized = cameras.resized(max(2, 2 * round(width / 2)), max(2, 2 * round(height / 2)))
    Ks = resized.Ks.clone()
    focal = Ks[:, [0, 1], [0, 1]]  # [V, 2]
    widest = focal.amax(-1, keepdim=True)
    middle = Ks.new_tensor([resized.width / 2, resized.height / 2])
    Ks[:, :2, 2] = middle + (Ks[:, :2, 2] - middle) * widest / focal
    Ks[:, [0, 1], [0, 1]] = widest
    return Cameras(resized.viewmats, Ks, resized.width, resized.height)


def tour(cameras: Cameras, count: int) -> Cameras:
    """Interpolate `count` cameras past all given ones and back, starting at the front camera.

    Positions (monotone cubic), rotations (slerp) and intrinsics are interpolated over arc length
    plus rotation angle.
    """
    order = _order(cameras.centres().double().numpy())
    chosen = cameras[order]
    centres = chosen.centres().double().numpy()
    rotations = Rotation.from_matrix(chosen.viewmats[:, :3, :3].double().numpy())
    angles = (rotations[1:] * rotations[:-1].inv()).magnitude()
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) + angles
    times = np.concatenate([[0], np.cumsum(steps + 1e-6)])
    samples = _back_and_forth(count, times[order.index(0)] / times[-1]) * times[-1]
    matrices = Slerp(times, rotations)(samples).as_matrix()
    positions = PchipInterpolator(times, centres)(samples)
    Ks = PchipInterpolator(times, chosen.Ks.double().numpy())(samples)
    viewmats = np.tile(np.eye(4), (count, 1, 1))
    viewmats[:, :3, :3] = matrices
    viewmats[:, :3, 3] = -(matrices @ positions[..., None])[..., 0]
    return Cameras(
        torch.from_numpy(viewmats).float(), torch.from_numpy(Ks).float(),
        cameras.width, cameras.height,
    )  # fmt: skip


def still_cameras(cameras: Cameras) -> dict[str, int]:
    """Indices of the cameras for the still videos: front (0), leftmost, rightmost, and, of the
    rest, the farthest from the front ("back")."""
    centres = cameras.centres()
    distance = (centres - centres[0]).norm(dim=-1)
    sideways = (centres - centres[0]) @ cameras.viewmats[0, 0, :3]
    left, right = int(sideways.argmin()), int(sideways.argmax())
    others = [k for k in range(len(cameras)) if k not in (0, left, right)] or [left]
    back = max(others, key=lambda k: float(distance[k]))
    return {"front": 0, "back": back, "left": left, "right": right}


def _back_and_forth(count: int, start: float) -> np.ndarray:
    """Cosine wave in [0, 1], [count]: from `start` up to 1, down to 0 and back to `start`."""
    phase = np.arccos(1 - 2 * start)
    return (1 - np.cos(phase + 2 * np.pi * np.arange(count) / count)) / 2


def _order(centres: np.ndarray) -> list[int]:
    """Short path through all centres [V, 3]: the best nearest-neighbour path, improved by 2-opt."""
    distance = np.linalg.norm(centres[:, None] - centres, axis=-1)
    routes = [_nearest_neighbour(first, distance) for first in range(len(centres))]
    return _two_opt(min(routes, key=lambda route: _length(route, distance)), distance)


def _nearest_neighbour(first: int, distance: np.ndarray) -> list[int]:
    route, remaining = [first], set(range(len(distance))) - {first}
    while remaining:
        route.append(min(remaining, key=lambda camera: distance[route[-1], camera]))
        remaining.remove(route[-1])
    return route


def _two_opt(route: list[int], distance: np.ndarray) -> list[int]:
    for _ in range(MAX_ROUNDS):
        before = _length(route, distance)
        for i, j in itertools.combinations(range(len(route) + 1), 2):
            reversed_part = route[:i] + route[i:j][::-1] + route[j:]
            if _length(reversed_part, distance) < _length(route, distance):
                route = reversed_part
        if _length(route, distance) >= before:
            break
    return route


def _length(route: list[int], distance: np.ndarray) -> float:
    return float(distance[route[:-1], route[1:]].sum())
