"""The pretrained mesh engine: InstantMesh, from views to a mesh in our world.

The six generated views become a triplane, whose density is thresholded at the published level. The
surface comes out in InstantMesh's world; a known rotation brings it into ours, and its size and
position are fitted to the silhouettes, since the views' generator normalises both.
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
from .. import align
from ..mesh import Mesh
from .cameras import camera_vectors, from_instantmesh
from .extract import extract_surface, sample_density
from .model import LRM, load

VIEW_SIZE = 320  # pixels; the views that the model was trained on
CHUNK = {"cuda": 2**20, "cpu": 2**17}  # points that are decoded at once
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean, standard deviation
# Percentages of the stage at which its parts begin.
ENCODING, TRANSFORMING, SAMPLING, EXTRACTING, COLORING, FITTING = 5, 20, 45, 80, 82, 85


def run(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the real front view
    cameras: Cameras,  # V
    resolution: int,  # the density is sampled on a grid of resolution^3
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
        mesh = yield from _reconstruct(images[1:], cameras[1:], resolution, model, machine)
    finally:
        release()
    fit = align.fit(mesh, images, cameras, search_rotation=False)
    fitted, _ = yield from nested(fit, Event("mesh", FITTING, 100), share=100 - FITTING)
    return fitted


def _reconstruct(
    images: np.ndarray, cameras: Cameras, resolution: int, model: str, machine: MachineConfig
) -> Stage[Mesh]:
    """The mesh in our world, in InstantMesh's size."""
    device = pick(machine.device)
    name = f"instantmesh-{model}"
    lrm = load(fetch(name, machine.weights) / CATALOGUE[name].files[0], device)
    pixel_values = preprocess(images, machine.weights).to(device)
    vectors = camera_vectors(cameras).to(device)
    planes = yield from _triplane(lrm, pixel_values, vectors, network_dtype(device))
    if not planes.isfinite().all():
        message = "half precision was not enough; reading the views again"
        yield Event("mesh", ENCODING, 100, message)
        planes = yield from _triplane(lrm, pixel_values, vectors, torch.float32)
    synthesizer = lrm.synthesizer
    del lrm  # only its decoder is needed from here on

    chunk = CHUNK["cpu" if machine.low_memory else device.type]
    chunks = -(-(resolution**3) // chunk)
    sampling = sample_density(lambda at: synthesizer(planes, at)[0], resolution, chunk, device)
    density = yield from _with_events(
        sampling, chunks, SAMPLING, EXTRACTING, "measuring the density"
    )  # fmt: skip
    yield Event("mesh", EXTRACTING, 100, "extracting the surface")
    vertices, faces = extract_surface(density)
    yield Event("mesh", COLORING, 100, "colouring the surface")
    points = torch.from_numpy(vertices)
    colors = [synthesizer(planes, part.to(device))[1].cpu() for part in points.split(chunk)]
    return Mesh(from_instantmesh(points), torch.from_numpy(faces), torch.cat(colors).clamp(0, 1))


def _triplane(
    lrm: LRM,
    pixel_values: Tensor,  # [V, 3, S, S]
    vectors: Tensor,  # [V, 16]
    dtype: torch.dtype,  # that the networks compute in
) -> Stage[Tensor]:
    """The three feature planes, float32."""
    device = pixel_values.device
    encoding = _autocast(lrm.encoder.steps(pixel_values, vectors), device, dtype)
    layers = len(lrm.encoder.model["encoder"]["layer"])
    tokens = yield from _with_events(encoding, layers, ENCODING, TRANSFORMING, "reading the views")
    transforming = _autocast(lrm.transformer.steps(tokens.flatten(0, 1)[None]), device, dtype)
    layers = len(lrm.transformer.layers)
    planes = yield from _with_events(
        transforming, layers, TRANSFORMING, SAMPLING, "predicting the object"
    )  # fmt: skip
    return planes.float()


def _autocast(
    steps: Generator[Tensor, None, Tensor], device: torch.device, dtype: torch.dtype
) -> Generator[Tensor, None, Tensor]:
    """Steps of a network under autocast, which is off for the caller between them."""
    while True:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            try:
                state = next(steps)
            except StopIteration as end:
                return end.value
        yield state


def _with_events(steps: Generator, count: int, first: int, last: int, message: str) -> Stage:
    """An event before the first and after each of `count` steps of a computation; its result.

    Args:
        first, last: percentages of the stage at which the computation begins and ends.
    """
    done = itertools.count(1)

    def event(finished: int) -> Event:
        return Event("mesh", first + (last - first) * finished // count, 100, message)

    yield event(0)
    return (yield from mapped(steps, lambda _: event(next(done))))


def preprocess(
    images: np.ndarray,  # [V, S, S, 4] uint8 RGBA, straight alpha
    weights: str,  # the user's folder of weights, or ""
) -> Tensor:
    """The encoder's input [V, 3, 320, 320]: on white, resized in floating point, normalised."""
    views = torch.from_numpy(over(images)).permute(0, 3, 1, 2).float() / 255
    views = F.interpolate(views, (VIEW_SIZE, VIEW_SIZE), mode="bicubic", antialias=True)
    mean, std = (torch.tensor(values)[:, None, None] for values in _normalisation(weights))
    return (views.clamp(0, 1) - mean) / std


def _normalisation(weights: str) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation by the encoder's preprocessor_config.json, else ImageNet's."""
    found = find("dino-vitb16", weights)
    if found.path is None:
        return IMAGENET
    settings = read_json(found.path / "preprocessor_config.json")
    return settings["image_mean"], settings["image_std"]
