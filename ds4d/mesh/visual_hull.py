"""The embedded mesh engine: carve the object out of a block with the silhouettes of its views.

Each silhouette becomes a field of signed distances; a place in space is as deep inside the object
as the strictest view says (Laurentini 1994, the visual hull). Generated views disagree with each
other, and the strict rule lets one wrong view eat a thin limb. So the front view, which is real,
is obeyed everywhere, and where carving leaves the pixels of the front or of several other views
without anything to explain them, the strictest of the other views is overruled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes
from torch import Tensor

from ..cameras import Cameras, orbit_cameras, project
from ..errors import UserError
from ..run.events import Event, Stage
from . import Mesh

HALF = 0.51  # half the side of the block, world units: the object is inside the 0.5 sphere
SMOOTHING = 0.4  # Gaussian over the carved field, cells
STEPS = 4


@dataclass(frozen=True)
class Block:
    """Depth inside the object, positive inside, at the cells of a box."""

    field: Tensor  # [X, Y, Z] world units
    low: Tensor  # [3] place of the first cell
    cell: float  # world units

    def centres(self) -> Tensor:
        """Places of the cells, [X, Y, Z, 3]."""
        axes = [
            low + self.cell * torch.arange(n)
            for low, n in zip(self.low, self.field.shape, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def run(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    resolution: int,  # the box around the object gets as many cells as a cube of this side
) -> Stage[Mesh]:
    """Carve the mesh of one moment; the last event's metrics hold the front silhouette's iou.

    Raises UserError where the front view shows no object or the views have nothing in common.
    """
    if (images[0, ..., 3] > 127).sum() < 16:
        raise UserError(
            "No object is visible in the middle frame.",
            "Check the mattes, or choose a clip whose object stays in the picture.",
        )
    yield Event("mesh", 0, STEPS, "carving the silhouettes")
    silhouettes = _signed_distances(images, cameras)  # [V, S, S]
    block = yield from _carve(_bounds(silhouettes, cameras, resolution), silhouettes, cameras)
    yield Event("mesh", 1, STEPS, "drawing the surface")
    block = _without_floaters(block, cameras)
    vertices, faces, normals = _surface(block)
    iou = _front_iou(block, images[0], cameras)
    yield Event("mesh", 2, STEPS, "colouring the surface", metrics={"iou": iou})
    colors = yield from _colors(vertices, normals, block, images, silhouettes, cameras)
    mesh = Mesh(vertices, faces, colors)
    yield Event("mesh", 3, STEPS, "drawing the preview")
    yield Event(
        "mesh", STEPS, STEPS, f"{len(vertices)} vertices, front silhouette IoU {iou:.3f}",
        preview=_preview(mesh, normals, block), metrics={"iou": iou, "vertices": len(vertices)},
    )  # fmt: skip
    return mesh


def _signed_distances(images: np.ndarray, cameras: Cameras) -> Tensor:
    """Depth inside each silhouette (negative outside) in world units at the origin, [V, S, S]."""
    fields = []
    for image, K, viewmat in zip(images, cameras.Ks, cameras.viewmats, strict=True):
        inside = (image[..., 3] > 127).astype(np.uint8)
        deep = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        far = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # A picture without an edge has no nearest pixel of the other kind: it is deep everywhere.
        pixels = np.where(inside > 0, deep - 0.5, 0.5 - far).clip(-len(image), len(image))
        edge = np.abs(pixels) < 1  # there the alpha knows the place within the pixel
        pixels[edge] = image[..., 3][edge] / 255 - 0.5
        pixels = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), 0.7)
        fields.append(torch.from_numpy(pixels) * (viewmat[2, 3] / K[0, 0]))
    return torch.stack(fields)


def _look_up(maps: Tensor, pixels: Tensor, cameras: Cameras) -> Tensor:
    """Bilinear values [C, K, N] of maps [C, K, h, w] at the cameras' pixels [C, N, 2]."""
    size = torch.tensor([cameras.width, cameras.height])
    places = (2 * pixels / size - 1)[:, :, None]
    return F.grid_sample(maps, places, align_corners=False, padding_mode="border")[..., 0]


def _votes(block: Block, silhouettes: Tensor, cameras: Cameras) -> Tensor:
    """How deep inside each view's silhouette each cell lies, [V, X, Y, Z]."""
    pixels, _ = project(block.centres().reshape(-1, 3), cameras)
    return _look_up(silhouettes[:, None], pixels, cameras).reshape(-1, *block.field.shape)


def _milder(votes: Tensor) -> Tensor:
    """The strictest vote when the strictest of the views beside the front has no say."""
    return torch.minimum(votes[0], votes[1:].topk(2, 0, largest=False).values[1])


def _bounds(silhouettes: Tensor, cameras: Cameras, resolution: int) -> Block:
    """An empty block around everything that the front and all but one of the others allow."""
    rough = Block(torch.zeros(48, 48, 48), torch.full((3,), -HALF), 2 * HALF / 47)
    votes = _votes(rough, silhouettes, cameras)
    # A diagonal of tolerance: a thin limb may run between the rough cells.
    places = torch.nonzero(_milder(votes) > -rough.cell)
    if len(places) == 0:
        raise _nothing_in_common()
    low = rough.low + rough.cell * (places.amin(0) - 1)
    high = rough.low + rough.cell * (places.amax(0) + 1)
    cell = float((high - low).prod()) ** (1 / 3) / resolution
    shape = ((high - low) / cell).ceil().int().tolist()
    return Block(torch.zeros(shape), low, cell)


def _carve(block: Block, silhouettes: Tensor, cameras: Cameras) -> Stage[Block]:
    """Fill the block with each cell's strictest vote that must count, lightly smoothed."""
    pixels, _ = project(block.centres().reshape(-1, 3), cameras)
    votes = _votes(block, silhouettes, cameras)
    strict, missing = replace(block, field=votes.amin(0)), []
    for view, silhouette in enumerate(silhouettes):
        missing.append(_unexplained(strict, silhouette, cameras[view]))
        yield Event("mesh", 0, STEPS, "asking every view what carving left unexplained")
    missed = _look_up(torch.stack(missing)[:, None], pixels, cameras).reshape(votes.shape)
    needed = (missed[0] > 0.5) | (missed[1:].sum(0) >= 2)
    field = torch.where(needed, _milder(votes), strict.field)
    smooth = ndimage.gaussian_filter(field.numpy(), SMOOTHING)
    return replace(block, field=torch.from_numpy(smooth))


def _unexplained(block: Block, silhouette: Tensor, camera: Cameras) -> Tensor:
    """Where a view shows the object and the block has nothing, 0 or 1, a bit widened, [s, s]."""
    shown = F.avg_pool2d(silhouette[None], 2)[0]
    # A rim below one cell is the price of the grid, not a missing part.
    row, column = torch.nonzero(shown > 0.75 * block.cell, as_tuple=True)
    highest, _ = cast(block, camera, 2 * torch.stack([column, row], -1) + 1)
    missing = torch.zeros_like(shown)
    missing[row, column] = (highest <= 0).float()
    return F.max_pool2d(missing[None], 5, stride=1, padding=2)[0]


def cast(
    block: Block,
    camera: Cameras,  # one
    pixels: Tensor,  # [N, 2]
) -> tuple[Tensor, Tensor]:
    """Follow the rays of N pixels: the field's maximum on each (0 where it leaves the block) and
    the depth where it first turns positive (infinity where it never does), both [N]."""
    size = block.cell * (torch.tensor(block.field.shape) - 1)
    homogeneous = torch.cat([pixels, torch.ones(len(pixels), 1)], -1)
    rays = homogeneous @ torch.linalg.inv(camera.Ks[0]).T @ camera.viewmats[0, :3, :3]
    rays, start = 2 * rays / size, 2 * (camera.centres()[0] - block.low) / size - 1
    corners = block.low + size * torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    _, reach = project(corners, camera)
    depths = torch.arange(float(reach.min().clamp(min=0.01)), float(reach.max()), block.cell / 2)

    volume = block.field.permute(2, 1, 0)[None, None]  # grid_sample wants z, y, x
    highest, first = torch.zeros(len(pixels)), torch.full((len(pixels),), torch.inf)
    for slab in depths.split(16):
        places = start + slab[:, None, None, None] * rays
        values = F.grid_sample(volume, places[None], align_corners=True)[0, 0, :, 0]
        highest = torch.maximum(highest, values.amax(0))
        hit = torch.where(values > 0, slab[:, None], torch.inf).amin(0)
        first = torch.minimum(first, hit)
    return highest, first


def _without_floaters(block: Block, cameras: Cameras) -> Block:
    """The block without the pieces that the front view does not need, largest pieces first."""
    labels, _ = ndimage.label(block.field.numpy() > 0, structure=np.ones((3, 3, 3)))
    volumes = np.bincount(labels.ravel())[1:]
    if not len(volumes):
        raise _nothing_in_common()
    size = round(0.5 / block.cell)  # a cell is never less than a pixel
    front, centres = cameras[0].resized(size, size), block.centres()
    covered = np.zeros((size, size), bool)
    kept = np.zeros(labels.shape, bool)
    for label in 1 + np.argsort(-volumes):
        piece = labels == label
        pixels, _ = project(centres[torch.from_numpy(piece)], front)
        column, row = pixels[0].numpy().astype(int).clip(0, size - 1).T
        shadow = np.zeros_like(covered)
        shadow[row, column] = True
        if (shadow & ~covered).sum() > 0.25 * shadow.sum():
            kept |= piece
            covered |= shadow
    dropped = torch.from_numpy((labels > 0) & ~kept)
    return replace(block, field=torch.where(dropped, -1e-3, block.field))


def _surface(block: Block) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices [M, 3], faces [F, 3] and unit normals [M, 3], both outward, of the zero level."""
    closed = np.pad(block.field.numpy(), 1, constant_values=-block.cell)
    vertices, faces, _, _ = marching_cubes(closed, 0.0, allow_degenerate=False)
    vertices = torch.from_numpy(vertices.astype(np.float32) - 1) * block.cell + block.low
    faces = torch.from_numpy(faces.astype(np.int64))
    corners = vertices[faces]
    if torch.linalg.det(corners).sum() < 0:  # six times the enclosed volume
        faces, corners = faces.flip(1), corners.flip(1)
    cross = torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1)
    normals = torch.zeros_like(vertices).index_add_(
        0, faces.flatten(), cross.repeat_interleave(3, 0)
    )
    return vertices, faces, F.normalize(normals, dim=-1)


def _front_iou(block: Block, image: np.ndarray, cameras: Cameras) -> float:
    shown = torch.from_numpy(image[..., 3] > 127).flatten()
    highest, _ = cast(block, cameras[0], _pixel_centres(cameras.width))
    return float(((highest > 0) & shown).sum() / ((highest > 0) | shown).sum())


def _pixel_centres(size: int) -> Tensor:
    """(u, v) of all pixels of a square image, row by row, [size * size, 2]."""
    axis = torch.arange(size) + 0.5
    return torch.cartesian_prod(axis, axis).flip(1)


def _colors(
    vertices: Tensor,
    normals: Tensor,
    block: Block,
    images: np.ndarray,
    silhouettes: Tensor,
    cameras: Cameras,
) -> Stage[Tensor]:
    """Colours [M, 3]: the robust mean over the views that see a vertex, the front view first."""
    pixels, depths = project(vertices, cameras)
    towards = F.normalize(cameras.centres()[:, None] - vertices, dim=-1)
    facing = (towards * normals).sum(-1).clamp(min=0)  # [V, M]
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    seen = _look_up(pictures, pixels, cameras)  # [V, 4, M]
    # The rim of a matte mixes object and background: trust what lies a few pixels inside.
    inside = _look_up(silhouettes[:, None], pixels, cameras)[:, 0]
    weights = facing**2 * (inside / 0.015).clamp(0.02, 1) * (seen[:, 3] > 0.5)
    for view in range(len(cameras)):
        faced = torch.nonzero(weights[view])[:, 0]
        _, nearest = cast(block, cameras[view], pixels[view, faced])
        weights[view, faced] *= depths[view, faced] < nearest + 2 * block.cell
        yield Event("mesh", 2, STEPS, "colouring the surface")
    weights[0] *= 8

    colors = seen[:, :3].permute(0, 2, 1)  # [V, M, 3]
    trust = weights
    for _ in range(3):  # views that contradict the mean lose their say
        mean = (trust[..., None] * colors).sum(0) / trust.sum(0).clamp(min=1e-8)[:, None]
        trust = weights * torch.exp(-((colors - mean) ** 2).sum(-1) / 0.05)
    known = weights.sum(0) > 1e-4
    if not known.all():  # what no view sees continues its surroundings
        _, nearest = cKDTree(vertices[known].numpy()).query(vertices[~known].numpy(), k=4)
        mean[~known] = mean[known][nearest].mean(1)
    return mean.clamp(0, 1)


def _preview(mesh: Mesh, normals: Tensor, block: Block, size: int = 192) -> np.ndarray:
    """The mesh from the front, the right and behind, lightly shaded, next to each other."""
    tree, panels = cKDTree(mesh.vertices.numpy()), []
    pixels = _pixel_centres(size)
    for azimuth in (0.0, 90.0, 180.0):
        camera = orbit_cameras([azimuth], 10.0, size=size)
        _, depth = cast(block, camera, pixels)
        hit = depth.isfinite()
        flat = torch.cat([pixels[hit], torch.ones(int(hit.sum()), 1)], -1)
        in_camera = flat @ torch.linalg.inv(camera.Ks[0]).T * depth[hit, None]
        rotation, translation = camera.viewmats[0, :3, :3], camera.viewmats[0, :3, 3]
        _, nearest = tree.query(((in_camera - translation) @ rotation).numpy())
        light = (normals[nearest] @ rotation[2]).neg().clamp(0, 1)[:, None]
        panel = torch.ones(size * size, 3)
        panel[hit] = mesh.colors[nearest] * (0.7 + 0.3 * light)
        panels.append((panel * 255).byte().reshape(size, size, 3).numpy())
    return np.concatenate(panels, 1)


def _nothing_in_common() -> UserError:
    return UserError(
        "The silhouettes of the views have nothing in common.",
        "Check that the views show the object of the clip from the cameras that are given.",
    )
