"""A puppet: the mesh of a cut-out, its limbs, and the handles that a motion leads."""

from __future__ import annotations

import numpy as np

from . import limbs, motions
from .arap import Arap
from .mesh import triangulate
from .motions import Pose, Shape

STRETCH = 1.7  # largest stretch of all but the worst edges; larger motions are reduced
TRIES = 4
REDUCED = 0.75  # factor on the motion, each time
REACH = (0.35, 0.7, 1.0)  # places of a limb's handles along it
WIDE = 2.0  # radii of a limb within which a vertex can belong to it


class Puppet:
    """A cut-out with its mesh, limbs and handles."""

    def __init__(self, picture: np.ndarray):
        alpha = picture[..., 3]
        rows, columns = np.nonzero(alpha > 127)
        self.mesh = triangulate(alpha)
        self.height = float(np.ptp(rows) + 1)
        base = columns[rows > rows.max() - 0.08 * self.height]
        self.origin = complex((base.min() + base.max() + 1) / 2, rows.max() + 1)
        found = tuple(limbs.find(alpha))
        paths = tuple(self._to_object(limb.path) for limb in found)
        self.shape = Shape(float(np.ptp(columns) + 1) / self.height, found, paths)
        self.rest = self._to_object(self.mesh.vertices)
        self._place_handles()

    def _to_object(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels [N, 2] -> heights of the object, upward, complex."""
        z = pixels[:, 0] + 1j * pixels[:, 1] - self.origin
        return z.conj() / self.height

    def to_pixels(self, z: np.ndarray) -> np.ndarray:
        pixels = z.conj() * self.height + self.origin
        return np.stack([pixels.real, pixels.imag], -1)

    def _place_handles(self) -> None:
        """Handles on the limbs, and on everything that is part of none."""
        owner, along = self._owners()
        limb_of = {int(vertex): -1 for vertex in np.flatnonzero(owner < 0)}
        for index, path in enumerate(self.shape.paths):
            own = np.flatnonzero((owner == index) & (along > 0.2))
            for share in REACH if len(own) else ():
                at = path[round(share * (len(path) - 1))]
                limb_of[int(own[np.abs(self.rest[own] - at).argmin()])] = index
        self.handles = np.array(list(limb_of))
        self.handle_limb = np.array(list(limb_of.values()))
        self.handle_along = along[self.handles]
        self.arap = Arap(self.mesh, self.handles)
        corners = owner[self.mesh.triangles]
        whole = (corners == corners[:, :1]).all(1)
        self.layers = np.where(whole, corners[:, 0] + 1, 0)  # limbs are in front of the body

    def _owners(self) -> tuple[np.ndarray, np.ndarray]:
        """The limb of each vertex, -1 = body, and its place along the limb, 0 = joint, 1 = tip."""
        owner, along = np.full(len(self.rest), -1), np.zeros(len(self.rest))
        nearest = np.full(len(self.rest), WIDE)
        shares = np.linspace(0, 1, 65)
        for index, (limb, path) in enumerate(zip(self.shape.limbs, self.shape.paths, strict=True)):
            points = np.interp(shares, np.linspace(0, 1, len(path)), path)
            distance = np.abs(self.rest[:, None] - points) * self.height / limb.radius
            share = shares[distance.argmin(1)]
            # What is nearest to the joint itself lies before it, on the body.
            taken = (distance.min(1) < nearest) & (share > 0)
            owner[taken], along[taken] = index, share[taken]
            nearest[taken] = distance.min(1)[taken]
        return owner, along

    def posed(self, motion: str, frames: int) -> np.ndarray:
        """Vertices [T, V, 2] in pixels; the motion is reduced until nothing stretches too far."""
        move, strength = motions.MOTIONS[motion], 1.0
        for _ in range(TRIES):
            poses = [move(self.shape, frame / frames, strength) for frame in range(frames)]
            found = np.stack([self._vertices(pose) for pose in poses])
            if self._stretch(found) <= STRETCH:
                break
            strength *= REDUCED
        return self.to_pixels(found)

    def _vertices(self, pose: Pose) -> np.ndarray:
        """Vertices [V] complex of a pose."""
        rest = pose.whole(self.rest)
        places = rest[self.handles].copy()
        for index, turn in pose.turns.items():
            own = self.handle_limb == index
            joint = pose.whole(self.shape.paths[index][:1])[0]
            share = self.handle_along[own]
            angle = turn.angle * (turn.stiff + (1 - turn.stiff) * share)
            places[own] = joint + (places[own] - joint) * np.exp(1j * angle) + turn.shift * share
        return self.arap.deformed(rest, places)

    def _stretch(self, found: np.ndarray) -> float:
        """Stretch that 99 of 100 edges stay below in the worst of frames [T, V]."""
        first, second = self.mesh.edges().T
        before = np.abs(self.rest[second] - self.rest[first])
        ratio = np.abs(found[:, second] - found[:, first]) / before
        worst = np.maximum(ratio, 1 / np.maximum(ratio, 1e-3))
        return float(np.quantile(worst, 0.99, axis=1).max())
