"""Where the camera of a scene's videos flies: past the cameras that took it, and nowhere else.

What no camera saw is not known: an orbit would show it. So the videos go from input camera to
input camera on a smooth path, there and back, and the still ones stand where a camera stood.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation, Slerp

from ..cameras import Cameras

SWEEPS = 20  # rounds in which a path may become shorter


def shown(cameras: Cameras, size: int) -> Cameras:
    """The cameras with square pixels and the shape of the front camera's own picture, whose longer
    side is `size` pixels (both sides even, as H.264 wants them)."""
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


def path(cameras: Cameras, count: int) -> Cameras:
    """`count` cameras on the way past all the given ones and back, starting at the front camera.

    Positions, directions and intrinsics are interpolated; the speed is even between neighbours.
    """
    order = _order(cameras.centres().double().numpy())
    chosen = cameras[order]
    centres = chosen.centres().double().numpy()
    turns = Rotation.from_matrix(chosen.viewmats[:, :3, :3].double().numpy())
    bends = (turns[1:] * turns[:-1].inv()).magnitude()
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) + bends
    times = np.concatenate([[0], np.cumsum(steps + 1e-6)])
    # There and back, from where the front camera stands: a triangle wave with round turns.
    places = _to_and_fro(count, times[order.index(0)] / times[-1]) * times[-1]
    matrices = Slerp(times, turns)(places).as_matrix()
    at = PchipInterpolator(times, centres)(places)
    Ks = PchipInterpolator(times, chosen.Ks.double().numpy())(places)
    viewmats = np.tile(np.eye(4), (count, 1, 1))
    viewmats[:, :3, :3] = matrices
    viewmats[:, :3, 3] = -(matrices @ at[..., None])[..., 0]
    return Cameras(
        torch.from_numpy(viewmats).float(), torch.from_numpy(Ks).float(),
        cameras.width, cameras.height,
    )  # fmt: skip


def stills(cameras: Cameras) -> dict[str, int]:
    """Which camera is the front (0), the outermost on its left and on its right, and of the others
    the farthest from it ("back")."""
    centres = cameras.centres()
    apart = (centres - centres[0]).norm(dim=-1)
    sideways = (centres - centres[0]) @ cameras.viewmats[0, 0, :3]
    left, right = int(sideways.argmin()), int(sideways.argmax())
    others = [k for k in range(len(cameras)) if k not in (0, left, right)] or [left]
    back = max(others, key=lambda k: float(apart[k]))
    return {"front": 0, "back": back, "left": left, "right": right}


def _to_and_fro(count: int, start: float) -> np.ndarray:
    """[count] in [0, 1], from `start` up to 1, down to 0 and back, slow where it turns."""
    phase = np.arccos(1 - 2 * start)
    return (1 - np.cos(phase + 2 * np.pi * np.arange(count) / count)) / 2


def _order(centres: np.ndarray) -> list[int]:
    """A short path past all places [V, 3]: nearest neighbours, then reversed pieces (2-opt)."""
    distance = np.linalg.norm(centres[:, None] - centres, axis=-1)
    routes = [_improved(_greedy(first, distance), distance) for first in range(len(centres))]
    return min(routes, key=lambda route: _length(route, distance))


def _greedy(first: int, distance: np.ndarray) -> list[int]:
    route, left = [first], set(range(len(distance))) - {first}
    while left:
        route.append(min(left, key=lambda other: distance[route[-1], other]))
        left.remove(route[-1])
    return route


def _improved(route: list[int], distance: np.ndarray) -> list[int]:
    for _ in range(SWEEPS):
        before = _length(route, distance)
        for i, j in itertools.combinations(range(len(route) + 1), 2):
            other = route[:i] + route[i:j][::-1] + route[j:]
            if _length(other, distance) < _length(route, distance):
                route = other
        if _length(route, distance) >= before:
            break
    return route


def _length(route: list[int], distance: np.ndarray) -> float:
    return float(distance[route[:-1], route[1:]].sum())
