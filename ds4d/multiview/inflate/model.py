"""Model of the inflated object over the whole clip, and its geometry in each frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from ...cameras import Cameras
from ...mesh.mesh import Mesh, concatenate
from ...run.events import Event, Stage
from ...run.parallel import each
from ...splatting import Splats
from . import legs, rotating_part
from .colors import color_histograms, dominant_colors, front_colors, regional_colors
from .ground_plane import Slant, estimate_slant, lowest_points
from .mesh import closed_mesh
from .mid_surface import bend, lean
from .silhouette import half_thickness, surface_splats

MAX_GRID = 256  # pixels along a side of the silhouettes that are inflated
# Thickness of the object relative to its round inflation. Chosen on the bundled and the
# ground-truth clips: most objects are a little flatter than their silhouette suggests.
THICKNESS = 0.9
ROTATING_THICKNESS = 0.6  # of a rotating part, relative to the body's: sails and wheels are flat
MIN_SLANT = 2.0  # degrees; smaller slants are reported as none


@dataclass(frozen=True)
class Layer:
    """A separate surface, the object or a part of it, in T frames at G x G."""

    insides: np.ndarray  # [T, G, G] bool
    halves: np.ndarray  # [T, G, G] half thickness, pixels
    middles: np.ndarray  # [T, G, G] depth of the mid-surface along the optical axis, world units
    fronts: np.ndarray  # [T, G, G, 3] colours in [0, 1], extrapolated beyond the silhouettes
    histograms: np.ndarray  # see colors.color_histograms
    thin: bool = False  # its back has the colours of its front, as a sail's


@dataclass(frozen=True)
class Model:
    """The object over the whole clip."""

    layers: tuple[Layer, ...]
    palette: np.ndarray  # [K, 3] dominant colours in [0, 1]
    slant: Slant
    camera: Cameras  # the front camera at G x G


def fit(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    front: Cameras,  # one camera at S x S, level, at azimuth 0
    slant: float | None = None,  # degrees, positive: the right side is farther away; None = fit
    depth: float = 1.0,  # factor on the thickness
) -> Stage[Model]:
    """Fit the model to all frames: slant, rotating part, thickness, mid-surface and colours.

    The events' messages report what was found.
    """
    grid = min(frames.shape[1], MAX_GRID)
    small = np.stack([resized(frame, grid) for frame in frames])  # [T, G, G, 4] float32
    camera = front.resized(grid, grid)
    focal, radius = float(camera.Ks[0, 0, 0]), float(camera.centres().norm())
    plane = estimate_slant(small[..., 3], focal, radius)
    if slant is not None:
        plane = replace(plane, slope=math.tan(math.radians(slant)), confidence=1.0)
    yield Event("multiview", 0, len(frames), describe(plane))
    palette = dominant_colors(small)
    rotation = rotating_part.find(small)
    split = None if rotation is None else rotating_part.split(small, rotation)
    if split is None:
        body = yield from _layer(small, depth, palette, _StandingMiddles(plane, camera))
        return Model((body,), palette, plane, camera)

    yield Event("multiview", 0, len(frames), "a part rotates in front of a static body")
    static = np.concatenate([split.colors, split.body[..., None]], -1, dtype=np.float32)
    body = yield from _layer(static, depth, palette, _StandingMiddles(plane, camera))
    swept = split.part.any(0) & body.insides.all(0)
    reach = body.halves[:, swept].max() / THICKNESS if swept.any() else 0.0

    def in_front(alphas: np.ndarray, halves: np.ndarray) -> Iterator[np.ndarray]:
        """Mid-surface of a flat part that clears the body."""
        flat = plane.depths(grid, focal, radius) - (reach + halves.max()) * radius / focal
        return iter(np.broadcast_to(flat, alphas.shape))

    rotating = np.where(split.part[..., None], small, 0)
    part = yield from _layer(rotating, ROTATING_THICKNESS * depth, palette, in_front)
    return Model((body, replace(part, thin=True)), palette, plane, camera)


def frame_splats(model: Model, index: int) -> Splats:
    """Opaque Gaussians on the object's surface in one frame."""
    parts = [surface_splats(*layer, model.camera) for layer in _frame_layers(model, index)]
    fields = ("means", "quats", "scales", "opacities", "colors")
    return Splats(*(torch.cat([getattr(part, name) for part in parts]) for name in fields))


def frame_mesh(model: Model, index: int) -> Mesh:
    """Closed mesh of the object in one frame."""
    return concatenate([closed_mesh(*layer, model.camera) for layer in _frame_layers(model, index)])


def _frame_layers(model: Model, index: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Silhouette, front and hidden colours, half thickness and mid-surface of each layer."""
    for layer in model.layers:
        inside, front = layer.insides[index], layer.fronts[index]
        hidden = regional_colors(layer.histograms[:, index], model.palette, len(inside))
        if layer.thin:
            hidden[:] = front.reshape(-1, 3)
        yield inside, front, hidden, layer.halves[index], layer.middles[index]


def describe(slant: Slant) -> str:
    """Report the slant in one sentence."""
    angle = math.degrees(math.atan(slant.slope))
    if abs(angle) < MIN_SLANT:
        return "the object is assumed to be parallel to the image"
    side = "right" if angle > 0 else "left"
    return f"the object's {side} side is assumed to be farther away, by {abs(angle):.0f} degrees"


def resized(frame: np.ndarray, size: int) -> np.ndarray:
    """Resize [S, S, 4] uint8 to [size, size, 4] float32 in [0, 1], colours weighted by alpha."""
    image = frame.astype(np.float32) / 255
    if len(frame) == size:
        return image
    image[..., :3] *= image[..., 3:]
    interpolation = cv2.INTER_AREA if size < len(frame) else cv2.INTER_LINEAR
    image = cv2.resize(image, (size, size), interpolation=interpolation)
    image[..., :3] /= np.maximum(image[..., 3:], 1e-4)
    return image.clip(0, 1)


def _layer(
    frames: np.ndarray,  # [T, G, G, 4] in [0, 1]
    depth: float,  # factor on the thickness
    palette: np.ndarray,  # [K, 3]
    middles: Callable[[np.ndarray, np.ndarray], Iterator[np.ndarray]],  # of alphas and halves
) -> Stage[Layer]:
    """Inflate one layer in all frames."""
    insides = frames[..., 3] > 0.5
    halves, fronts = np.empty(insides.shape), np.empty((*insides.shape, 3), np.float32)

    def inflate(index: int) -> None:
        halves[index] = THICKNESS * depth * half_thickness(insides[index])
        fronts[index] = front_colors(frames[index])

    for index, _ in enumerate(each(inflate, range(len(frames)))):
        yield Event("multiview", 0, len(frames), f"inflating frame {index + 1}")
    surfaces = []
    for middle in middles(frames[..., 3], halves):
        surfaces.append(middle)
        yield Event("multiview", 0, len(frames), f"estimating the depth of frame {len(surfaces)}")
    histograms = color_histograms(fronts, insides, palette)
    return Layer(insides, halves, np.stack(surfaces), fronts, histograms)


@dataclass(frozen=True)
class _StandingMiddles:
    """Mid-surface of an object on the ground: a plane, with the offsets of thin parts and legs."""

    plane: Slant
    camera: Cameras

    def __call__(self, alphas: np.ndarray, halves: np.ndarray) -> Iterator[np.ndarray]:
        insides, size = alphas > 0.5, alphas.shape[1]
        focal, radius = float(self.camera.Ks[0, 0, 0]), float(self.camera.centres().norm())
        contacts = lowest_points(alphas)
        offsets = legs.depth_offsets(insides, halves, contacts, self.plane, focal, radius)
        flat = self.plane.depths(size, focal, radius)
        leans = lean(halves) * radius / focal
        for leaning, *leg in zip(leans, insides, halves, offsets, strict=True):
            yield flat + leaning + bend(*leg)
