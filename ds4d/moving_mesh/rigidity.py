"""As-rigid-as-possible deformation of a mesh (Sorkine and Alexa 2007) towards target points."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags, identity, spmatrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import SuperLU, splu
from scipy.spatial import cKDTree

from ..kernels.numba import njit

WELD = 1e-4  # world units; closer vertices are one point of the mesh
BRIDGES = 4  # links of a vertex to the nearest vertices of other components
BRIDGE_WEIGHT = 0.3  # of such a link; an edge of the mesh has 1
CARRY = 1.0  # pull of a place to which a point is carried, against 1 of an edge of the mesh
DEGENERATE = 1e-4  # share of the cube of a matrix's norm; with less, its rotation is not unique


class RigidMesh:
    """Rest shape of a mesh, with a solver that bends it as little as possible.

    Vertices at equal places (seams of uv or of normals) move as one. Components of a mesh whose
    parts are not connected are held together by links between the places where they touch.

    Args:
        vertices: [M, 3] rest positions, world units.
        faces: [F, 3] indices.
        reach: longest link between two components, world units.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, reach: float = 0.03):
        self.point, self.rest = welded(vertices)
        faces = self.point[faces]
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        edges = np.unique(np.sort(edges[edges[:, 0] != edges[:, 1]], 1), axis=0)
        weights = np.ones(len(edges))
        links = _bridges(self.rest, edges, reach)
        edges = np.concatenate([edges, links])
        weights = np.concatenate([weights, np.full(len(links), BRIDGE_WEIGHT)])
        i, j = edges.T
        count = len(self.rest)
        both = np.concatenate([i, j]), np.concatenate([j, i])
        self.weights = csr_matrix((np.tile(weights, 2), both), shape=(count, count))
        self.degree = np.asarray(self.weights.sum(1))[:, 0]
        self.start, self.end = self.weights.nonzero()
        self.edge_weights = np.asarray(self.weights[self.start, self.end])[0]
        self.edge_vectors = self.rest[self.start] - self.rest[self.end]
        # Edges are sorted by their start: those of point p are first[p] to first[p + 1].
        self.first = np.searchsorted(self.start, np.arange(count + 1))
        self._solvers: dict[float, SuperLU] = {}

    def bend(
        self,
        points: np.ndarray,  # [P, 3] present places of the points
        targets: np.ndarray,  # [P, 3] where they are pulled to
        pull: float,  # weight of a target against that of an edge of the mesh
        iterations: int = 1,
    ) -> np.ndarray:
        """Points [P, 3] near the targets, with every neighbourhood nearly rigid."""
        for _ in range(iterations):
            points = self._bent(self.rotations(points), targets, pull)
        return points

    def carried(self, points: np.ndarray, start: int) -> np.ndarray:
        """Points [T, P, 3] of the rest shape, moved as `points` [T, P, 3] move from those of frame
        `start`: where these differ from the rest shape there, it stays as it is."""
        before = points[start]
        edges, apart = before[self.start] - before[self.end], before - self.rest
        found = []
        for places in points:
            turns = self.rotations(places, edges)
            found.append(self._bent(turns, places - np.einsum("pij,pj->pi", turns, apart), CARRY))
        return np.stack(found)

    def _bent(self, turns: np.ndarray, targets: np.ndarray, pull: float) -> np.ndarray:
        """Points [P, 3] near the targets whose neighbourhoods are turned by `turns` [P, 3, 3]."""
        return self.solver(pull).solve(self.forces(turns, self.edge_vectors) + pull * targets)

    def solver(self, pull: float) -> SuperLU:
        """Solver for targets of a pull, made by the first call (see `factorized`)."""
        if pull not in self._solvers:
            self._solvers[pull] = factorized(self.laplacian() + pull * identity(len(self.rest)))
        return self._solvers[pull]

    def laplacian(self) -> csr_matrix:
        """Sum of the differences of each point from its neighbours, [P, P]."""
        return (diags(self.degree) - self.weights).tocsr()

    def forces(self, turns: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Laplacian [P, 3] of the points whose edges [E, 3] are turned by `turns` [P, 3, 3]."""
        found = np.zeros((len(turns), 3))
        _gather_forces(turns, edges, self.edge_weights, self.first, self.end, found)
        return found

    def unturned(self, points: np.ndarray, turns: np.ndarray) -> np.ndarray:
        """Edges [E, 3] of the points [P, 3] before the turns [P, 3, 3] of their ends."""
        means = (turns[self.start] + turns[self.end]) / 2
        return np.einsum("eji,ej->ei", means, points[self.start] - points[self.end])

    def rotations(self, points: np.ndarray, edges: np.ndarray | None = None) -> np.ndarray:
        """Rotation of the neighbourhood of each point from the rest shape, [P, 3, 3].

        `edges` [E, 3] stand for another shape than that of rest.
        """
        edges = self.edge_vectors if edges is None else edges
        found = np.zeros((len(points), 3, 3))
        _rotate(points, edges, self.edge_weights, self.first, self.end, found)
        return found


def factorized(matrix: spmatrix) -> SuperLU:
    """Solver of a symmetric, positive definite system [P, P].

    SuperLU frees the memory of a solver only in the thread that has made it, so that solvers which
    outlive a thread's work are not made there.
    """
    options = {"SymmetricMode": True}
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)


def welded(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The point of each vertex [M], and the points [P, 3]: vertices at equal places are one."""
    keys = np.round(vertices / WELD).astype(np.int64)
    _, first, point = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return point.ravel(), vertices[first].astype(np.float64)


def _bridges(points: np.ndarray, edges: np.ndarray, reach: float) -> np.ndarray:
    """Links [L, 2] from points to near points of other components."""
    count = len(points)
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    parts, label = connected_components(graph, directed=False)
    links = []
    for part in range(parts if parts > 1 else 0):
        inside, others = np.flatnonzero(label == part), np.flatnonzero(label != part)
        near = min(BRIDGES, len(others))
        distance, index = cKDTree(points[others]).query(points[inside], k=near)
        distance, index = distance.reshape(-1, near), index.reshape(-1, near)
        # The nearest place of all is linked even out of reach: no part is left alone.
        close = (distance < reach) | (distance == distance.min())
        start = np.repeat(inside, close.sum(1))
        links.append(np.stack([start, others[index[close]]], 1))
    if not links:
        return np.zeros((0, 2), np.int64)
    return np.unique(np.sort(np.concatenate(links), 1), axis=0)


@njit(cache=True, error_model="numpy", nogil=True)
def _gather_forces(turns, edges, weights, first, end, forces):
    """Fill forces [P, 3] with the sums of each point's edges [E, 3], turned by both its ends."""
    for p in range(len(forces)):
        for e in range(first[p], first[p + 1]):
            for i in range(3):
                for j in range(3):
                    turn = (turns[p, i, j] + turns[end[e], i, j]) / 2
                    forces[p, i] += weights[e] * turn * edges[e, j]


@njit(cache=True, error_model="numpy", nogil=True)
def _rotate(points, edges, weights, first, end, turns):
    """Fill turns [P, 3, 3] with the rotations that bring the edges [E, 3] of each point nearest to
    where they are now."""
    outer = np.empty((3, 3))
    for p in range(len(points)):
        outer[:] = 0
        for e in range(first[p], first[p + 1]):
            for i in range(3):
                now = weights[e] * (points[p, i] - points[end[e], i])
                for j in range(3):
                    outer[i, j] += now * edges[e, j]
        _nearest_rotation(outer, turns[p])


@njit(cache=True, error_model="numpy", nogil=True)
def _nearest_rotation(matrix, rotation):
    """Fill a rotation [3, 3] with the one nearest to a matrix, without a decomposition (FOAM,
    Markley 1993). Changes the matrix where several are equally near."""
    cofactors = np.empty((3, 3))
    while True:
        square = area = determinant = 0.0
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            for a in range(3):
                b, c = (a + 1) % 3, (a + 2) % 3
                cofactors[i, a] = matrix[j, b] * matrix[k, c] - matrix[j, c] * matrix[k, b]
                square += matrix[i, a] ** 2
                area += cofactors[i, a] ** 2
                determinant += matrix[i, a] * cofactors[i, a] / 3
        # The sum of the singular values, the last one with the sign of the determinant, is the
        # largest root of a polynomial; Newton's method comes to it from above.
        total = np.sqrt(3 * square)
        for _ in range(50):
            rest = total**2 - square
            value = rest**2 - 8 * total * determinant - 4 * area
            step = value / (4 * total * rest - 8 * determinant)
            if not step > 1e-15 * total:
                break
            total -= step
        half = (total**2 - square) / 2
        scale = half * total - determinant
        norm = np.sqrt(square)
        if not scale <= DEGENERATE * norm**3:  # so that NaN ends it, too
            break
        for i in range(3):
            matrix[i, i] += 0.01 * (i + 1) * norm + 1e-30
    for i in range(3):
        for j in range(3):
            cubic = 0.0
            for k in range(3):
                for a in range(3):
                    cubic += matrix[i, k] * matrix[a, k] * matrix[a, j]
            linear = (half + square) * matrix[i, j] + total * cofactors[i, j]
            rotation[i, j] = (linear - cubic) / scale
