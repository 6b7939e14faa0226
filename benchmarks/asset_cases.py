"""Cases with ground truth from held-out objects: python -m benchmarks.asset_cases ASSETS FOLDER

Twelve animated objects on which the shape prior was not trained, each at a random azimuth, drawn
from their meshes with exact alpha: the input and the depth of its first surface, the six views of
every frame, held-out cameras and points on the surface; and the mesh of the middle frame, with its
vertices in all frames. ASSETS holds the files that training/shape_prior/README.md describes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import tyro
from torch.nn.functional import avg_pool2d
from tyro.conf import Positional

from ds4d.cameras import Cameras, concatenate, orbit_cameras, rig_cameras
from ds4d.images import save_pngs
from ds4d.mesh.io import save_glb
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.visibility import hits, visible_faces
from examples.make_case import FRAMES, HELD_OUT, write_cameras
from training.shape_prior.assets import (
    CLIP_POSES,
    Asset,
    read_folder,
    split,
    surface_points,
    texture_colors,
)

NAMES = (
    "Stag", "Llama", "Raccoon", "Pig", "Stegosaurus", "Rat", "GoblinShark", "Eagle", "Deer",
    "Dragon", "Knight", "Beach",
)  # fmt: skip
LIGHT = np.array([-0.4, -0.7, 0.6]) / np.linalg.norm([-0.4, -0.7, 0.6])  # towards it, world
AMBIENT = 0.6  # share of the light that comes from everywhere
RADIUS = 0.48  # world units: a sphere of 0.5 fills the image
POINTS = 4000  # on the surface, which are tracked


def make(
    assets: Positional[Path],
    folder: Positional[Path],
    names: tuple[str, ...] = NAMES,
    size: int = 256,
    seed: int = 0,
) -> None:
    """Draw cases.

    Args:
        assets: folder of objects_*.npz and clips_*.npz.
        folder: gets a case folder for each object.
        names: file names of the objects, without their endings.
        size: side of the images, pixels.
        seed: of the azimuths.
    """
    _, held_out = split(read_folder(assets))
    for asset in held_out:
        name = Path(asset.about["path"]).stem
        if name in names and asset.clips:
            turn = 2 * np.pi * np.random.default_rng([seed, names.index(name)]).random()
            draw_case(asset, turn, folder / name.lower(), size)
            print(f"{name}: turned by {np.degrees(turn):.0f} degrees", flush=True)


def draw_case(asset: Asset, turn: float, folder: Path, size: int) -> None:
    """Draw the liveliest clip of an object that is turned to the left by an angle, radians."""
    poses = turned(centred(interpolated(liveliest(asset))), turn)  # [FRAMES, V, 3]
    cameras = concatenate([rig_cameras(size), orbit_cameras(HELD_OUT, size=size)])
    names = ["input", *(f"multiview/{view}" for view in range(6))]
    names += [f"heldout/az{azimuth:+04d}" for azimuth in HELD_OUT]
    for frame, vertices in enumerate(poses):
        paths = [folder / f"input/{frame:04d}.png"]
        paths += [folder / f"multiview/{frame:04d}/{view}.png" for view in range(6)]
        paths += [folder / f"{name}/{frame:04d}.png" for name in names[7:]]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        save_pngs(paths, draw(asset, vertices, cameras))
    depths = np.stack([front_depth(pose, asset.faces, cameras[:1]) for pose in poses])
    np.savez_compressed(folder / "gt_depths.npz", depths=depths)
    corners, weights = (array.numpy() for array in surface_points(asset, POINTS)[:2])
    tracks = (poses[:, corners] * weights[..., None]).sum(2)
    np.savez_compressed(folder / "gt_vertices.npz", vertices=tracks.astype(np.float16))
    write_mesh(folder, asset, poses)
    write_cameras(folder / "cameras.json", names, cameras, FRAMES)


def write_mesh(folder: Path, asset: Asset, poses: np.ndarray) -> None:
    """Write mesh_middle.glb, with the colours of the corners of its triangles, and gt_mesh.npz: its
    vertices [T, M, 3] float16 in all poses [T, V, 3]."""
    face = torch.arange(len(asset.faces)).repeat_interleave(3)
    corners = torch.from_numpy(asset.faces)[face]
    # Slightly inside the triangle, where its own colours are.
    weights = (0.9 * torch.eye(3) + 0.1 / 3).repeat(len(asset.faces), 1)
    colors = torch.from_numpy(asset.face_colors)[face].float()
    if asset.atlas is not None:
        colors = colors * texture_colors(asset, face, corners, weights) / 255
    rows = np.concatenate([asset.faces.reshape(-1, 1), colors.round().long().numpy()], 1)
    rows, faces = np.unique(rows, axis=0, return_inverse=True)
    tracks = poses[:, rows[:, 0]]
    mesh = Mesh.from_arrays(tracks[len(poses) // 2], faces.reshape(-1, 3), rows[:, 1:] / 255)
    save_glb(folder / "mesh_middle.glb", mesh)
    np.savez_compressed(folder / "gt_mesh.npz", vertices=tracks.astype(np.float16))


def liveliest(asset: Asset) -> np.ndarray:
    """Poses [CLIP_POSES, V, 3] of the clip whose vertices move most."""
    clips = asset.poses.reshape(asset.clips, CLIP_POSES, -1, 3)
    return clips[clips.std(1).mean((1, 2)).argmax()]


def interpolated(moments: np.ndarray) -> np.ndarray:
    """Catmull-Rom splines [FRAMES, V, 3] through moments [M, V, 3], from the first to the last."""
    padded = np.concatenate([moments[:1], moments, moments[-1:]])
    times = np.linspace(0, len(moments) - 1, FRAMES)
    start = np.minimum(times.astype(int), len(moments) - 2)
    t = (times - start)[:, None, None]
    a, b, c, d = (padded[start + k] for k in range(4))
    return b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def centred(poses: np.ndarray) -> np.ndarray:
    """Poses [T, V, 3] moved and scaled as one, so that their box is centred at the origin and all
    vertices are within RADIUS of it."""
    low, high = poses.min((0, 1)), poses.max((0, 1))
    poses = poses - (low + high) / 2
    return poses * RADIUS / np.linalg.norm(poses, axis=-1).max()


def turned(poses: np.ndarray, angle: float) -> np.ndarray:
    """Poses [..., 3] turned about the vertical axis, anticlockwise seen from above."""
    cos, sin = np.cos(angle), np.sin(angle)
    return (poses @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])).astype(np.float32)


def front_depth(vertices: np.ndarray, faces: np.ndarray, camera: Cameras) -> np.ndarray:
    """Depth [S, S] float32 of a mesh's first surface along the optical axis; infinite beside it."""
    mesh = Mesh.from_arrays(vertices, faces, np.ones((len(vertices), 3)))
    return hits(mesh, camera).depth[0].astype(np.float32)


def draw(asset: Asset, vertices: np.ndarray, cameras: Cameras) -> np.ndarray:
    """Lit images [C, S, S, 4] uint8 of one pose [V, 3], straight alpha, four samples a pixel."""
    fine = cameras.resized(2 * cameras.width, 2 * cameras.height)
    corners = vertices[asset.faces].astype(np.float64)  # [F, 3, 3]
    mesh = Mesh.from_arrays(vertices, asset.faces, np.ones(vertices.shape))
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    samples = np.zeros((len(fine), fine.height, fine.width, 4), np.float32)
    for index, faces in enumerate(visible_faces(mesh, fine)):
        row, column = np.nonzero(faces >= 0)
        face = faces[row, column]
        centre = fine.centres()[index].double().numpy()
        rays = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], 1)
        rays = rays @ torch.linalg.inv(fine.Ks[index].double()).T.numpy()
        rays = rays @ fine.viewmats[index, :3, :3].double().numpy()
        # The ray's coefficients in the directions of the corners, by Cramer's rule.
        a, b, c = np.moveaxis(corners[face] - centre, 1, 0)
        volumes = [(rays * np.cross(*pair)).sum(1) for pair in ((b, c), (c, a), (a, b))]
        weights = np.stack(volumes, 1) / (np.sum(volumes, 0) + 1e-30)[:, None]
        weights = np.clip(weights, 0, 1)
        colors = asset.face_colors[face] / 255
        if asset.atlas is not None:
            hit = (torch.from_numpy(array) for array in (face, asset.faces[face], weights))
            colors = colors * texture_colors(asset, *hit).numpy() / 255
        facing = normals[face] * -np.sign((normals[face] * rays).sum(1, keepdims=True))
        light = AMBIENT + (1 - AMBIENT) * np.maximum(facing @ LIGHT, 0)
        samples[index, row, column, :3] = colors * light[:, None]
        samples[index, row, column, 3] = 1
    image = avg_pool2d(torch.from_numpy(samples).movedim(-1, 1), 2).movedim(1, -1).numpy()
    image[..., :3] /= np.maximum(image[..., 3:], 1e-4)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    tyro.cli(make, description=__doc__)
