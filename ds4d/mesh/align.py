"""Silhouette alignment: the similarity transform that moves a mesh to where the views show it.

Scale and translation start from the areas and the centroids of the silhouettes; a coarse-to-fine
search then maximizes the overlap (intersection over union, IoU) with the views' mattes.
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
from .mesh import Mesh
from .visibility import no_object, visible_faces

COARSE, MEDIUM, FINE = 48, 64, 128  # image sizes of the three levels of the search, pixels
REPORT_SIZE = 256  # largest image size at which the reported IoU is measured, pixels
COARSE_CELLS, FINE_CELLS = 64, 192  # vertex clustering per side: about a pixel of MEDIUM and FINE
FINALISTS = 5  # orientations that are refined
COARSE_STEP = 0.04  # first step of the search at MEDIUM, world units: about three pixels
FINE_STEPS = (0.02, 0.01, 0.004)  # first steps of the searches at FINE, world units
EVALUATIONS = 50  # of the IoU per search; four parameters are settled by then
TIE = 0.05  # IoU difference below which colours decide between two orientations
FRONT_WEIGHT = 2.0  # of the front view, the only real one, in the mean IoU
MIN_PIXELS = 16  # of an object in the front view that can be aligned with
# Mean IoU below which the fit is reported as poor. Measured on thin-limbed objects: right meshes
# reach 0.93 with views as inconsistent as generated ones, and 0.75 when stretched by a quarter as
# well; meshes of other objects 0.5 to 0.67.
POOR_IOU = 0.7
SHADING = 0.3  # share of the preview's brightness that depends on the normal


@dataclass(frozen=True)
class Pose:
    """Similarity transform x -> scale * rotation @ x + translation."""

    rotation: Tensor  # [3, 3]
    scale: float
    translation: Tensor  # [3] world units

    def __call__(self, vertices: Tensor) -> Tensor:
        return self.scale * vertices @ self.rotation.T + self.translation


@dataclass(frozen=True)
class Target:
    """Mattes and colours of the views at one image size s."""

    masks: np.ndarray  # [V, s, s] bool
    colors: np.ndarray  # [V, s, s, 3] float32 in [0, 1]
    cameras: Cameras  # V at s x s
    weights: np.ndarray  # [V], sum 1


def fit(
    mesh: Mesh,  # of any scale and position
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    *,
    search_rotation: bool,  # also try the 24 rotations of a cube; mirroring is never tried
) -> Stage[tuple[Mesh, list[float]]]:
    """Align a mesh with the silhouettes of the views.

    The last event's metrics contain the mean IoU ("iou") and the front view's ("front_iou"); it is
    a warning where the mean IoU is below POOR_IOU.

    Returns:
        The mesh in world coordinates, and the IoU of its silhouette in each view.

    Raises:
        UserError: the front view shows no object, or the mesh has no extent.
    """
    if (images[0, ..., 3] > 127).sum() < MIN_PIXELS:
        raise no_object()
    normalized, centre, extent = _normalized(mesh)
    rotations = cube_rotations() if search_rotation else [torch.eye(3)]
    finalists = min(FINALISTS, len(rotations))
    total = len(rotations) + finalists + len(FINE_STEPS) + 1

    simplified, coarse = _simplified(normalized, COARSE_CELLS), _target(images, cameras, COARSE)
    poses = []
    for step, rotation in enumerate(rotations):
        yield Event("mesh", step, total, "finding size and position of the mesh")
        poses.append(_initial_pose(simplified, rotation, coarse))

    medium, refined = _target(images, cameras, MEDIUM), []
    for pose in _ranked(simplified, poses, coarse)[:finalists]:
        step = len(rotations) + len(refined)
        yield Event("mesh", step, total, "comparing the best orientations")
        refined.append(_refine(simplified, pose, medium, COARSE_STEP))
    pose = _ranked(simplified, refined, medium)[0]

    detailed, fine = _simplified(normalized, FINE_CELLS), _target(images, cameras, FINE)
    for index, first_step in enumerate(FINE_STEPS):
        step = len(rotations) + finalists + index
        yield Event("mesh", step, total, "refining size and position of the mesh")
        pose = _refine(detailed, pose, fine, first_step)

    yield Event("mesh", total - 1, total, "measuring the overlap")
    aligned = replace(mesh, vertices=pose((mesh.vertices - centre) / extent).float())
    target = _target(images, cameras, min(REPORT_SIZE, images.shape[1]))
    ious = _ious(visible_faces(aligned, target.cameras) >= 0, target)
    yield _report(aligned, ious.tolist(), images, cameras, total)
    return aligned, ious.tolist()


def cube_rotations() -> list[Tensor]:
    """Return the 24 rotations [3, 3] that map a cube to itself, the identity first."""
    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = torch.diag(torch.tensor(signs))[list(order)]
            if torch.linalg.det(matrix) > 0:
                rotations.append(matrix)
    return rotations


def _normalized(mesh: Mesh) -> tuple[Mesh, Tensor, float]:
    """Centre a mesh at the origin with longest side 1; also its former centre [3] and extent."""
    used = mesh.corners().flatten(0, 1)
    if not len(used) or not float((used.amax(0) - used.amin(0)).max()) > 0:
        raise UserError("The mesh has no surface.", "Choose another mesh.")
    low, high = used.amin(0), used.amax(0)
    centre, extent = (low + high) / 2, float((high - low).max())
    return replace(mesh, vertices=(mesh.vertices - centre) / extent), centre, extent


def _simplified(mesh: Mesh, cells: int) -> Mesh:
    """Simplify a mesh in the unit box by vertex clustering in cells^3 (Rossignac and Borrel 1993).

    Its silhouette moves by less than a cell.
    """
    indices = ((mesh.vertices + 0.5) * (cells - 1)).round().long().clamp(0, cells - 1)
    keys = (indices[:, 0] * cells + indices[:, 1]) * cells + indices[:, 2]
    clusters, cluster = torch.unique(keys, return_inverse=True)
    values = torch.cat([mesh.vertices, mesh.colors, torch.ones(len(keys), 1)], 1)
    sums = torch.zeros(len(clusters), 7).index_add_(0, cluster, values)
    faces = cluster[mesh.faces]
    i, j, k = faces.T
    means = sums[:, :6] / sums[:, 6:]
    return Mesh(means[:, :3], faces[(i != j) & (j != k) & (k != i)], means[:, 3:])


def _target(images: np.ndarray, cameras: Cameras, size: int) -> Target:
    """Resize the views to size x size pixels."""
    scaled = np.stack(
        [cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in images]
    )
    weights = np.ones(len(images))
    weights[0] = FRONT_WEIGHT
    colors = scaled[..., :3].astype(np.float32) / 255
    return Target(
        scaled[..., 3] > 127, colors, cameras.resized(size, size), weights / weights.sum()
    )


def _silhouettes(mesh: Mesh, pose: Pose, target: Target) -> np.ndarray:
    """Silhouettes of a posed mesh, [V, s, s] bool."""
    return visible_faces(replace(mesh, vertices=pose(mesh.vertices)), target.cameras) >= 0


def _ious(silhouettes: np.ndarray, target: Target) -> np.ndarray:
    """IoU of each view, [V]; 1 where both silhouettes are empty."""
    intersection = (silhouettes & target.masks).sum((1, 2))
    union = (silhouettes | target.masks).sum((1, 2))
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def _mean_iou(silhouettes: np.ndarray, target: Target) -> float:
    """Weighted mean over the views, in [0, 1]."""
    return float(target.weights @ _ious(silhouettes, target))


def _initial_pose(mesh: Mesh, rotation: Tensor, target: Target) -> Pose:
    """Match the areas and centroids of the silhouettes by a few fixed-point steps."""
    pose = Pose(rotation, 0.5, torch.zeros(3))
    for _ in range(3):
        silhouettes = _silhouettes(mesh, pose, target)
        common = silhouettes.any((1, 2)) & target.masks.any((1, 2))
        if not common.any():
            break
        area, target_area = silhouettes[common].sum(), target.masks[common].sum()
        ratio = float(np.sqrt(target_area / area))
        centroid = _centroid(silhouettes[common], target.cameras[common])
        target_centroid = _centroid(target.masks[common], target.cameras[common])
        translation = target_centroid - ratio * (centroid - pose.translation)
        pose = Pose(rotation, pose.scale * ratio, translation)
    return pose


def _centroid(masks: np.ndarray, cameras: Cameras) -> Tensor:
    """Triangulate the centroids of the silhouettes [V, s, s]: least squares over rays, [3]."""
    axis = np.arange(masks.shape[1]) + 0.5
    area = masks.sum((1, 2))
    u, v = masks.sum(1) @ axis / area, masks.sum(2) @ axis / area
    pixels = torch.from_numpy(np.stack([u, v, np.ones_like(u)], -1)).float()[:, :, None]
    rays = cameras.viewmats[:, :3, :3].transpose(1, 2) @ torch.linalg.inv(cameras.Ks) @ pixels
    rays = torch.nn.functional.normalize(rays, dim=1)  # [V, 3, 1]
    across = torch.eye(3) - rays @ rays.transpose(1, 2)
    # A single camera leaves the depth undetermined: the small term picks the point nearest to 0.
    normal = across.sum(0) + 1e-4 * torch.eye(3)
    return torch.linalg.solve(normal, (across @ cameras.centres()[:, :, None]).sum(0))[:, 0]


def _refine(mesh: Mesh, pose: Pose, target: Target, first_step: float) -> Pose:
    """Maximize the mean IoU over scale and translation (Nelder and Mead 1965).

    Args:
        first_step: size of the initial simplex, relative for the scale, else in world units.
    """

    def perturbed(x: np.ndarray) -> Pose:
        translation = pose.translation + torch.from_numpy(x[1:]).float()
        return replace(pose, scale=pose.scale * float(np.exp(x[0])), translation=translation)

    def loss(x: np.ndarray) -> float:
        return -_mean_iou(_silhouettes(mesh, perturbed(x), target), target)

    simplex = np.concatenate([np.zeros((1, 4)), first_step * np.eye(4)])
    options = {"initial_simplex": simplex, "maxfev": EVALUATIONS, "xatol": 1e-4}
    return perturbed(minimize(loss, np.zeros(4), method="Nelder-Mead", options=options).x)


def _ranked(mesh: Mesh, poses: list[Pose], target: Target) -> list[Pose]:
    """Sort poses by mean IoU; colours decide between those within TIE of the best."""
    visible = [
        visible_faces(replace(mesh, vertices=pose(mesh.vertices)), target.cameras) for pose in poses
    ]
    ious = [_mean_iou(faces >= 0, target) for faces in visible]
    losses = [
        (_color_difference(mesh, faces, target) if iou > max(ious) - TIE else 1) - iou
        for iou, faces in zip(ious, visible, strict=True)
    ]
    return [poses[i] for i in np.argsort(losses, kind="stable")]


def _color_difference(mesh: Mesh, faces: np.ndarray, target: Target) -> float:
    """Mean absolute colour difference in [0, 1] inside both silhouettes; faces [V, s, s]."""
    differences = np.abs(mesh.face_colors().numpy()[faces] - target.colors).mean(-1)
    weights = ((faces >= 0) & target.masks) * target.weights[:, None, None]
    return float((weights * differences).sum() / max(weights.sum(), 1e-8))


def _report(
    mesh: Mesh, ious: list[float], images: np.ndarray, cameras: Cameras, total: int
) -> Event:
    """Last event of an alignment."""
    mean = float(np.mean(ious))
    message = f"IoU with the views {', '.join(f'{iou:.2f}' for iou in ious)} (mean {mean:.3f})"
    if mean < POOR_IOU:
        message = (
            f"The mesh fits the views poorly: {message}. Check the preview: the mesh may show "
            "another object or pose, or be mirrored."
        )
    return Event(
        "mesh", total, total, message, preview(mesh, images, cameras), warning=mean < POOR_IOU,
        metrics={"iou": mean, "front_iou": ious[0], "vertices": len(mesh.vertices)},
    )  # fmt: skip


def preview(mesh: Mesh, images: np.ndarray, cameras: Cameras, size: int = 128) -> np.ndarray:
    """Render the views above the mesh from the same cameras, [2 size, V size, 3] uint8."""
    target = _target(images, cameras, size)
    views = np.where(target.masks[..., None], target.colors, 1)
    normals = torch.nn.functional.normalize(mesh.face_normals(), dim=-1).numpy()
    faces = visible_faces(mesh, target.cameras)
    forward = cameras.viewmats[:, 2, :3].numpy()
    light = np.clip(-np.einsum("vhwi,vi->vhw", normals[faces], forward), 0, 1)[..., None]
    renders = mesh.face_colors().numpy()[faces] * (1 - SHADING + SHADING * light)
    renders = np.where((faces >= 0)[..., None], renders, 1)
    rows = np.stack([views, renders])  # [2, V, s, s, 3]
    return (rows.transpose(0, 2, 1, 3, 4).reshape(2 * size, -1, 3) * 255).astype(np.uint8)
