"""A mesh of any size, place and, if asked, orientation -> the same mesh where the views show it.

Scale and shift start from the areas and the centres of the silhouettes and are then searched for
the best overlap (intersection over union, IoU) with the views' mattes, first in small pictures.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from ..cameras import Cameras
from ..errors import UserError
from ..run.events import Event, Stage
from . import Mesh
from .visibility import faces_seen

COARSE, MIDDLE, FINE = 48, 64, 128  # sides of the pictures that are compared, pixels
REPORT = 256  # the reported IoU is measured in pictures of at most this side
FINALISTS = 5  # orientations that are refined
WIDTHS = (0.02, 0.01, 0.004)  # first steps of the last searches, world units
TIE = 0.05  # overlaps that differ by less do not decide between orientations: colours do
FRONT = 2.0  # weight of the front view, the only real one
# Mean IoU below which a person should look. On thin-limbed objects right meshes reach 0.93 with
# views as inconsistent as generated ones, and 0.75 when stretched by a quarter as well; meshes of
# other objects 0.5 to 0.67.
POOR = 0.7


@dataclass(frozen=True)
class Pose:
    """x -> scale * rotation @ x + shift."""

    rotation: Tensor  # [3, 3]
    scale: float
    shift: Tensor  # [3] world units

    def __call__(self, vertices: Tensor) -> Tensor:
        return self.scale * vertices @ self.rotation.T + self.shift


@dataclass(frozen=True)
class Target:
    """The views at one picture size s."""

    masks: np.ndarray  # [V, s, s] bool
    colors: np.ndarray  # [V, s, s, 3] float32 in [0, 1]
    cameras: Cameras  # V at s x s
    weights: np.ndarray  # [V], sum 1


def fit(
    mesh: Mesh,  # any scale, any place
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    *,
    search_rotation: bool,  # also try the 24 ways to turn a cube; mirroring is never tried
) -> Stage[tuple[Mesh, list[float]]]:
    """The mesh in our world, and the IoU of its silhouette in each view.

    The last event's metrics hold the mean IoU ("iou") and the front view's ("front_iou"). Warns
    where the mean IoU is poor. Raises UserError where the front view shows no object or the mesh
    has no extent.
    """
    if (images[0, ..., 3] > 127).sum() < 16:
        raise UserError(
            "No object is visible in the middle frame.",
            "Check the mattes, or choose a clip whose object stays in the picture.",
        )
    shape, centre, extent = _centred(mesh)
    rotations = cube_rotations() if search_rotation else [torch.eye(3)]
    finalists = min(FINALISTS, len(rotations))
    total = len(rotations) + finalists + len(WIDTHS) + 1

    light, small = _simplified(shape, 64), _target(images, cameras, COARSE)
    poses = []
    for step, rotation in enumerate(rotations):
        yield Event("mesh", step, total, "finding size and place of the mesh")
        poses.append(_rough(light, rotation, small))

    middle, refined = _target(images, cameras, MIDDLE), []
    for pose in _ranked(light, poses, small)[:finalists]:
        step = len(rotations) + len(refined)
        yield Event("mesh", step, total, "comparing the best orientations")
        refined.append(_refine(light, pose, middle, 0.04))
    pose = _ranked(light, refined, middle)[0]

    detailed, fine = _simplified(shape, 192), _target(images, cameras, FINE)
    for round_, width in enumerate(WIDTHS):
        step = len(rotations) + finalists + round_
        yield Event("mesh", step, total, "refining size and place of the mesh")
        pose = _refine(detailed, pose, fine, width)

    yield Event("mesh", total - 1, total, "measuring the overlap")
    # Without its centre and extent, the pose is one of the mesh as it was given.
    moved = replace(mesh, vertices=pose((mesh.vertices - centre) / extent).float())
    target = _target(images, cameras, min(REPORT, images.shape[1]))
    ious = _ious(faces_seen(moved.vertices, moved.faces, target.cameras) >= 0, target)
    yield _report(moved, ious.tolist(), images, cameras, total)
    return moved, ious.tolist()


def cube_rotations() -> list[Tensor]:
    """The 24 rotations [3, 3] that map a cube to itself, the identity first."""
    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = torch.diag(torch.tensor(signs))[list(order)]
            if torch.linalg.det(matrix) > 0:
                rotations.append(matrix)
    return rotations


def _centred(mesh: Mesh) -> tuple[Mesh, Tensor, float]:
    """The mesh about the origin in the unit box, and the centre and extent that it had."""
    used = mesh.vertices[mesh.faces.flatten()]
    if not len(used) or not float((used.amax(0) - used.amin(0)).max()) > 0:
        raise UserError("The mesh has no surface.", "Choose another mesh.")
    low, high = used.amin(0), used.amax(0)
    centre, extent = (low + high) / 2, float((high - low).max())
    return replace(mesh, vertices=(mesh.vertices - centre) / extent), centre, extent


def _simplified(mesh: Mesh, cells: int) -> Mesh:
    """The mesh in the unit box with all vertices of one cell (of cells^3) drawn together
    (Rossignac and Borrel 1993): its silhouette moves by less than a cell."""
    places = ((mesh.vertices + 0.5) * (cells - 1)).round().long().clamp(0, cells - 1)
    keys = (places[:, 0] * cells + places[:, 1]) * cells + places[:, 2]
    kept, cluster = torch.unique(keys, return_inverse=True)
    values = torch.cat([mesh.vertices, mesh.colors, torch.ones(len(keys), 1)], 1)
    sums = torch.zeros(len(kept), 7).index_add_(0, cluster, values)
    faces = cluster[mesh.faces]
    i, j, k = faces.T
    means = sums[:, :6] / sums[:, 6:]
    return Mesh(means[:, :3], faces[(i != j) & (j != k) & (k != i)], means[:, 3:])


def _target(images: np.ndarray, cameras: Cameras, size: int) -> Target:
    """The views in pictures of size x size."""
    scaled = np.stack(
        [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images]
    )
    weights = np.ones(len(images))
    weights[0] = FRONT
    colors = scaled[..., :3].astype(np.float32) / 255
    return Target(
        scaled[..., 3] > 127, colors, cameras.resized(size, size), weights / weights.sum()
    )


def _silhouettes(mesh: Mesh, pose: Pose, target: Target) -> np.ndarray:
    """[V, s, s] bool."""
    return faces_seen(pose(mesh.vertices), mesh.faces, target.cameras) >= 0


def _ious(shown: np.ndarray, target: Target) -> np.ndarray:
    """Of each view, [V]; 1 where both have nothing."""
    both = (shown & target.masks).sum((1, 2))
    either = (shown | target.masks).sum((1, 2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def _overlap(shown: np.ndarray, target: Target) -> float:
    return float(target.weights @ _ious(shown, target))


def _rough(mesh: Mesh, rotation: Tensor, target: Target) -> Pose:
    """Scale and shift that bring areas and centres of the silhouettes together."""
    pose = Pose(rotation, 0.5, torch.zeros(3))
    for _ in range(3):
        shown = _silhouettes(mesh, pose, target)
        common = shown.any((1, 2)) & target.masks.any((1, 2))
        if not common.any():
            break
        areas = shown[common].sum(), target.masks[common].sum()
        ratio = float(np.sqrt(areas[1] / areas[0]))
        there = _middle(target.masks[common], target.cameras[common])
        here = _middle(shown[common], target.cameras[common])
        shift = there - ratio * (here - pose.shift)
        pose = Pose(rotation, pose.scale * ratio, shift)
    return pose


def _middle(masks: np.ndarray, cameras: Cameras) -> Tensor:
    """The point [3] nearest to the rays through the centres of the silhouettes."""
    axis = np.arange(masks.shape[1]) + 0.5
    area = masks.sum((1, 2))
    u, v = masks.sum(1) @ axis / area, masks.sum(2) @ axis / area
    pixels = torch.from_numpy(np.stack([u, v, np.ones_like(u)], -1)).float()[:, :, None]
    rays = cameras.viewmats[:, :3, :3].transpose(1, 2) @ torch.linalg.inv(cameras.Ks) @ pixels
    rays = torch.nn.functional.normalize(rays, dim=1)  # [V, 3, 1]
    across = torch.eye(3) - rays @ rays.transpose(1, 2)
    # One camera alone leaves the depth open: then the point nearest to the origin.
    normal = across.sum(0) + 1e-4 * torch.eye(3)
    return torch.linalg.solve(normal, (across @ cameras.centres()[:, :, None]).sum(0))[:, 0]


def _refine(mesh: Mesh, pose: Pose, target: Target, width: float) -> Pose:
    """The pose with the best overlap near this one (Nelder and Mead 1965), first looking `width`
    away in scale (relative) and shift (world units)."""

    def moved(x: np.ndarray) -> Pose:
        shift = pose.shift + torch.from_numpy(x[1:]).float()
        return replace(pose, scale=pose.scale * float(np.exp(x[0])), shift=shift)

    corners = np.concatenate([np.zeros((1, 4)), width * np.eye(4)])
    best = minimize(
        lambda x: -_overlap(_silhouettes(mesh, moved(x), target), target), np.zeros(4),
        method="Nelder-Mead", options={"initial_simplex": corners, "maxfev": 50, "xatol": 1e-4},
    )  # fmt: skip
    return moved(best.x)


def _ranked(mesh: Mesh, poses: list[Pose], target: Target) -> list[Pose]:
    """The poses, best overlap first; where overlaps are close to the best, colours count too."""
    seen = [faces_seen(pose(mesh.vertices), mesh.faces, target.cameras) for pose in poses]
    overlaps = [_overlap(each >= 0, target) for each in seen]
    losses = [
        (_color_difference(mesh, each, target) if overlap > max(overlaps) - TIE else 1) - overlap
        for overlap, each in zip(overlaps, seen, strict=True)
    ]
    return [poses[i] for i in np.argsort(losses, kind="stable")]


def _color_difference(mesh: Mesh, seen: np.ndarray, target: Target) -> float:
    """Mean absolute difference, in [0, 1], where both the mesh and a view show something."""
    colors = mesh.colors[mesh.faces].mean(1).numpy()
    both = (seen >= 0) & target.masks
    differences = np.abs(colors[seen] - target.colors).mean(-1)
    weights = both * target.weights[:, None, None]
    return float((weights * differences).sum() / max(weights.sum(), 1e-8))


def _report(
    mesh: Mesh, ious: list[float], images: np.ndarray, cameras: Cameras, total: int
) -> Event:
    mean = float(np.mean(ious))
    words = f"IoU with the views {', '.join(f'{iou:.2f}' for iou in ious)} (mean {mean:.3f})"
    if mean < POOR:
        words = (
            f"The mesh fits the views poorly: {words}. Look at the preview: it may be a mesh of "
            "another object or pose, or a mirrored one."
        )
    return Event(
        "mesh", total, total, words, preview=preview(mesh, images, cameras), warning=mean < POOR,
        metrics={"iou": mean, "front_iou": ious[0], "vertices": len(mesh.vertices)},
    )  # fmt: skip


def preview(mesh: Mesh, images: np.ndarray, cameras: Cameras, size: int = 128) -> np.ndarray:
    """The views, and below them the mesh from the same cameras, [2 size, V size, 3] uint8."""
    target = _target(images, cameras, size)
    given = np.where(target.masks[..., None], target.colors, 1)
    corners = mesh.vertices[mesh.faces]
    normals = torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1)
    normals = torch.nn.functional.normalize(normals, dim=-1).numpy()
    seen = faces_seen(mesh.vertices, mesh.faces, target.cameras)
    forward = cameras.viewmats[:, 2, :3].numpy()
    light = np.clip(-np.einsum("vhwi,vi->vhw", normals[seen], forward), 0, 1)[..., None]
    drawn = mesh.colors[mesh.faces].mean(1).numpy()[seen] * (0.7 + 0.3 * light)
    drawn = np.where((seen >= 0)[..., None], drawn, 1)
    rows = np.stack([given, drawn])  # [2, V, s, s, 3]
    return (rows.transpose(0, 2, 1, 3, 4).reshape(2 * size, -1, 3) * 255).astype(np.uint8)
