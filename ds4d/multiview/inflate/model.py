"""Model of the object over the whole clip: its first and last surface in every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ...cameras import Cameras
from ...run.events import Event, Stage
from ...run.parallel import each
from ..shape_prior.inference import Prior, Told
from ..shape_prior.network import slant_bins
from .colors import front_colors, side_colors, without_islands
from .solid import Solid, build

MAX_GRID = 256  # pixels along a side of the surfaces
THICKNESS = 1.1  # of the object by the prior's, which doubts make thin
MIN_SLANT = 2.0  # degrees; smaller slants are reported as none
DOUBT = 0.25  # chance of the opposite slant from which on it is mentioned


@dataclass(frozen=True)
class Model:
    """The object in T frames, at G x G."""

    insides: np.ndarray  # [T, G, G] bool
    depths: np.ndarray  # [T, 2, G, G] first and last surface, along the optical axis, world units
    colors: np.ndarray  # [T, 2, G, G, 3] of the two, in [0, 1]
    camera: Cameras  # the front camera at G x G
    said: str  # what was found, in a sentence

    def solid(self, index: int) -> Solid:
        """The object in one frame."""
        return build(self.insides[index], self.depths[index], self.colors[index], self.camera)


def fit(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    front: Cameras,  # one camera at S x S, level, at azimuth 0
    slant: float | None = None,  # degrees, positive: the right side is farther away; None = fit
    depth: float = 1.0,  # factor on the thickness
) -> Stage[Model]:
    """Ask the shape prior for the surfaces of all frames.

    The last event's message reports the slant.
    """
    small, camera = on_grid(frames, front)
    yield Event("multiview", 0, len(frames), "estimating depth")
    told = Prior.load()(small, None if slant is None else math.radians(slant))
    model = assembled(small, told, camera, depth)
    yield Event("multiview", 0, len(frames), model.said)
    return model


def on_grid(frames: np.ndarray, front: Cameras) -> tuple[np.ndarray, Cameras]:
    """Frames [T, G, G, 4] of a model made from [T, S, S, 4] uint8, and their camera."""
    grid = min(frames.shape[1], MAX_GRID)
    small = np.stack(list(each(lambda frame: resized(frame, grid), frames)))
    return small, front.resized(grid, grid)


def assembled(
    frames: np.ndarray,  # [T, G, G, 4] uint8
    told: Told,  # of these frames
    camera: Cameras,  # the front camera at G x G
    depth: float = 1.0,  # factor on the thickness
) -> Model:
    """Model of the surfaces of a clip."""
    insides = frames[..., 3] > 127
    fronts = each(front_colors, frames.astype(np.float32) / 255)
    backs = list(each(without_islands, told.back_colors, insides))
    fronts = list(each(side_colors, fronts, backs, told.front))
    return Model(
        insides,
        _in_world(told, depth, camera),
        np.stack([np.stack(fronts), np.stack(backs)], 1),
        camera,
        describe(told, insides),
    )


def describe(told: Told, insides: np.ndarray) -> str:
    """Report the slant, and doubts about its sign, in one sentence."""
    slants = told.slants[insides.any((1, 2))]
    angle = math.degrees(slants.mean()) if len(slants) else 0.0
    if abs(angle) < MIN_SLANT:
        return "the object is assumed to be parallel to the image"
    side = "right" if angle > 0 else "left"
    opposite = slant_bins().numpy() * np.sign(angle) < -math.radians(MIN_SLANT)
    doubt = told.slant_chances[:, opposite].sum(1).mean() > DOUBT
    found = f"the object's {side} side is assumed to be farther away, by {abs(angle):.0f} degrees"
    return f"{found}, but it may be the other way round" if doubt else found


def resized(frame: np.ndarray, size: int) -> np.ndarray:
    """Resize [S, S, 4] uint8 to [size, size, 4], colours weighted by alpha."""
    if len(frame) == size:
        return frame
    image = frame.astype(np.float32) / 255
    image[..., :3] *= image[..., 3:]
    interpolation = cv2.INTER_AREA if size < len(frame) else cv2.INTER_LINEAR
    image = cv2.resize(image, (size, size), interpolation=interpolation)
    image[..., :3] /= np.maximum(image[..., 3:], 1e-4)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def _in_world(told: Told, depth: float, camera: Cameras) -> np.ndarray:
    """Depths [T, 2, G, G] of the two surfaces, world units from the camera.

    One distance cannot be seen: that of the whole object. The cameras look at the middle of the box
    that it fills over the clip, whose place the prior tells.
    """
    middle, half = (told.front + told.back) / 2, (told.back - told.front) / 2
    half = THICKNESS * depth * half
    surfaces = np.stack([middle - half, middle + half], 1) - told.target
    radius = float(camera.centres().norm())
    width = radius * camera.width / float(camera.Ks[0, 0, 0])  # of the frame, world units
    return radius + width * surfaces
