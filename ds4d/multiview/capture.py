"""Scenes: every view is a real camera with a pose and intrinsics of its own (paper section 5).

    cameras.json       "cameras": a list of name, width, height (pixels), c2w_opengl (4 x 4), and
                       fx, fy, cx, cy (pixels, pixel centres at +0.5) or fov_deg (vertical)
    views/CAMERA/      0000.png ...: what the camera CAMERA (or views/CAMERA) saw, opaque or with a
                       transparent background; every camera has as many frames, taken together
    points3d.ply       optional: coloured points in the world of the cameras, to start from

A case folder (input/, multiview/0000/0.png ...) is a scene, too, where its views are opaque.

Pictures of any size are resampled to one square, each axis by its own factor, and the intrinsics
with them: a pinhole stays one, no pixel is lost, and none is made up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..cameras import Cameras, Similarity, concatenate, read_case_cameras
from ..clip import Clip, resized
from ..clip.datasets import Prepared, find_prepared, image_files, listed_cameras
from ..config import FourdConfig, MultiviewConfig
from ..errors import UserError
from ..images import over, tile
from ..run.events import Event, Stage
from . import Views, plane_sweep

POINTS = "points3d.ply"
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")  # of a lens; ours are pinholes
REACH = 0.9  # share of the points that come to lie inside our unit box
LARGEST = 0.5  # world units: what is far away is drawn by large Gaussians


@dataclass(frozen=True)
class Scene:
    """V cameras that watched a scene together; camera 0 is the front view."""

    root: Path
    cameras: tuple[Cameras, ...]  # V times one camera, each at its own size
    files: tuple[tuple[Path, ...], ...]  # [V][frames]

    def __len__(self) -> int:
        return len(self.cameras)

    def side(self, most: int) -> int:
        """Pixels along the sides of all pictures here: no more than the largest camera has."""
        return min(most, max(max(camera.width, camera.height) for camera in self.cameras))


def find(path: Path, config: MultiviewConfig) -> Scene | None:
    """The scene in a folder; None for anything else, and where its views shall not be used.

    Raises:
        UserError: frames or cameras are missing, or a camera is not a pinhole.
    """
    prepared = find_prepared(Path(path))
    if prepared is None or config.views == "none" or config.engine not in ("auto", "given"):
        return None
    if prepared.kind == "scene":
        names = listed_cameras(prepared.root)
        files = [_frames(prepared.root / "views" / name) for name in names]
    elif prepared.kind == "case" and _opaque(prepared, config.views):
        names = [n for n in listed_cameras(prepared.root) if n.startswith(("input", "multiview/"))]
        files = [_case_frames(prepared, name, config.views) for name in names]
    else:
        return None
    if len(names) < 3:
        raise UserError(
            f"The scene {prepared.root.name} has {len(names)} cameras.", "Three are the fewest."
        )
    for name, frames in zip(names, files, strict=True):
        if len(frames) != len(files[0]):
            raise UserError(
                f"The camera {name} has {len(frames)} frames, {names[0]} has {len(files[0])}.",
                "Every camera needs a frame for every moment.",
            )
    known = _read(prepared.root / "cameras.json")
    return Scene(prepared.root, tuple(known[name] for name in names), tuple(map(tuple, files)))


def whole(
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8
    size: int,
) -> np.ndarray:
    """Frames of one camera, nothing cut out: [T, size, size, 4] uint8, opaque unless transparent
    before."""
    return np.stack([_square(frame, size) for frame in frames])


def run(
    scene: Scene,
    clip: Clip,
    frames: np.ndarray,  # [T, S, S, 4] uint8, the front camera's sampled frames
    size: int,
) -> Stage[Views]:
    """Read all cameras' pictures of the sampled frames, and move the scene into our world."""
    images = np.empty((len(frames), len(scene), size, size, 4), np.uint8)
    images[:, 0] = frames
    for step, index in enumerate(clip.indices):
        for view in range(1, len(scene)):
            images[step, view] = _square(_pixels(scene.files[view][index]), size)
        picture = tile(over(images[step, 1:]), columns=3)
        yield Event("multiview", step + 1, len(frames), f"cameras at frame {step + 1}", picture)
    cameras = concatenate([camera.resized(size, size) for camera in scene.cameras])
    listed = scene.root / POINTS
    if listed.is_file():
        points, colors = read_points(listed)
    else:
        yield Event("multiview", message="looking for places on which the cameras agree")
        points, colors = plane_sweep.points(images[len(images) // 2], cameras)
    placement = place(points, cameras)
    cloud = placement.points(points), colors
    return Views(images, placement.cameras(cameras), scene=placement, cloud=cloud)


def place(
    points: Tensor,  # [N, 3] places of the scene
    cameras: Cameras,
) -> Similarity:
    """The move that brings most points into our unit box, stands the scene upright and turns the
    front camera to azimuth 0. Up is the mean of what is up in the cameras' pictures."""
    turns = cameras.viewmats[:, :3, :3].double()
    up = torch.nn.functional.normalize(-turns[:, 1].mean(0), dim=0)
    forward = turns[0, 2] - (turns[0, 2] @ up) * up
    if forward.norm() < 1e-3:  # the front camera looks straight down
        forward = -turns[0, 1] - (-turns[0, 1] @ up) * up
    forward = torch.nn.functional.normalize(forward, dim=0)
    rotation = torch.stack([torch.linalg.cross(forward, up), forward, up])
    centre = points.double().median(0).values
    extent = ((points.double() - centre) @ rotation.T).abs().amax(-1).quantile(REACH)
    return Similarity(0.5 / float(extent), rotation, centre)


def settings(config: FourdConfig) -> FourdConfig:
    """The optimization of a scene: every view is real, so that all count alike (as the front does
    where the others have no photometric loss), none is judged by what a network would draw, and the
    background may be coarse."""
    rgb, alpha = config.view_rgb or config.front_rgb, config.view_alpha or config.front_alpha
    smallest, largest = config.prune_scales
    return replace(
        config, front_always=False, front_rgb=rgb, view_rgb=rgb, front_alpha=alpha,
        view_alpha=alpha, sds=0.0, prune_scales=(smallest, max(largest, LARGEST)),
    )  # fmt: skip


def read_points(path: Path) -> tuple[Tensor, Tensor]:
    """Points [N, 3] and colours [N, 3] in [0, 1] of any PLY; grey where it has no colours.

    Raises UserError for a file without points.
    """
    import trimesh

    try:
        cloud = trimesh.load(path, process=False)
        points = torch.as_tensor(np.array(cloud.vertices), dtype=torch.float32)
    except Exception as error:  # trimesh raises whatever its parser stumbles over
        raise UserError(f"{path.name} cannot be read: {error}.", "It should be a PLY.") from error
    fine = points.isfinite().all(-1)
    if fine.sum() < 16:
        raise UserError(f"{path.name} holds too few points.", "Take it away, or export it again.")
    colors = getattr(cloud, "colors", None)
    if colors is None or len(colors) != len(points):
        return points[fine], torch.full((int(fine.sum()), 3), 0.5)
    return points[fine], torch.from_numpy(np.array(colors)[:, :3]).float()[fine] / 255


def _read(path: Path) -> dict[str, Cameras]:
    try:
        for entry in json.loads(path.read_text())["cameras"]:
            bent = [name for name in DISTORTION if entry.get(name)]
            if bent:
                raise UserError(
                    f"The camera {entry['name']} has a lens that bends lines: {', '.join(bent)}.",
                    "Undistort its pictures first.",
                )
        cameras = read_case_cameras(path)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"The cameras of {path.parent.name} cannot be understood: {error}.",
            "Each needs name, width, height, c2w_opengl, and fx, fy, cx, cy or fov_deg.",
        ) from error
    return {name.removeprefix("views/"): camera for name, camera in cameras.items()}


def _opaque(prepared: Prepared, views: str) -> bool:
    """Whether a case has cameras and its views have a background."""
    from PIL import Image

    first = prepared.view_paths(0, views)[0]
    if not first.exists() or not (prepared.root / "cameras.json").is_file():
        return False
    try:
        with Image.open(first) as image:
            return not image.has_transparency_data
    except (OSError, SyntaxError):
        return False  # whoever reads the views says so


def _frames(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder.parent.name}/{folder.name} with the frames of a camera.",
            "Add it, or take the camera out of cameras.json.",
        )
    return image_files(folder)


def _case_frames(prepared: Prepared, name: str, views: str) -> list[Path]:
    if name == "input":
        return list(prepared.fronts)
    number = name.removeprefix("multiview/")
    files = [prepared.views_folder(views) / f.stem / f"{number}.png" for f in prepared.fronts]
    return [file for file in files if file.exists()]


def _pixels(path: Path) -> np.ndarray:
    """A picture as [H, W, 3 or 4] uint8."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    except (OSError, SyntaxError) as error:
        raise UserError(f"The picture {path} cannot be read.", "Replace it.") from error


def _square(image: np.ndarray, size: int) -> np.ndarray:
    """[H, W, 3 or 4] -> [size, size, 4] uint8."""
    if image.shape[-1] == 4:
        return resized(image, size)
    shrinks = size < max(image.shape[:2])
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = cv2.resize(image, (size, size), interpolation=how)
    return np.dstack([small, np.full((size, size), 255, np.uint8)])
