"""The object in space, frame by frame, from what its front view tells over the whole clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from ...cameras import Cameras
from ...run.events import Event, Stage
from ...run.parallel import each
from ...splatting import Splats
from . import legs, rotating_part
from .colors import cast_votes, front_colors, palette, regional_colors
from .ground_plane import Slant, contact_candidates, estimate_slant
from .mesh import Surface, closed, joined
from .mid_surface import bent, leaning
from .silhouette import half_thickness, shell

LARGEST_GRID = 256  # the shell is sampled at most this finely along a side
ROUND = 0.9  # most things are a little less deep than a round thing of the same silhouette
SAIL = 0.6  # thickness of a part that turns, of another's


@dataclass(frozen=True)
class Layer:
    """What stands for itself in space, the object or a part of it, in T frames at G x G."""

    insides: np.ndarray  # [T, G, G] bool
    halves: np.ndarray  # [T, G, G] half thickness, pixels
    middles: np.ndarray  # [T, G, G] depth of the middle surface along the optical axis
    fronts: np.ndarray  # [T, G, G, 3] colours, continued outside the silhouettes
    votes: np.ndarray  # see texture.cast_votes
    thin: bool = False  # whether its front shows through, as a sail's does


@dataclass(frozen=True)
class Model:
    """The object over the whole clip."""

    layers: tuple[Layer, ...]
    palette: np.ndarray  # [K, 3]
    slant: Slant
    camera: Cameras  # the front camera at G x G


def prepare(
    frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
    front: Cameras,  # one camera at S x S, level, at azimuth 0
    slant: float | None = None,  # degrees, positive: the right side is farther away; None = found
    depth: float = 1.0,  # scale of the thickness
) -> Stage[Model]:
    """All that takes the whole clip; the events say what was found."""
    grid = min(frames.shape[1], LARGEST_GRID)
    small = np.stack([resized(frame, grid) for frame in frames])  # [T, G, G, 4] float32
    camera = front.resized(grid, grid)
    focal, radius = float(camera.Ks[0, 0, 0]), float(camera.centres().norm())
    plane = estimate_slant(small[..., 3], focal, radius)
    if slant is not None:
        plane = replace(plane, slope=math.tan(math.radians(slant)), confidence=1.0)
    yield Event("multiview", 0, len(frames), describe(plane))
    colors = palette(small)
    turn = rotating_part.find(small)
    apart = None if turn is None else rotating_part.take_apart(small, turn)
    if apart is None:
        body = yield from _layer(small, depth, colors, _Standing(plane, camera))
        return Model((body,), colors, plane, camera)

    yield Event("multiview", 0, len(frames), "a part turns before a body that rests")
    resting = np.concatenate([apart.colors, apart.body[..., None]], -1, dtype=np.float32)
    body = yield from _layer(resting, depth, colors, _Standing(plane, camera))
    swept = apart.before.any(0) & body.insides.all(0)
    reach = body.halves[:, swept].max() / ROUND if swept.any() else 0.0

    def before(alphas: np.ndarray, halves: np.ndarray) -> Iterator[np.ndarray]:
        """Clear of the body: the middle surface of a flat part that turns in front of it."""
        flat = plane.depths(grid, focal, radius) - (reach + halves.max()) * radius / focal
        return iter(np.broadcast_to(flat, alphas.shape))

    part = np.where(apart.before[..., None], small, 0)
    part = yield from _layer(part, SAIL * depth, colors, before)
    return Model((body, replace(part, thin=True)), colors, plane, camera)


def solid(model: Model, index: int) -> Splats:
    """Gaussians of the object in one frame."""
    shells = [shell(*parts, model.camera) for parts in _frame(model, index)]
    fields = ("means", "quats", "scales", "opacities", "colors")
    return Splats(*(torch.cat([getattr(one, name) for one in shells]) for name in fields))


def surface(model: Model, index: int) -> Surface:
    """The object in one frame as a mesh."""
    return joined([closed(*parts, model.camera) for parts in _frame(model, index)])


def _frame(model: Model, index: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Silhouette, front and hidden colours, half thickness and middle surface of each layer."""
    for layer in model.layers:
        inside, front = layer.insides[index], layer.fronts[index]
        hidden = regional_colors(layer.votes[:, index], model.palette, len(inside))
        if layer.thin:
            hidden[:] = front.reshape(-1, 3)
        yield inside, front, hidden, layer.halves[index], layer.middles[index]


def describe(slant: Slant) -> str:
    """The slant in words."""
    angle = math.degrees(math.atan(slant.slope))
    if abs(angle) < 2:
        return "the object is taken to stand parallel to the image"
    side = "right" if angle > 0 else "left"
    return f"the object's {side} side is taken to be farther away, by {abs(angle):.0f} degrees"


def resized(frame: np.ndarray, size: int) -> np.ndarray:
    """[S, S, 4] uint8 -> [size, size, 4] float32 in [0, 1]; colours weighted by their alpha."""
    image = frame.astype(np.float32) / 255
    if len(frame) == size:
        return image
    image[..., :3] *= image[..., 3:]
    shrinks = size < len(frame)
    image = cv2.resize(
        image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    image[..., :3] /= np.maximum(image[..., 3:], 1e-4)
    return image.clip(0, 1)


def _layer(
    frames: np.ndarray,  # [T, G, G, 4] in [0, 1]
    depth: float,  # scale of the thickness
    colors: np.ndarray,  # [K, 3] the palette
    middles: Callable[[np.ndarray, np.ndarray], Iterator[np.ndarray]],  # of alphas and halves
) -> Stage[Layer]:
    insides = frames[..., 3] > 0.5
    halves, fronts = np.empty(insides.shape), np.empty((*insides.shape, 3), np.float32)

    def inflate(index: int) -> None:
        halves[index] = ROUND * depth * half_thickness(insides[index])
        fronts[index] = front_colors(frames[index])

    for index, _ in enumerate(each(inflate, range(len(frames)))):
        yield Event("multiview", 0, len(frames), f"inflating frame {index + 1}")
    surfaces = []
    for surface in middles(frames[..., 3], halves):
        surfaces.append(surface)
        yield Event("multiview", 0, len(frames), f"placing frame {len(surfaces)} in depth")
    votes = cast_votes(fronts, insides, colors)
    return Layer(insides, halves, np.stack(surfaces), fronts, votes)


@dataclass(frozen=True)
class _Standing:
    """The middle surface of an object on the floor: a plane, before which thin parts reach, and
    each leg's own depth."""

    plane: Slant
    camera: Cameras

    def __call__(self, alphas: np.ndarray, halves: np.ndarray) -> Iterator[np.ndarray]:
        insides, size = alphas > 0.5, alphas.shape[1]
        focal, radius = float(self.camera.Ks[0, 0, 0]), float(self.camera.centres().norm())
        contacts = contact_candidates(alphas, max(2, size // 40))
        own = legs.offsets(insides, halves, contacts, self.plane, focal, radius)
        flat = self.plane.depths(size, focal, radius)
        leans = leaning(halves) * radius / focal
        for lean, *parts in zip(leans, insides, halves, own, strict=True):
            yield flat + lean + bent(*parts)
