"""The camera convention of the whole package, and adapters from other conventions.

World: right-handed, +Z up, the object inside the sphere of radius 0.5 at the origin. A camera at
azimuth a, elevation e, radius r stands at r (cos e sin a, -cos e cos a, sin e) and looks at the
origin with +Z up. The front view is azimuth 0; positive azimuth moves the camera to the right side
of the front image; positive elevation looks down from above.

viewmats are world to camera with OpenCV axes (x right, y down, z forward); Ks are in pixels with
pixel centres at +0.5.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

FOV_DEG = 30.0
RADIUS = 0.5 / math.tan(math.radians(FOV_DEG / 2))  # 1.8660254: one unit fills the image
ZERO123PLUS_AZIMUTHS = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)
ZERO123PLUS_ELEVATIONS = {
    "v1.1": (30.0, -20.0, 30.0, -20.0, 30.0, -20.0),
    "v1.2": (20.0, -10.0, 20.0, -10.0, 20.0, -10.0),
}


@dataclass(frozen=True)
class Cameras:
    """C pinhole cameras that share an image size."""

    viewmats: Tensor  # [C, 4, 4] float32, world to camera, OpenCV axes
    Ks: Tensor  # [C, 3, 3] float32, pixels
    width: int  # pixels
    height: int  # pixels

    def __len__(self) -> int:
        return len(self.viewmats)

    def __getitem__(self, index) -> Cameras:
        """Select cameras; an integer selects one, which keeps its leading axis."""
        if isinstance(index, int):
            index = [index]
        return Cameras(self.viewmats[index], self.Ks[index], self.width, self.height)

    def resized(self, width: int, height: int) -> Cameras:
        """The same cameras with another image size, pixels; the field of view is unchanged."""
        scale = self.Ks.new_tensor([width / self.width, height / self.height, 1.0])
        return Cameras(self.viewmats, self.Ks * scale[None, :, None], width, height)

    def to(self, device: torch.device | str) -> Cameras:
        """The same cameras with their tensors on a device."""
        return Cameras(self.viewmats.to(device), self.Ks.to(device), self.width, self.height)

    def centres(self) -> Tensor:
        """Camera positions in the world, [C, 3]."""
        rotation, translation = self.viewmats[:, :3, :3], self.viewmats[:, :3, 3]
        return -(rotation.transpose(1, 2) @ translation[..., None])[..., 0]


def concatenate(parts: Sequence[Cameras]) -> Cameras:
    """Concatenate sets of cameras. Raises ValueError if their image sizes differ."""
    sizes = {(part.width, part.height) for part in parts}
    if len(sizes) != 1:
        raise ValueError(f"cameras of one set share an image size, got {sorted(sizes)}")
    width, height = sizes.pop()
    viewmats = torch.cat([part.viewmats for part in parts])
    return Cameras(viewmats, torch.cat([part.Ks for part in parts]), width, height)


def orbit_cameras(
    azimuths_deg: Sequence[float],
    elevations_deg: Sequence[float] | float = 0.0,
    *,
    size: int,  # pixels, square images
    radius: float = RADIUS,
    fov_deg: float = FOV_DEG,  # full field of view, horizontal and vertical
) -> Cameras:
    """Cameras on the orbit, one per azimuth; a single elevation is shared by all."""
    azimuth = torch.deg2rad(torch.as_tensor(azimuths_deg, dtype=torch.float64))
    elevation = torch.deg2rad(torch.as_tensor(elevations_deg, dtype=torch.float64))
    azimuth, elevation = torch.broadcast_tensors(torch.atleast_1d(azimuth), elevation)
    sin_a, cos_a, sin_e, cos_e = azimuth.sin(), azimuth.cos(), elevation.sin(), elevation.cos()
    zero = torch.zeros_like(azimuth)
    right = torch.stack([cos_a, sin_a, zero], -1)
    down = torch.stack([sin_e * sin_a, -sin_e * cos_a, -cos_e], -1)
    forward = torch.stack([-cos_e * sin_a, cos_e * cos_a, -sin_e], -1)
    viewmats = torch.eye(4, dtype=torch.float64).repeat(len(azimuth), 1, 1)
    viewmats[:, :3, :3] = torch.stack([right, down, forward], 1)
    viewmats[:, 2, 3] = radius  # the camera looks at the origin
    Ks = intrinsics(fov_deg, size, size).repeat(len(azimuth), 1, 1)
    return Cameras(viewmats.float(), Ks, size, size)


def intrinsics(fov_deg: float, width: int, height: int) -> Tensor:
    """K [3, 3] of a centred pinhole with square pixels; fov_deg is vertical."""
    focal = height / 2 / math.tan(math.radians(fov_deg / 2))
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def rig_cameras(size: int, version: str = "v1.2") -> Cameras:
    """The front camera (index 0) and the six cameras of Zero123++ (1 to 6)."""
    azimuths = (0.0, *ZERO123PLUS_AZIMUTHS)
    return orbit_cameras(azimuths, (0.0, *ZERO123PLUS_ELEVATIONS[version]), size=size)


def viewmat_from_opengl(c2w: Tensor) -> Tensor:
    """World to camera with OpenCV axes, from camera to world with OpenGL axes; [..., 4, 4].

    OpenGL cameras have x right, y up and point along -z: columns 1 and 2 change their sign.
    """
    flip = torch.diag(torch.tensor([1, -1, -1, 1], dtype=c2w.dtype))
    return torch.linalg.inv(c2w @ flip)


def read_case_cameras(path: Path) -> dict[str, Cameras]:
    """Read the cameras of a case folder's cameras.json by name ("input", "multiview/0", ...)."""
    cameras = {}
    for entry in json.loads(Path(path).read_text())["cameras"]:
        c2w = torch.tensor(entry["c2w_opengl"], dtype=torch.float64)
        width, height = entry["width"], entry["height"]
        K = _entry_intrinsics(entry, width, height)[None]
        viewmat = viewmat_from_opengl(c2w).float()[None]
        cameras[entry["name"]] = Cameras(viewmat, K, width, height)
    return cameras


def _entry_intrinsics(entry: dict, width: int, height: int) -> Tensor:
    """K [3, 3] of a camera given by fx, fy, cx, cy (pixels) or by its vertical fov_deg."""
    if "fx" not in entry:
        return intrinsics(entry["fov_deg"], width, height)
    fx, fy, cx, cy = (entry[name] for name in ("fx", "fy", "cx", "cy"))
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float32)


@dataclass(frozen=True)
class Similarity:
    """Similarity transform of a capture's coordinates to the world's:
    x -> scale * rotation @ (x - centre)."""

    scale: float  # world units per unit of the capture
    rotation: Tensor  # [3, 3] float64, determinant 1: nothing is mirrored
    centre: Tensor  # [3] float64, the point of the capture that becomes the world's origin

    def points(self, points: Tensor) -> Tensor:
        """Transform points [N, 3] of the capture to the world, float32."""
        return (self.scale * (points.double() - self.centre) @ self.rotation.T).float()

    def back(self, points: Tensor) -> Tensor:
        """Transform points [N, 3] of the world back to the capture, float32."""
        return (points.double() / self.scale @ self.rotation + self.centre).float()

    def cameras(self, cameras: Cameras) -> Cameras:
        """Transform cameras of the capture to the world; their images stay the same."""
        viewmats = cameras.viewmats.double().clone()
        rotation, translation = viewmats[:, :3, :3], viewmats[:, :3, 3]
        viewmats[:, :3, 3] = self.scale * (rotation @ self.centre + translation)
        viewmats[:, :3, :3] = rotation @ self.rotation.T
        return Cameras(viewmats.float(), cameras.Ks, cameras.width, cameras.height)

    def to_json(self) -> str:
        facts = {"scale": self.scale, "rotation": self.rotation.tolist()}
        return json.dumps(facts | {"centre": self.centre.tolist()})

    @classmethod
    def from_json(cls, text: str) -> Similarity:
        facts = json.loads(text)
        rotation, centre = (
            torch.tensor(facts[name], dtype=torch.float64) for name in ("rotation", "centre")
        )
        return cls(facts["scale"], rotation, centre)


def project(points: Tensor, cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Project world points [N, 3]: pixels [C, N, 2], and depths [C, N] along the optical axis."""
    rotation, translation = cameras.viewmats[:, :3, :3], cameras.viewmats[:, :3, 3]
    in_camera = points @ rotation.transpose(1, 2) + translation[:, None]
    depth = in_camera[..., 2]
    homogeneous = in_camera @ cameras.Ks.transpose(1, 2)
    return homogeneous[..., :2] / homogeneous[..., 2:].clamp(min=1e-6), depth


def save_cameras(path: Path, cameras: Cameras) -> None:
    """Write cameras as JSON: width, height, viewmats, Ks."""
    facts = {"width": cameras.width, "height": cameras.height}
    facts |= {"viewmats": cameras.viewmats.tolist(), "Ks": cameras.Ks.tolist()}
    path.write_text(json.dumps(facts))


def load_cameras(path: Path) -> Cameras:
    """Read what `save_cameras` wrote."""
    facts = json.loads(path.read_text())
    viewmats, Ks = torch.tensor(facts["viewmats"]), torch.tensor(facts["Ks"])
    return Cameras(viewmats, Ks, facts["width"], facts["height"])
