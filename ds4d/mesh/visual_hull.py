"""Embedded mesh engine: a visual hull that tolerates one inconsistent view (Laurentini 1994).

Each silhouette becomes a signed distance field, and the depth of a point inside the hull is the
minimum over the views. Generated views are inconsistent, and by that rule one wrong view removes a
thin limb. Therefore, where carving leaves pixels of the front view or of two other views without
any volume behind them, the smallest depth of the views other than the front is ignored. The front
view is real, and always constrains the hull.
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
from .mesh import Mesh
from .visibility import no_object

HALF_SIDE = 0.51  # of the initial grid, world units: the object is inside the 0.5 sphere
COARSE_CELLS = 48  # per side of the grid that finds the bounding box
SMOOTHING = 0.4  # standard deviation of the Gaussian filter on the field, cells: removes terraces
MIN_PIXELS = 16  # of an object in the front view that can be reconstructed
EDGE_BLUR = 0.7  # standard deviation of the Gaussian filter on signed distances, pixels
MIN_DEPTH = 0.75  # cells inside its silhouette from which on a pixel must see the hull
NEW_SHARE = 0.25  # of a component's front silhouette that no larger one covers, to be kept
RIM = 0.015  # world units (2 pixels of 128) inside the silhouette where colours are reliable
FRONT_WEIGHT = 8.0  # of the front view's colours; it decides wherever it sees the mesh
COLOR_VARIANCE = 0.05  # squared RGB distance at which a view's weight falls to 1/e
SHADING = 0.3  # share of the preview's brightness that depends on the normal
STEPS = 4


@dataclass(frozen=True)
class Grid:
    """Signed distance to the hull's surface on a regular grid, positive inside."""

    field: Tensor  # [X, Y, Z] world units
    low: Tensor  # [3] position of the first cell, world coordinates
    cell: float  # side of a cell, world units

    def centres(self) -> Tensor:
        """Positions of the cells, [X, Y, Z, 3]."""
        axes = [
            low + self.cell * torch.arange(n)
            for low, n in zip(self.low, self.field.shape, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def run(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    resolution: int,  # the object's bounding box gets resolution^3 cells
) -> Stage[Mesh]:
    """Reconstruct the mesh of one frame.

    The last event's metrics contain the IoU of the front silhouette ("iou").

    Raises:
        UserError: the front view shows no object, or the silhouettes do not intersect in space.
    """
    if (images[0, ..., 3] > 127).sum() < MIN_PIXELS:
        raise no_object()
    yield Event("mesh", 0, STEPS, "intersecting the silhouettes")
    distances = _signed_distances(images, cameras)  # [V, S, S]
    grid = yield from _carve(_bounding_grid(distances, cameras, resolution), distances, cameras)
    yield Event("mesh", 1, STEPS, "extracting the mesh")
    grid = _without_floaters(grid, cameras)
    vertices, faces, normals = _extract(grid)
    iou = _front_iou(grid, images[0], cameras)
    yield Event("mesh", 2, STEPS, "colouring the mesh", metrics={"iou": iou})
    colors = yield from _colors(vertices, normals, grid, images, distances, cameras)
    mesh = Mesh(vertices, faces, colors)
    yield Event("mesh", 3, STEPS, "rendering the preview")
    yield Event(
        "mesh", STEPS, STEPS, f"{len(vertices)} vertices, front silhouette IoU {iou:.3f}",
        preview=_preview(mesh, normals, grid), metrics={"iou": iou, "vertices": len(vertices)},
    )  # fmt: skip
    return mesh


def _signed_distances(images: np.ndarray, cameras: Cameras) -> Tensor:
    """Signed distance to each silhouette's edge, positive inside, [V, S, S].

    In world units at the origin, to a fraction of a pixel.
    """
    fields = []
    for image, K, viewmat in zip(images, cameras.Ks, cameras.viewmats, strict=True):
        inside = (image[..., 3] > 127).astype(np.uint8)
        deep = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        far = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # An image without an edge has infinite distances: clip them to its size.
        pixels = np.where(inside > 0, deep - 0.5, 0.5 - far).clip(-len(image), len(image))
        edge = np.abs(pixels) < 1  # there alpha gives the position within the pixel
        pixels[edge] = image[..., 3][edge] / 255 - 0.5
        pixels = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), EDGE_BLUR)
        fields.append(torch.from_numpy(pixels) * (viewmat[2, 3] / K[0, 0]))
    return torch.stack(fields)


def _interpolate(maps: Tensor, pixels: Tensor, cameras: Cameras) -> Tensor:
    """Bilinear samples [C, K, N] of maps [C, K, h, w] at the cameras' pixels [C, N, 2]."""
    size = torch.tensor([cameras.width, cameras.height])
    coordinates = (2 * pixels / size - 1)[:, :, None]
    return F.grid_sample(maps, coordinates, align_corners=False, padding_mode="border")[..., 0]


def _depths_inside(grid: Grid, distances: Tensor, cameras: Cameras) -> Tensor:
    """Depth of each cell inside each view's silhouette, [V, X, Y, Z]."""
    pixels, _ = project(grid.centres().reshape(-1, 3), cameras)
    return _interpolate(distances[:, None], pixels, cameras).reshape(-1, *grid.field.shape)


def _tolerant_minimum(depths: Tensor) -> Tensor:
    """Minimum over the views [V, ...] that ignores the smallest one other than the front's."""
    return torch.minimum(depths[0], depths[1:].topk(2, 0, largest=False).values[1])


def _bounding_grid(distances: Tensor, cameras: Cameras, resolution: int) -> Grid:
    """Empty grid around the hull of the front view and all but one of the others."""
    shape = (COARSE_CELLS,) * 3
    cell = 2 * HALF_SIDE / (COARSE_CELLS - 1)
    coarse = Grid(torch.zeros(shape), torch.full((3,), -HALF_SIDE), cell)
    # One cell of tolerance: a thin limb may lie between the coarse cells.
    occupied = torch.nonzero(_tolerant_minimum(_depths_inside(coarse, distances, cameras)) > -cell)
    if len(occupied) == 0:
        raise _no_intersection()
    low = coarse.low + cell * (occupied.amin(0) - 1)
    high = coarse.low + cell * (occupied.amax(0) + 1)
    cell = float((high - low).prod()) ** (1 / 3) / resolution
    return Grid(torch.zeros(((high - low) / cell).ceil().int().tolist()), low, cell)


def _carve(grid: Grid, distances: Tensor, cameras: Cameras) -> Stage[Grid]:
    """Fill the grid with the minimum over the views, the tolerant one where that is needed."""
    pixels, _ = project(grid.centres().reshape(-1, 3), cameras)
    depths = _depths_inside(grid, distances, cameras)
    strict, unexplained = replace(grid, field=depths.amin(0)), []
    for view, view_distances in enumerate(distances):
        unexplained.append(_unexplained(strict, view_distances, cameras[view]))
        yield Event("mesh", 0, STEPS, "checking the hull against every view")
    missing = _interpolate(torch.stack(unexplained)[:, None], pixels, cameras).reshape(depths.shape)
    needed = (missing[0] > 0.5) | (missing[1:].sum(0) >= 2)
    field = torch.where(needed, _tolerant_minimum(depths), strict.field)
    smooth = ndimage.gaussian_filter(field.numpy(), SMOOTHING)
    return replace(grid, field=torch.from_numpy(smooth))


def _unexplained(grid: Grid, distances: Tensor, camera: Cameras) -> Tensor:
    """Mask of the object's pixels in one view whose rays miss the hull, dilated, [s, s] of 0 or 1.

    At half the view's resolution.
    """
    inside = F.avg_pool2d(distances[None], 2)[0]
    row, column = torch.nonzero(inside > MIN_DEPTH * grid.cell, as_tuple=True)
    highest, _ = cast_rays(grid, camera, 2 * torch.stack([column, row], -1) + 1)
    missing = torch.zeros_like(inside)
    missing[row, column] = (highest <= 0).float()
    return F.max_pool2d(missing[None], 5, stride=1, padding=2)[0]


def cast_rays(
    grid: Grid,
    camera: Cameras,  # one
    pixels: Tensor,  # [N, 2]
) -> tuple[Tensor, Tensor]:
    """March along the rays of N pixels.

    Returns:
        The maximum of the field on each ray [N] (0 outside the grid), and the depth where it first
        turns positive [N] (infinity where it never does).
    """
    size = grid.cell * (torch.tensor(grid.field.shape) - 1)
    homogeneous = torch.cat([pixels, torch.ones(len(pixels), 1)], -1)
    rays = homogeneous @ torch.linalg.inv(camera.Ks[0]).T @ camera.viewmats[0, :3, :3]
    rays, start = 2 * rays / size, 2 * (camera.centres()[0] - grid.low) / size - 1
    corners = grid.low + size * torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    _, reach = project(corners, camera)
    depths = torch.arange(float(reach.min().clamp(min=0.01)), float(reach.max()), grid.cell / 2)

    volume = grid.field.permute(2, 1, 0)[None, None]  # grid_sample wants z, y, x
    highest, first = torch.zeros(len(pixels)), torch.full((len(pixels),), torch.inf)
    for slab in depths.split(16):
        samples = start + slab[:, None, None, None] * rays
        values = F.grid_sample(volume, samples[None], align_corners=True)[0, 0, :, 0]
        highest = torch.maximum(highest, values.amax(0))
        hit = torch.where(values > 0, slab[:, None], torch.inf).amin(0)
        first = torch.minimum(first, hit)
    return highest, first


def _without_floaters(grid: Grid, cameras: Cameras) -> Grid:
    """Remove the connected components that larger ones hide in the front view."""
    labels, _ = ndimage.label(grid.field.numpy() > 0, structure=np.ones((3, 3, 3)))
    volumes = np.bincount(labels.ravel())[1:]
    if not len(volumes):
        raise _no_intersection()
    size = round(0.5 / grid.cell)  # pixels, so that a cell covers at least one
    front, centres = cameras[0].resized(size, size), grid.centres()
    covered = np.zeros((size, size), bool)
    kept = np.zeros(labels.shape, bool)
    for label in 1 + np.argsort(-volumes):
        component = labels == label
        pixels, _ = project(centres[torch.from_numpy(component)], front)
        column, row = pixels[0].numpy().astype(int).clip(0, size - 1).T
        silhouette = np.zeros_like(covered)
        silhouette[row, column] = True
        if (silhouette & ~covered).sum() > NEW_SHARE * silhouette.sum():
            kept |= component
            covered |= silhouette
    removed = torch.from_numpy((labels > 0) & ~kept)
    return replace(grid, field=torch.where(removed, -1e-3, grid.field))


def _extract(grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Zero level set by marching cubes: vertices [M, 3], faces [F, 3], outward normals [M, 3]."""
    closed = np.pad(grid.field.numpy(), 1, constant_values=-grid.cell)
    vertices, faces, _, _ = marching_cubes(closed, 0.0, allow_degenerate=False)
    vertices = torch.from_numpy(vertices.astype(np.float32) - 1) * grid.cell + grid.low
    faces = torch.from_numpy(faces.astype(np.int64))
    corners = vertices[faces]
    if torch.linalg.det(corners).sum() < 0:  # six times the enclosed volume
        faces, corners = faces.flip(1), corners.flip(1)
    cross = torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1)
    normals = torch.zeros_like(vertices).index_add_(
        0, faces.flatten(), cross.repeat_interleave(3, 0)
    )
    return vertices, faces, F.normalize(normals, dim=-1)


def _front_iou(grid: Grid, image: np.ndarray, cameras: Cameras) -> float:
    """IoU of the hull's silhouette with the front view's matte, in [0, 1]."""
    mask = torch.from_numpy(image[..., 3] > 127).flatten()
    highest, _ = cast_rays(grid, cameras[0], _pixel_centres(cameras.width))
    return float(((highest > 0) & mask).sum() / ((highest > 0) | mask).sum())


def _pixel_centres(size: int) -> Tensor:
    """Coordinates (u, v) of all pixels of a square image, row by row, [size * size, 2]."""
    axis = torch.arange(size) + 0.5
    return torch.cartesian_prod(axis, axis).flip(1)


def _colors(
    vertices: Tensor,
    normals: Tensor,
    grid: Grid,
    images: np.ndarray,
    distances: Tensor,
    cameras: Cameras,
) -> Stage[Tensor]:
    """Colour each vertex [M, 3] with the robust weighted mean of the views that see it.

    Weights favour views that face the surface, and the front view. Vertices that no view sees take
    the colours of their neighbours.
    """
    pixels, depths = project(vertices, cameras)
    towards = F.normalize(cameras.centres()[:, None] - vertices, dim=-1)
    facing = (towards * normals).sum(-1).clamp(min=0)  # [V, M]
    rgba = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    samples = _interpolate(rgba, pixels, cameras)  # [V, 4, M]
    # At the edge of a matte, colours of object and background mix.
    inside = _interpolate(distances[:, None], pixels, cameras)[:, 0]
    weights = facing**2 * (inside / RIM).clamp(0.02, 1) * (samples[:, 3] > 0.5)
    for view in range(len(cameras)):
        candidates = torch.nonzero(weights[view])[:, 0]
        _, nearest = cast_rays(grid, cameras[view], pixels[view, candidates])
        weights[view, candidates] *= depths[view, candidates] < nearest + 2 * grid.cell
        yield Event("mesh", 2, STEPS, "colouring the mesh")
    weights[0] *= FRONT_WEIGHT

    colors = samples[:, :3].permute(0, 2, 1)  # [V, M, 3]
    robust = weights
    for _ in range(3):  # iteratively reweighted: views far from the mean count less
        mean = (robust[..., None] * colors).sum(0) / robust.sum(0).clamp(min=1e-8)[:, None]
        robust = weights * torch.exp(-((colors - mean) ** 2).sum(-1) / COLOR_VARIANCE)
    known = weights.sum(0) > 1e-4
    if not known.all():
        _, nearest = cKDTree(vertices[known].numpy()).query(vertices[~known].numpy(), k=4)
        mean[~known] = mean[known][nearest].mean(1)
    return mean.clamp(0, 1)


def _preview(mesh: Mesh, normals: Tensor, grid: Grid, size: int = 192) -> np.ndarray:
    """Render the mesh from the front, the right and behind, [size, 3 size, 3] uint8."""
    tree, panels = cKDTree(mesh.vertices.numpy()), []
    pixels = _pixel_centres(size)
    for azimuth in (0.0, 90.0, 180.0):
        camera = orbit_cameras([azimuth], 10.0, size=size)
        _, depth = cast_rays(grid, camera, pixels)
        hit = depth.isfinite()
        homogeneous = torch.cat([pixels[hit], torch.ones(int(hit.sum()), 1)], -1)
        in_camera = homogeneous @ torch.linalg.inv(camera.Ks[0]).T * depth[hit, None]
        rotation, translation = camera.viewmats[0, :3, :3], camera.viewmats[0, :3, 3]
        _, nearest = tree.query(((in_camera - translation) @ rotation).numpy())
        light = (normals[nearest] @ rotation[2]).neg().clamp(0, 1)[:, None]
        panel = torch.ones(size * size, 3)
        panel[hit] = mesh.colors[nearest] * (1 - SHADING + SHADING * light)
        panels.append((panel * 255).byte().reshape(size, size, 3).numpy())
    return np.concatenate(panels, 1)


def _no_intersection() -> UserError:
    return UserError(
        "The silhouettes of the views have nothing in common.",
        "Check that the views show the object of the clip from the given cameras.",
    )
