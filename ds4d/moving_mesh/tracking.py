"""Motion of one mesh through all frames of an asset.

From a frame to the next, the mesh is fitted to the surface of the Gaussians of that frame, as
rigidly as possible: first by optimal transport, which moves every limb to a limb of its own, then
by nearest points. The motion of the single Gaussians is not used: a Gaussian may show another part
of the object in another frame, and meshes that start a frame from the motion of the Gaussians
around them end up no better (docs/results.md, "The moving mesh").
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..run.parallel import each
from ..splatting.splats import Splats
from .geometry import Surface, face_normals, facing_nearest, vertex_normals
from .rigidity import RigidMesh, welded
from .surface import simplified

INERTIA = 0.8  # share of the last motion with which a frame's fit begins
INERTIA_PULL = 1.0  # of a point so moved, against 1 of an edge
SPREADS = (0.04, 0.03, 0.02, 0.015)  # world units, blur of the transport in each of its rounds
SLACK = 0.1  # world units; mass is left where it is rather than moved farther
NORMAL_COST = 0.0005  # of the difference of two normals, against square world units
COLOR_COST = 0.01  # of the squared distance of two colours, likewise
SINKHORN = 40  # iterations of a transport
SAMPLES = 1000  # points of either side that a transport is solved for
TRANSPORT_PULL = 0.5  # of a transported point on a vertex, against 1 of an edge
# The same of the nearest point, in each round: first the mesh moves as a whole, then it takes the
# surface's shape.
PULLS = (0.1, 0.1, 0.5, 0.5, 3.0, 3.0)
FAR = 0.08  # world units; a surface farther away is that of another part
NORMAL_SHARE = 0.7  # of a target along the surface's normal; the rest is the nearest vertex itself
MIN_OPACITY = 0.1  # of a Gaussian that colours a place, in that of the most opaque one
NEAR = 4  # points or Gaussians whose values a place takes
LONGEST_EDGE = 0.03  # world units; longer edges of a mesh are split for the fit
MOST_TRIANGLES = 8000  # of a mesh that is fitted itself; a denser one follows a simplified copy


@dataclass(frozen=True)
class Track:
    """A mesh of P points that moves, simple enough to be fitted."""

    rigid: RigidMesh  # its shape in rest
    faces: np.ndarray  # [F, 3]
    points: np.ndarray  # [T, P, 3]

    def vertices(self, mesh: Surface) -> np.ndarray:
        """Vertices [T, M, 3] of the mesh that was tracked: they follow the nearest points and
        their rotations."""
        # A vertex that is a point of the simple mesh follows it alone.
        weights, near = _nearest_weights(cKDTree(self.rigid.rest), mesh.vertices, blur=1e-5)
        offsets = mesh.vertices[:, None] - self.rigid.rest[near]
        moved = []
        for points in self.points:
            turned = np.einsum("mkij,mkj->mki", self.rigid.rotations(points)[near], offsets)
            moved.append((weights[..., None] * (points[near] + turned)).sum(1))
        return np.stack(moved)


def track(
    mesh: Surface,  # at frame `start`, in world coordinates
    start: int,
    frames: Sequence[Splats],  # T
    surfaces: Sequence[Surface | None],  # T, of the frames; the mesh rests where there is none
) -> Generator[None, None, Track]:
    """Return the motion of a mesh that the given one can follow; yields after each frame."""
    proxy = _proxy(mesh)
    rigid = RigidMesh(proxy.vertices, proxy.faces)
    faces = rigid.point[proxy.faces]
    colors = colors_at(rigid.rest, frames[start])
    found: dict[int, np.ndarray] = {start: rigid.rest}
    for pull in (INERTIA_PULL, TRANSPORT_PULL, *PULLS):
        rigid.solver(pull)  # made here, and not on the threads below

    def moved(frame: int) -> np.ndarray:
        before = frame - 1 if frame > start else frame + 1
        points, surface = found[before], surfaces[frame]
        earlier = found.get(2 * before - frame)
        if earlier is not None:
            ahead = points + INERTIA * (points - earlier)
            points = rigid.bend(ahead, ahead, INERTIA_PULL)
        if surface is None:
            return points
        goal_colors = colors_at(surface.vertices, frames[frame])
        points = _transported(rigid, faces, points, colors, surface, goal_colors)
        return _fitted(rigid, faces, points, surface)

    # Onwards and backwards side by side; the way back begins a step later, with the motion there.
    for steps in range(1, len(frames) + 1):
        pair = [start + steps, start + 1 - steps]
        pair = [frame for frame in pair if 0 <= frame < len(frames) and frame not in found]
        for frame, points in zip(pair, list(each(moved, pair)), strict=True):
            found[frame] = points
            yield
    return Track(rigid, faces, np.stack([found[frame] for frame in range(len(frames))]))


def colors_at(points: np.ndarray, splats: Splats) -> np.ndarray:
    """Colours [P, 3] of places [P, 3]: those of the Gaussians nearest to them."""
    solid = splats.opacities > MIN_OPACITY * splats.opacities.max()
    means, colors = (values[solid].cpu().numpy() for values in (splats.means, splats.colors))
    weights, near = _nearest_weights(cKDTree(means), points, blur=0.003)
    return (weights[..., None] * colors[near]).sum(1)


def _nearest_weights(
    tree: cKDTree, points: np.ndarray, blur: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [P, K], sum 1, and indices [P, K] of the nearest points of a tree; `blur` is the
    distance, in world units, within which all have about the same weight."""
    count = min(NEAR, tree.n)
    distances, near = (found.reshape(-1, count) for found in tree.query(points, k=count))
    weights = 1 / (distances**2 + blur**2)
    return weights / weights.sum(1, keepdims=True), near


def transport(
    cost: np.ndarray,  # [P, Q] float32, square world units
    goals: np.ndarray,  # [Q, 3]
    spread: float,  # world units
) -> np.ndarray:
    """Mean goal [P, 3] of each of P equal masses under entropic unbalanced optimal transport
    (Chizat et al. 2018): every goal is to be reached, so two limbs do not go for the same one."""
    # Smaller numbers would be slow to compute with, and tell nothing.
    kernel = np.exp(np.maximum(cost / np.float32(-(spread**2)), np.float32(-60)))
    power = SLACK**2 / (SLACK**2 + spread**2)
    column = np.ones(len(goals), np.float32)
    for _ in range(SINKHORN):  # einsum is as fast as BLAS here, whose threads wait in a loop
        row = (1 / len(cost) / np.einsum("pq,q->p", kernel, column)) ** power
        column = (1 / len(goals) / np.einsum("p,pq->q", row, kernel)) ** power
    kernel *= column
    return kernel @ goals.astype(np.float32) / kernel.sum(1, keepdims=True)


def _transported(
    rigid: RigidMesh,
    faces: np.ndarray,  # [F, 3] of its points
    points: np.ndarray,  # [P, 3] in the frame before
    colors: np.ndarray,  # [P, 3]
    surface: Surface,  # of this frame, Q vertices
    goal_colors: np.ndarray,  # [Q, 3]
) -> np.ndarray:
    """Points [P, 3] near the surface, every limb at one of its own."""
    mine, theirs = _samples(points, faces), _samples(surface.vertices, surface.faces)
    goals, goal_normals = surface.vertices[theirs], surface.normals[theirs]
    unlike = COLOR_COST * _squared_distances(colors[mine], goal_colors[theirs])
    for spread in SPREADS:
        normals, here = vertex_normals(points, faces)[mine], points[mine]
        cost = unlike - np.float32(NORMAL_COST) * normals.astype(np.float32) @ goal_normals.T
        way = transport(cost + _squared_distances(here, goals), goals, spread) - here
        weights, near = _nearest_weights(cKDTree(here), points, blur=0.001)
        targets = points + (weights[..., None] * way[near]).sum(1)
        points = rigid.bend(points, targets, TRANSPORT_PULL, iterations=2)
    return points


def _samples(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Indices of vertices that are spread evenly by area, at random but always the same."""
    double_areas = np.linalg.norm(face_normals(vertices, faces), axis=1)
    share = np.bincount(faces.ravel(), np.repeat(double_areas, 3), len(vertices))
    count = min(SAMPLES, int((share > 0).sum()))
    generator = np.random.default_rng(0)
    return generator.choice(len(vertices), count, replace=False, p=share / share.sum())


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances [P, Q] float32 of points [P, 3] and [Q, 3]."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)


def _fitted(
    rigid: RigidMesh, faces: np.ndarray, points: np.ndarray, surface: Surface
) -> np.ndarray:
    """Points [P, 3] of the mesh on a surface, by nearest points in both directions."""
    for pull in PULLS:
        normals = vertex_normals(points, faces)
        nearest, distance = facing_nearest(surface.tree, surface.normals, points, normals)
        place, normal = surface.vertices[nearest], surface.normals[nearest]
        height = ((place - points) * normal).sum(1, keepdims=True)
        on_plane = points + height * normal
        towards = NORMAL_SHARE * on_plane + (1 - NORMAL_SHARE) * place
        targets = np.where((distance < FAR)[:, None], towards, points)
        # What the surface has and the mesh lacks, such as the end of a limb, pulls at it, too.
        nearest, distance = facing_nearest(
            cKDTree(points), normals, surface.vertices, surface.normals
        )
        nearest, places = nearest[distance < FAR], surface.vertices[distance < FAR]
        count = np.bincount(nearest, minlength=len(points))[:, None]
        sums = [np.bincount(nearest, places[:, axis], len(points)) for axis in range(3)]
        pulled = np.stack(sums, 1) / np.maximum(count, 1)
        points = rigid.bend(points, np.where(count > 0, (targets + pulled) / 2, targets), pull)
    return points


def _proxy(mesh: Surface) -> Surface:
    """The mesh with one vertex per place and no long edges: what is fitted."""
    from trimesh.remesh import subdivide_to_size

    point, points = welded(mesh.vertices)
    faces = point[mesh.faces]
    i, j, k = faces.T
    faces = faces[(i != j) & (j != k) & (k != i)]
    coarse = simplified(Surface(points, faces), MOST_TRIANGLES)
    vertices, faces = subdivide_to_size(coarse.vertices, coarse.faces, LONGEST_EDGE, max_iter=20)
    point, points = welded(vertices)
    return Surface(points, point[faces])
