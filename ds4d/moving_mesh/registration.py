"""Registration of a moving mesh to images of all frames.

The mesh is drawn with the texture that all frames have in common. Optical flow (DIS, Kroeger et al.
2016) from each drawing to its image says where the visible points belong: outlines and patterns
both count. All frames are then bent towards these places at once, as rigidly as possible around
the shape that is the mean of all frames, and without jerks in time.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import repeat

import cv2
import numpy as np
from scipy.sparse import diags, identity

from ..mesh.visibility import Hits, hits, visible_faces
from ..run.parallel import each
from .evidence import Evidence
from .geometry import Surface, vertex_normals
from .rigidity import RigidMesh, factorized
from .texture import DEPTH_TOLERANCE, Atlas, bake, mesh_of, unwrap

SIZES = (0.5, 0.75, 1.0)  # of the images in each round, shares of their own
TEXELS = 512  # along a side of the common texture
PULL = 10.0  # of a place that the flow leads to, against 1 of an edge of the mesh
CALM = 2.0  # of a point's change of velocity, against that of the places around, likewise
SHARED = 10.0  # square edges over which these are averaged
STIFF = 1.0  # of an edge against a difference of flows at its ends, the trust of a view being 1
MIN_COSINE = 0.1  # between a normal and the way to the camera; less is too slanted
FARTHEST = 0.06  # of the image's side; longer flows are mistakes
UNLIKE = 0.15  # difference of premultiplied colours at both ends of a flow that is little believed
ALONG_RAY = 0.02  # weight against motion along a view's rays, of which it says nothing
MARGIN = 16  # pixels around the object within which flow is computed


def register(
    rigid: RigidMesh,
    faces: np.ndarray,  # [F, 3] of its points
    tracked: np.ndarray,  # [T, P, 3] its points in all frames
    evidence: Evidence,
    reshape: bool,  # whether the shape may change; otherwise it stays that of rest
) -> Generator[None, None, np.ndarray]:
    """Return the points [T, P, 3] where the images show them; yields after each frame."""
    atlas = unwrap(Surface(rigid.rest, faces), TEXELS)
    bent = _Bending(rigid, len(tracked), reshape)
    points = tracked
    for share in SIZES:
        points = bent((yield from _targets(points, rigid, atlas, evidence.resized(share))))
    return points


def _targets(
    points: np.ndarray,  # [T, P, 3]
    rigid: RigidMesh,
    atlas: Atlas,
    evidence: Evidence,
) -> Generator[None, None, np.ndarray]:
    """Places [T, P, 3] at which the images show the points; yields after each frame."""
    faces, cameras = atlas.vertex[atlas.faces], evidence.cameras
    visible = list(each(lambda places: visible_faces(mesh_of(places, faces), cameras), points))
    texture = bake(atlas, points, rigid.rest, evidence, TEXELS, visible)

    def target(frame: int) -> np.ndarray:
        places = points[frame]
        seen = hits(mesh_of(places, faces), cameras, visible[frame])
        way, known = _ways(places, atlas, texture, seen, evidence.images[frame], evidence)
        return places + _spread(rigid, way, known)

    targets = np.empty_like(points)
    for frame, places in enumerate(each(target, range(len(points)))):
        targets[frame] = places
        yield
    return targets


def _ways(
    points: np.ndarray,  # [P, 3] at a frame
    atlas: Atlas,
    texture: np.ndarray,  # [TEXELS, TEXELS, 3] uint8
    seen: Hits,  # of the mesh there
    images: np.ndarray,  # [V, S, S, 4] of the frame
    evidence: Evidence,
) -> tuple[np.ndarray, np.ndarray]:
    """Way [P, 3] of each point to where the images show it, and the weight [P] of what is known
    of it: 0 where no view shows the point."""
    cameras = evidence.cameras
    normals = vertex_normals(points, atlas.vertex[atlas.faces])
    matrices = (cameras.Ks.double() @ cameras.viewmats[:, :3].double()).numpy()
    centres = cameras.centres().double().numpy()
    squares, sums = np.tile(1e-6 * np.eye(3), (len(points), 1, 1)), np.zeros((len(points), 3))
    known = np.zeros(len(points))
    for v, target in enumerate(images):
        ray = centres[v] - points
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        u, w, depth = (points @ matrices[v][:, :3].T + matrices[v][:, 3]).T
        u, w = u / depth, w / depth
        front = _sampled(_farthest_around(seen.depth[v])[..., None], u, w)[:, 0]
        shown = ((ray * normals).sum(1) > MIN_COSINE) & (depth < front + DEPTH_TOLERANCE)
        # Square of the pixels by which a point usually moves in the image per world unit.
        usual = float((cameras.Ks[v, 0, 0] / np.median(depth)) ** 2)
        ray, u, w, depth = ray[shown], u[shown], w[shown], depth[shown]
        drawn = _drawn(seen.faces[v], seen.weights[v], atlas, texture)
        flow = _sampled(_flow(drawn, target), u, w)
        near = np.linalg.norm(flow, axis=1) < FARTHEST * cameras.width
        ends = _sampled(drawn, u, w) - _sampled(target, u + flow[:, 0], w + flow[:, 1])
        unlike = np.abs(ends).mean(1) / 255
        weight = evidence.trust[v] * near * np.exp(-((unlike / UNLIKE) ** 2))
        # Pixels by which each point moves along both axes of the image.
        rows = [matrices[v][k, :3] - at[:, None] * matrices[v][2, :3] for k, at in ((0, u), (1, w))]
        slope = np.stack(rows, 1) / depth[:, None, None]
        squares[shown] += weight[:, None, None] * (
            slope.swapaxes(1, 2) @ slope / usual + ALONG_RAY * ray[:, :, None] * ray[:, None]
        )
        sums[shown] += weight[:, None] * np.einsum("pki,pk->pi", slope, flow) / usual
        known[shown] += weight
    return np.linalg.solve(squares, sums[..., None])[..., 0], known


def _drawn(
    faces: np.ndarray,  # [H, W], -1 for none
    weights: np.ndarray,  # [H, W, 3]
    atlas: Atlas,
    texture: np.ndarray,
) -> np.ndarray:
    """Image [H, W, 4] uint8 of the mesh with its texture."""
    inside = faces >= 0
    uv = (weights[inside][..., None] * atlas.uv[atlas.faces[faces[inside]]]).sum(1)
    column, row = (uv * len(texture)).astype(int).clip(0, len(texture) - 1).T
    image = np.zeros((*faces.shape, 4), np.uint8)
    image[inside, :3], image[inside, 3] = texture[row, column], 255
    return image


def _flow(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Flow [H, W, 2], pixels (x, y), from an image [H, W, 4] of hard alpha to another, in front of
    black or white, whichever contrasts more; 0 far from the object."""
    white = here[..., :3].sum() < 1.5 * here[..., 3].sum()
    box = _box(here[..., 3] | there[..., 3])
    grey = []
    for image in (here[box], there[box]):
        grey.append(cv2.cvtColor(image, cv2.COLOR_RGBA2GRAY))
        grey[-1][image[..., 3] == 0] = 255 * white
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.zeros((*here.shape[:2], 2), np.float32)
    flow[box] = method.calc(*grey, None)
    return flow


def _box(alpha: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of an image [H, W] near the object, at least 2 MARGIN of each."""
    box = []
    for axis in (1, 0):
        length = alpha.shape[1 - axis]
        some = np.flatnonzero(alpha.any(axis))
        low, high = (some[0], some[-1]) if len(some) else (0, length)
        low = max(0, min(low - MARGIN, length - 2 * MARGIN))
        box.append(slice(low, max(high + MARGIN, 2 * MARGIN)))
    return tuple(box)


def _farthest_around(depth: np.ndarray) -> np.ndarray:
    """Largest depth at a pixel and around it, [H, W]: points of an outline lie between pixels."""
    finite = np.where(np.isfinite(depth), depth, 0).astype(np.float32)
    return cv2.dilate(finite, np.ones((3, 3), np.uint8))


def _sampled(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values [P, K] of an image [H, W, K] at pixels (x, y), bilinear."""
    height, width = image.shape[:2]
    x, y = np.clip(x - 0.5, 0, width - 1.001), np.clip(y - 0.5, 0, height - 1.001)
    left, top = x.astype(int), y.astype(int)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    above = (1 - fx) * image[top, left] + fx * image[top, left + 1]
    below = (1 - fx) * image[top + 1, left] + fx * image[top + 1, left + 1]
    return (1 - fy) * above + fy * below


def _spread(rigid: RigidMesh, ways: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Ways [P, 3] without jumps over the mesh; points that no view shows move with those around."""
    solver = factorized(diags(known + 1e-4) + STIFF * rigid.laplacian())
    return solver.solve(known[:, None] * ways)


class _Bending:
    """As-rigid-as-possible deformation of all frames at once."""

    def __init__(self, rigid: RigidMesh, frames: int, reshape: bool):
        self.rigid, self.reshape, self.edges = rigid, reshape, rigid.edge_vectors
        # In the basis of the eigenvectors of what ties the frames, each can be solved by itself.
        second = np.diff(np.eye(frames), n=2, axis=0)
        self.unsteady = second.T @ second  # [T, T]
        jerks, self.basis = np.linalg.eigh(self.unsteady)
        laplacian, ones = rigid.laplacian(), identity(len(rigid.rest))
        pulls = PULL + CALM * jerks.clip(0)
        self.solvers = [factorized(laplacian + pull * ones) for pull in pulls]
        self.averaging = factorized(SHARED * laplacian + ones)

    def __call__(self, targets: np.ndarray) -> np.ndarray:
        """Points [T, P, 3] near their targets [T, P, 3]."""
        rigid, points = self.rigid, targets
        # A limb may jerk, if all of it does.
        jerks = np.einsum("st,tpi->spi", self.unsteady, targets)
        pulls = PULL * targets + CALM * np.stack(list(each(self.averaging.solve, jerks)))
        for _ in range(2):
            turns = list(each(rigid.rotations, points, repeat(self.edges)))
            if self.reshape:
                self.edges = np.mean(list(each(rigid.unturned, points, turns)), axis=0)
            sides = np.stack(list(each(rigid.forces, turns, repeat(self.edges)))) + pulls
            modes = np.einsum("tk,tpi->kpi", self.basis, sides)
            solved = each(lambda solver, mode: solver.solve(mode), self.solvers, modes)
            points = np.einsum("tk,kpi->tpi", self.basis, np.stack(list(solved)))
        return points
