"""Side views of a clip's first frame: from a case folder, from a mesh, or from the shape prior.

L4GM was trained on four level views of the first frame. Those beside the front come from the best
source that there is; what is drawn from a mesh agrees with itself by construction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ...cameras import Cameras, orbit_cameras
from ...clip import Clip
from ...images import over, tile
from ...mesh.mesh import Mesh
from ...mesh.visibility import hits, visible_faces
from ...run.events import Event, Stage
from .. import given
from ..inflate import model as shape_prior
from ..inflate.solid import render as render_solid
from .frames import SIZE, half_width, l4gm_cameras, reframed, silhouette
from .reconstruct import AZIMUTHS
from .scores import scores_of

LEVEL = 1.0  # degrees of elevation up to which a camera is level
ASIDE = 20.0  # degrees of azimuth from which on a view is another one than the front
SAMPLES = 2  # along each side of a pixel, in a drawing of a mesh
FIT_SIZE = 128  # pixels of the silhouettes that a mesh is fitted to
FIT_STEPS = (0.08, 0.04, 0.02, 0.01, 0.005)  # of its logarithm of size, and its shifts
POOR_IOU = 0.75  # of a fitted mesh with the frame, from which on the sides are doubtful


@dataclass(frozen=True)
class Sides:
    """Three side views of the first frame, on white."""

    images: np.ndarray  # [3, 256, 256, 3] uint8
    azimuths: tuple[float, ...]  # degrees


def find_given(source: Path, views: str, clip: Clip) -> Callable[..., Stage[Sides]] | None:
    """The level views of the clip's first frame in a case folder, if it has three of them.

    Args:
        source: input of the clip stage.
        views: name of the folder of views; "none" ignores all views.
    """
    prepared = given.find(source, views)
    if prepared is None:
        return None
    rig = given.cameras(prepared, SIZE)
    level = {view: level_azimuth(rig[view]) for view in range(1, len(rig))}
    azimuths = {
        v: angle for v, angle in level.items() if angle is not None and aside(angle) > ASIDE
    }
    chosen = [min(azimuths, key=lambda v, a=a: aside(azimuths[v] - a), default=0) for a in AZIMUTHS]
    if len(set(chosen)) < len(AZIMUTHS):
        return None

    def draw(frames: np.ndarray, front: Cameras) -> Stage[Sides]:
        paths = prepared.view_paths(clip.indices[0], views)
        images = [reframed(given.read_rgba(paths[v - 1]), half_width(rig[v])) for v in chosen]
        angles = tuple(azimuths[view] for view in chosen)
        where = ", ".join(f"{angle:.0f}" for angle in angles)
        message = f"those of the case folder, at azimuths {where}"
        yield Event("multiview", 1, 1, message, tile(np.stack(images), 3))
        return Sides(np.stack(images), angles)

    return draw


def level_azimuth(camera: Cameras) -> float | None:
    """Azimuth, degrees in [0, 360), of a camera that looks level at the origin; else None."""
    x, y, z = camera.centres()[0].double().tolist()
    azimuth = math.degrees(math.atan2(x, -y)) % 360
    ideal = orbit_cameras([azimuth], size=camera.width, radius=math.hypot(x, y))
    tilt = (camera.viewmats[0, :3, :3] - ideal.viewmats[0, :3, :3]).abs().max()
    elevation = math.degrees(math.atan2(z, math.hypot(x, y)))
    return azimuth if max(abs(elevation), math.degrees(float(tilt))) < LEVEL else None


def aside(angle: float) -> float:
    """Absolute value of an angle, degrees, the short way round."""
    return abs((angle + 180) % 360 - 180)


def of_mesh(make: Callable[[np.ndarray], Stage[Mesh]]) -> Callable[..., Stage[Sides]]:
    """Side views drawn from a mesh that is made of the first frame [S, S, 4], and fitted to it."""

    def draw(frames: np.ndarray, front: Cameras) -> Stage[Sides]:
        mesh = yield from make(frames[0])
        width = half_width(front)
        mesh, iou = fitted(mesh, silhouette(frames[0], width, FIT_SIZE))
        front_image = draw_mesh(mesh, l4gm_cameras([0.0], SIZE))[0]
        psnr, _ = scores_of(front_image, reframed(frames[0], width), silhouette(frames[0], width))
        images = over(draw_mesh(mesh, l4gm_cameras(AZIMUTHS, SIZE)))
        doubtful = iou < POOR_IOU
        message = f"drawn from a mesh that fits the first frame with {psnr:.1f} dB, IoU {iou:.2f}"
        message += ", which is poor" if doubtful else ""
        metrics = {"sides_psnr": psnr, "sides_iou": iou}
        preview = tile(images, 3)
        yield Event("multiview", 1, 1, message, preview, metrics, warning=doubtful)
        return Sides(images, AZIMUTHS)

    return draw


def of_shape_prior(slant: float | None, depth: float) -> Callable[..., Stage[Sides]]:
    """Side views drawn from the embedded shape, for which nothing has to be downloaded."""

    def draw(frames: np.ndarray, front: Cameras) -> Stage[Sides]:
        model = yield from shape_prior.fit(frames, front, slant, depth)
        images = over(render_solid(model.solid(0), l4gm_cameras(AZIMUTHS, SIZE)))
        message = "drawn from the embedded shape: depth and the back are a guess"
        yield Event("multiview", 1, 1, message, tile(images, 3), warning=True)
        return Sides(images, AZIMUTHS)

    return draw


def fitted(mesh: Mesh, inside: np.ndarray) -> tuple[Mesh, float]:
    """The mesh at the size and place at which its front silhouette is most like [S, S] bool.

    Depth cannot be seen: along the front camera's axis, distances from the origin grow like the
    mesh. Returns the IoU, too.
    """
    camera = l4gm_cameras([0.0], len(inside))
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return mesh, 0.0
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    centre = (low + high) / 2
    pixel = float(camera.centres().norm()) / float(camera.Ks[0, 0, 0])  # at the origin, world units
    half = len(inside) / 2
    x = pixel * ((columns.min() + columns.max() + 1) / 2 - half)
    z = pixel * (half - (rows.min() + rows.max() + 1) / 2)
    tall = pixel * (np.ptp(rows) + 1)

    def placed(parameters: np.ndarray) -> Mesh:
        scale, x, z = parameters
        size = math.exp(scale)
        shift = torch.tensor([x, size * float(centre[1]), z], dtype=torch.float32)
        return replace(mesh, vertices=(mesh.vertices - centre) * size + shift)

    def iou(parameters: np.ndarray) -> float:
        drawn = visible_faces(placed(parameters), camera)[0] >= 0
        return float((drawn & inside).sum() / max((drawn | inside).sum(), 1))

    best = np.array([math.log(tall / max(float(high[2] - low[2]), 1e-6)), x, z])
    score = iou(best)
    for step in FIT_STEPS:
        improved = True
        while improved:
            improved = False
            for change in np.concatenate([np.eye(3), -np.eye(3)]) * step:
                if (found := iou(best + change)) > score:
                    best, score, improved = best + change, found, True
    return placed(best), score


def draw_mesh(mesh: Mesh, cameras: Cameras) -> np.ndarray:
    """Images [C, H, W, 4] uint8 of a mesh by its vertex colours, straight alpha."""
    fine = cameras.resized(SAMPLES * cameras.width, SAMPLES * cameras.height)
    seen = hits(mesh, fine)
    corners = mesh.colors[mesh.faces[torch.from_numpy(seen.faces).long()]]
    colors = (torch.from_numpy(seen.weights)[..., None] * corners).sum(-2)
    solid = torch.from_numpy(seen.faces >= 0)[..., None].float()
    samples = torch.cat([colors.clamp(0, 1) * solid, solid], -1).movedim(-1, 1)
    image = torch.nn.functional.avg_pool2d(samples, SAMPLES).movedim(1, -1)
    image[..., :3] /= image[..., 3:].clamp(min=1e-4)
    return (image.clamp(0, 1) * 255).round().byte().numpy()
