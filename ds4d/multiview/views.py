"""The views of a clip, and their files in a run folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from ..cameras import Cameras, Similarity, load_cameras, save_cameras
from ..clip.datasets import image_files
from ..errors import reading
from ..images import load_images, load_pngs, save_pngs
from ..mesh.io import save_npz, save_points_ply
from ..mesh.mesh import Mesh
from ..run.events import Stage
from ..splatting.splats import Splats, save_splats


@dataclass(frozen=True)
class MeshMaker:
    """A way to a mesh of a single frame, which the pipeline puts together of several stages."""

    run: Callable[[np.ndarray], Stage[Mesh]]  # of a frame [S, S, 4] uint8
    weights: tuple[str, ...]  # in the catalogue
    made_from: tuple[str, ...]  # settings that decide its result


# Files beside the images of the views, in multiview/ of a run folder.
CAMERAS_FILE = "cameras.json"
MESH_FILE = "surface.npz"  # Views.mesh
CAPTURE_FILE = "scene.json"  # Views.capture_to_world
POINTS_FILE = "points.ply"  # Views.cloud
CONFIDENCE_FILE = "confidence.npy"  # Views.confidence
SPLATS_FILE = "gaussians.npz"  # Views.splats


@dataclass(frozen=True)
class Views:
    """V views of each of T frames; view 0 is the real front view."""

    images: np.ndarray  # [T, V, S, S, 4] uint8 RGBA, straight alpha
    cameras: Cameras  # V cameras at S x S
    capture_to_world: Similarity | None = None  # of a multi-camera capture, where all are real
    cloud: tuple[Tensor, Tensor] | None = None  # of a capture: points [M, 3] and colours [M, 3]
    mesh: Mesh | None = None  # of the middle frame, if the views were rendered from meshes
    from_meshes: bool = False  # they were; known of views that were read from a run folder
    splats: Splats | None = None  # of the middle frame, if they were rendered from Gaussians
    confidence: np.ndarray | None = None  # [T, V] float32 in [0, 1], factors on losses; None = 1

    def save(self, folder: Path) -> None:
        """Write everything but the front images: views as 0000/0.png, 0000/1.png, ..., a folder
        per frame, and beside them cameras, mesh, transform, point cloud, Gaussians, confidence."""
        paths = []
        for frame in range(len(self.images)):
            (folder / f"{frame:04d}").mkdir(parents=True, exist_ok=True)
            paths += [folder / f"{frame:04d}" / f"{v}.png" for v in range(len(self.cameras) - 1)]
        save_pngs(paths, self.images[:, 1:].reshape(-1, *self.images.shape[2:]))
        save_cameras(folder / CAMERAS_FILE, self.cameras)
        if self.mesh is not None:
            save_npz(folder / MESH_FILE, self.mesh)
        if self.capture_to_world is not None:
            (folder / CAPTURE_FILE).write_text(self.capture_to_world.to_json())
        if self.cloud is not None:
            save_points_ply(folder / POINTS_FILE, *self.cloud)
        if self.splats is not None:
            save_splats(folder / SPLATS_FILE, self.splats)
        if self.confidence is not None:
            np.save(folder / CONFIDENCE_FILE, self.confidence)


def join(
    fronts: np.ndarray,  # [T, S, S, 4] uint8
    generated: np.ndarray,  # [T, V - 1, S, S, 4] uint8, the views other than the front
    cameras: Cameras,  # V
) -> Views:
    """Join the front frames with the other views of each."""
    return Views(np.concatenate([fronts[:, None], generated], axis=1), cameras)


def load_views(run: Path) -> Views:
    """Read the views of a run folder: frames/ holds the front, multiview/ what `Views.save` wrote.

    The mesh, the point cloud and the Gaussians are left on the disk.
    """
    folder = run / "multiview"
    with reading(folder):
        frames = [image_files(path) for path in sorted(folder.iterdir()) if path.is_dir()]
        images = load_pngs(itertools.chain(*frames))
        images = images.reshape(len(frames), -1, *images.shape[1:])
        views = join(load_images(run / "frames"), images, load_cameras(folder / CAMERAS_FILE))
        views = replace(views, from_meshes=(folder / MESH_FILE).exists())
        if (folder / CONFIDENCE_FILE).exists():
            views = replace(views, confidence=np.load(folder / CONFIDENCE_FILE))
        capture = folder / CAPTURE_FILE
        if not capture.exists():
            return views
        return replace(views, capture_to_world=Similarity.from_json(capture.read_text()))
