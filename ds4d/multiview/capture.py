"""Multi-camera captures: every view is a real camera with its own pose (paper section 5).

    cameras.json       "cameras": a list of name, width, height (pixels), c2w_opengl (4 x 4), and
                       fx, fy, cx, cy (pixels, pixel centres at +0.5) or fov_deg (vertical)
    views/CAMERA/      0000.png ...: the frames of the camera CAMERA (or views/CAMERA), opaque or
                       with a transparent background; all cameras are synchronized
    points3d.ply       optional: coloured points in the capture's coordinates, to start from

A case folder (input/, multiview/0000/0.png ...) with opaque views is a capture, too.

Images of any size are resampled to one square image size, each axis by its own factor, and the
intrinsics with them: a pinhole camera stays one, and nothing is cropped or padded.
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
from . import plane_sweep
from .views import Views

POINTS = "points3d.ply"
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")  # OpenCV's names; only pinholes are supported
INSIDE = 0.9  # share of the points that lie inside the unit box; the rest is background
MAX_SCALE = 0.5  # of a Gaussian, world units: distant background needs large ones
MIN_CAMERAS = 3  # for the plane sweep: a view and two others
MIN_POINTS = 16  # of a point cloud that can be normalised


@dataclass(frozen=True)
class MultiCameraCapture:
    """V synchronized cameras; camera 0 is the front view."""

    root: Path
    cameras: tuple[Cameras, ...]  # V times one camera, each at its own size
    files: tuple[tuple[Path, ...], ...]  # [V][frames]

    def __len__(self) -> int:
        return len(self.cameras)

    def image_size(self, largest: int) -> int:
        """Side of the square images, pixels: `largest`, or the largest camera's if that is less."""
        return min(largest, max(max(camera.width, camera.height) for camera in self.cameras))


def find(path: Path, config: MultiviewConfig) -> MultiCameraCapture | None:
    """Find the capture in a folder; None for anything else, and if its views are not to be used.

    Raises:
        UserError: frames or cameras are missing, or a camera is not a pinhole.
    """
    prepared = find_prepared(Path(path))
    if prepared is None or config.views == "none" or config.engine not in ("auto", "given"):
        return None
    if prepared.kind == "capture":
        names = listed_cameras(prepared.root)
        files = [_camera_frames(prepared.root / "views" / name) for name in names]
    elif prepared.kind == "case" and _opaque(prepared, config.views):
        listed = listed_cameras(prepared.root)
        names = [name for name in listed if name.startswith(("input", "multiview/"))]
        files = [_case_frames(prepared, name, config.views) for name in names]
    else:
        return None
    if len(names) < MIN_CAMERAS:
        raise UserError(
            f"The capture {prepared.root.name} has {len(names)} cameras.",
            f"It needs at least {MIN_CAMERAS}.",
        )
    for name, frames in zip(names, files, strict=True):
        if len(frames) != len(files[0]):
            raise UserError(
                f"The camera {name} has {len(frames)} frames, {names[0]} has {len(files[0])}.",
                "All cameras need the same number of frames.",
            )
    by_name = _read_cameras(prepared.root / "cameras.json")
    cameras = tuple(by_name[name] for name in names)
    return MultiCameraCapture(prepared.root, cameras, tuple(map(tuple, files)))


def square_frames(
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8
    size: int,
) -> np.ndarray:
    """Resample frames to square RGBA [T, size, size, 4] uint8; RGB frames become opaque."""
    return np.stack([_square(frame, size) for frame in frames])


def run(
    capture: MultiCameraCapture,
    clip: Clip,
    frames: np.ndarray,  # [T, size, size, 4] uint8, the front camera's sampled frames
    size: int,  # pixels
) -> Stage[Views]:
    """Read the sampled frames of all cameras, and normalise the capture to world coordinates.

    The result includes the point cloud: points3d.ply, or else that of a plane sweep.

    Raises:
        UserError: an image or points3d.ply cannot be read, or no points are found.
    """
    images = np.empty((len(frames), len(capture), size, size, 4), np.uint8)
    images[:, 0] = frames
    for step, index in enumerate(clip.indices):
        for view in range(1, len(capture)):
            images[step, view] = _square(_read_image(capture.files[view][index]), size)
        preview = tile(over(images[step, 1:]), columns=3)
        yield Event("multiview", step + 1, len(frames), f"cameras at frame {step + 1}", preview)
    cameras = concatenate([camera.resized(size, size) for camera in capture.cameras])
    points_file = capture.root / POINTS
    if points_file.is_file():
        points, colors = read_points(points_file)
    else:
        yield Event("multiview", message="triangulating points by a plane sweep")
        points, colors = plane_sweep.points(images[len(images) // 2], cameras)
    to_world = normalization(points, cameras)
    return Views(
        images, to_world.cameras(cameras), capture_to_world=to_world,
        cloud=(to_world.points(points), colors),
    )  # fmt: skip


def normalization(
    points: Tensor,  # [N, 3] in the capture's coordinates
    cameras: Cameras,
) -> Similarity:
    """Transform to world coordinates: most points in the unit box, upright, front at azimuth 0.

    The up direction is the mean of the cameras' own.
    """
    rotations = cameras.viewmats[:, :3, :3].double()
    up = torch.nn.functional.normalize(-rotations[:, 1].mean(0), dim=0)
    forward = rotations[0, 2] - (rotations[0, 2] @ up) * up
    if forward.norm() < 1e-3:  # the front camera points straight down
        forward = -rotations[0, 1] - (-rotations[0, 1] @ up) * up
    forward = torch.nn.functional.normalize(forward, dim=0)
    rotation = torch.stack([torch.linalg.cross(forward, up), forward, up])
    centre = points.double().median(0).values
    extent = ((points.double() - centre) @ rotation.T).abs().amax(-1).quantile(INSIDE)
    return Similarity(0.5 / float(extent), rotation, centre)


def optimization_settings(config: FourdConfig) -> FourdConfig:
    """Adapt optimization settings to a capture.

    All views are real: they get equal weights (the front's, if the preset gives others no
    photometric loss), frames are sampled equally often, colours are constant, and there is no score
    distillation. Distant background may have large Gaussians.
    """
    rgb, alpha = config.view_rgb or config.front_rgb, config.view_alpha or config.front_alpha
    smallest, largest = config.prune_scales
    return replace(
        config, front_always=False, front_rgb=rgb, view_rgb=rgb, front_alpha=alpha,
        view_alpha=alpha, hard_frames=0.0, color_knots=0, sds=0.0,
        prune_scales=(smallest, max(largest, MAX_SCALE)),
    )  # fmt: skip


def read_points(path: Path) -> tuple[Tensor, Tensor]:
    """Read points [N, 3] and colours [N, 3] in [0, 1] of any PLY file; grey if it has no colours.

    Raises:
        UserError: the file cannot be read, or has too few points.
    """
    import trimesh

    try:
        cloud = trimesh.load(path, process=False)
        points = torch.as_tensor(np.array(cloud.vertices), dtype=torch.float32)
    except Exception as error:  # trimesh's parsers raise exceptions of all kinds
        raise UserError(
            f"{path.name} cannot be read: {error}.", "It should be a PLY file."
        ) from error
    finite = points.isfinite().all(-1)
    if finite.sum() < MIN_POINTS:
        raise UserError(f"{path.name} has too few points.", "Remove it, or export it again.")
    colors = getattr(cloud, "colors", None)
    if colors is None or len(colors) != len(points):
        return points[finite], torch.full((int(finite.sum()), 3), 0.5)
    return points[finite], torch.from_numpy(np.array(colors)[:, :3]).float()[finite] / 255


def _read_cameras(path: Path) -> dict[str, Cameras]:
    """Read cameras.json: cameras by name, without the prefix views/.

    Raises:
        UserError: an entry is incomplete, or has lens distortion.
    """
    try:
        for entry in json.loads(path.read_text())["cameras"]:
            distortion = [name for name in DISTORTION if entry.get(name)]
            if distortion:
                raise UserError(
                    f"The camera {entry['name']} has lens distortion: {', '.join(distortion)}.",
                    "Undistort its images first.",
                )
        cameras = read_case_cameras(path)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"The cameras of {path.parent.name} cannot be read: {error}.",
            "Each needs name, width, height, c2w_opengl, and fx, fy, cx, cy or fov_deg.",
        ) from error
    return {name.removeprefix("views/"): camera for name, camera in cameras.items()}


def _opaque(prepared: Prepared, views: str) -> bool:
    """True if a case has cameras, and its views are opaque."""
    from PIL import Image

    first = prepared.view_paths(0, views)[0]
    if not first.exists() or not (prepared.root / "cameras.json").is_file():
        return False
    try:
        with Image.open(first) as image:
            return not image.has_transparency_data
    except (OSError, SyntaxError):
        return False  # reading the views reports it


def _camera_frames(folder: Path) -> list[Path]:
    """Frames of one camera in order; raises UserError if the folder is missing."""
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder.parent.name}/{folder.name} with the frames of a camera.",
            "Add it, or remove the camera from cameras.json.",
        )
    return image_files(folder)


def _case_frames(prepared: Prepared, name: str, views: str) -> list[Path]:
    """Frames of one camera of a case folder: "input" or "multiview/NUMBER"."""
    if name == "input":
        return list(prepared.fronts)
    number = name.removeprefix("multiview/")
    folder = prepared.views_folder(views)
    files = [folder / front.stem / f"{number}.png" for front in prepared.fronts]
    return [file for file in files if file.exists()]


def _read_image(path: Path) -> np.ndarray:
    """Read an image as [H, W, 3 or 4] uint8; raises UserError if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    except (OSError, SyntaxError) as error:
        raise UserError(f"The image {path} cannot be read.", "Replace it.") from error


def _square(image: np.ndarray, size: int) -> np.ndarray:
    """Resample an image [H, W, 3 or 4] to RGBA [size, size, 4] uint8."""
    if image.shape[-1] == 4:
        return resized(image, size)
    shrinks = size < max(image.shape[:2])
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    rgb = cv2.resize(image, (size, size), interpolation=interpolation)
    return np.dstack([rgb, np.full((size, size), 255, np.uint8)])
