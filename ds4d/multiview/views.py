"""The views of a clip, and their files in a run folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ..cameras import Cameras, Similarity
from ..clip.datasets import image_files
from ..images import load_pngs, save_pngs
from ..mesh.mesh import Mesh
from ..run.events import Stage

Matte = Callable[[np.ndarray], Stage[np.ndarray]]  # [T, H, W, 3] -> [T, H, W], uint8

MESH_FILE = "surface.npz"  # Views.mesh, beside the images
CAPTURE_FILE = "scene.json"  # Views.capture_to_world
POINTS_FILE = "points.ply"  # Views.cloud


@dataclass(frozen=True)
class Views:
    """V views of each of T frames; view 0 is the real front view."""

    images: np.ndarray  # [T, V, S, S, 4] uint8 RGBA, straight alpha
    cameras: Cameras  # V cameras at S x S
    capture_to_world: Similarity | None = None  # of a multi-camera capture, where all are real
    cloud: tuple[Tensor, Tensor] | None = None  # of a capture: points [M, 3] and colours [M, 3]
    mesh: Mesh | None = None  # of the middle frame, if the views were rendered from meshes


def join(
    fronts: np.ndarray,  # [T, S, S, 4] uint8
    generated: np.ndarray,  # [T, V - 1, S, S, 4] uint8, the views other than the front
    cameras: Cameras,  # V
) -> Views:
    """Join the front frames with the other views of each."""
    return Views(np.concatenate([fronts[:, None], generated], axis=1), cameras)


def save_views(
    folder: Path,
    images: np.ndarray,  # [T, V - 1, S, S, 4] uint8, the views other than the front
) -> None:
    """Write views as 0000/0.png, 0000/1.png, ..., one folder per frame."""
    paths = []
    for frame, views in enumerate(images):
        (folder / f"{frame:04d}").mkdir(parents=True, exist_ok=True)
        paths += [folder / f"{frame:04d}" / f"{view}.png" for view in range(len(views))]
    save_pngs(paths, images.reshape(-1, *images.shape[2:]))


def load_views(folder: Path) -> np.ndarray:
    """Read the views that `save_views` wrote, [T, V - 1, S, S, 4] uint8."""
    frames = [image_files(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    images = load_pngs(itertools.chain(*frames))
    return images.reshape(len(frames), -1, *images.shape[1:])
