"""The pretrained mesh engine: InstantMesh's large reconstruction model (Xu et al. 2024).

The six generated views become three feature planes, whose density is cut at the published level.
The surface comes out in InstantMesh's world; a known turn brings it into ours, and the silhouettes
say how large it is and where, since the views' generator normalises both.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...cameras import Cameras
from ...config import MachineConfig
from ...images import over
from ...run.device import network_dtype, pick, release
from ...run.events import Event, Stage, mapped, nested
from ...weights import CATALOGUE, fetch, find, read_json
from .. import Mesh, align
from .cameras import camera_vectors, from_instantmesh
from .extract import sampled_density, surface
from .model import LRM, load

VIEW_SIZE = 320  # pixels; the views that the model was trained on
POINTS = {"cuda": 2**20, "cpu": 2**17}  # that are decoded at once
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean, deviation


def run(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    resolution: int,  # the density is measured at resolution^3 places
    *,
    model: str,  # "large" or "base"
    machine: MachineConfig,
) -> Stage[Mesh]:
    """Reconstruct the mesh of one moment from views 1 to V - 1.

    The last event's metrics hold the mean IoU with all silhouettes ("iou") and the front view's.

    Raises:
        UserError: the weights are not to be had or not InstantMesh's, or no surface comes out.
    """
    yield Event("mesh", 0, 100, f"loading InstantMesh's {model} model")
    try:
        mesh = yield from _reconstructed(images[1:], cameras[1:], resolution, model, machine)
    finally:
        release()
    return (yield from _fitted(mesh, images, cameras))


def _reconstructed(
    images: np.ndarray, cameras: Cameras, resolution: int, model: str, machine: MachineConfig
) -> Stage[Mesh]:
    """The mesh in our world, as large as InstantMesh has it."""
    device = pick(machine.device)
    name = f"instantmesh-{model}"
    lrm = load(fetch(name, machine.weights) / CATALOGUE[name].files[0], device)
    pixels = _prepared(images, machine.weights).to(device)
    vectors = camera_vectors(cameras).to(device)
    planes = yield from _planes(lrm, pixels, vectors, network_dtype(device))
    if not planes.isfinite().all():
        yield _share(5, 5, 0, "half precision was not enough; reading the views again")
        planes = yield from _planes(lrm, pixels, vectors, torch.float32)
    synthesizer = lrm.synthesizer
    del lrm  # what is left to do needs a small part of it

    chunk = POINTS["cpu" if machine.low_memory else device.type]
    chunks = -(-(resolution**3) // chunk)
    sampling = sampled_density(lambda at: synthesizer(planes, at)[0], resolution, chunk, device)
    field = yield from _shared(sampling, chunks, 45, 80, "measuring the density")
    yield _share(80, 80, 0, "drawing the surface")
    vertices, faces = surface(field)
    yield _share(82, 82, 0, "colouring the surface")
    places = torch.from_numpy(vertices)
    colors = [synthesizer(planes, part.to(device))[1].cpu() for part in places.split(chunk)]
    return Mesh(from_instantmesh(places), torch.from_numpy(faces), torch.cat(colors).clamp(0, 1))


def _planes(
    lrm: LRM,
    pixels: Tensor,  # [V, 3, S, S]
    vectors: Tensor,  # [V, 16]
    dtype: torch.dtype,
) -> Stage[Tensor]:
    """The three planes in float32, the networks computed in a precision."""
    layers = len(lrm.encoder.model["encoder"]["layer"])
    reading = _cast(lrm.encoder.steps(pixels, vectors), pixels.device, dtype)
    tokens = yield from _shared(reading, layers, 5, 20, "reading the views")
    drawing = _cast(lrm.transformer.steps(tokens.flatten(0, 1)[None]), pixels.device, dtype)
    words = "imagining the object"
    planes = yield from _shared(drawing, len(lrm.transformer.layers), 20, 45, words)
    return planes.float()


def _cast(
    steps: Generator[Tensor, None, Tensor], device: torch.device, dtype: torch.dtype
) -> Generator[Tensor, None, Tensor]:
    """Steps of a network in a precision, which must not leak to those who listen between them."""
    while True:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            try:
                state = next(steps)
            except StopIteration as end:
                return end.value
        yield state


def _shared(steps: Generator, count: int, first: int, last: int, message: str) -> Stage:
    """An event before the first and after each of `count` steps of a computation; its result."""
    done = itertools.count(1)
    yield _share(first, last, 0, message)
    return (yield from mapped(steps, lambda _: _share(first, last, next(done) / count, message)))


def _share(first: int, last: int, done: float, message: str) -> Event:
    """News of a part of the work, which takes the stage from one percentage to another."""
    return Event("mesh", first + int((last - first) * done), 100, message)


def _prepared(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha
    weights: str,  # the user's folder of weights, or ""
) -> Tensor:
    """The views as the encoder wants them: on white, normalised, [V, 3, 320, 320]."""
    views = torch.from_numpy(over(images)).permute(0, 3, 1, 2).float() / 255
    views = F.interpolate(views, (VIEW_SIZE, VIEW_SIZE), mode="bicubic", antialias=True)
    mean, deviation = (torch.tensor(part)[:, None, None] for part in _normalisation(weights))
    return (views.clamp(0, 1) - mean) / deviation


def _normalisation(weights: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of the encoder's images; ImageNet's where its settings are absent."""
    found = find("dino-vitb16", weights)
    if found.path is None:
        return IMAGENET
    settings = read_json(found.path / "preprocessor_config.json")
    return settings["image_mean"], settings["image_std"]


def _fitted(mesh: Mesh, images: np.ndarray, cameras: Cameras) -> Stage[Mesh]:
    """The mesh in the size and place that the silhouettes tell."""
    fit = align.fit(mesh, images, cameras, search_rotation=False)
    fitted, _ = yield from nested(fit, Event("mesh", 85, 100), share=15)
    return fitted
