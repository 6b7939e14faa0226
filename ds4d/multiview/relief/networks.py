"""Networks that tell the depth of a single image: MoGe-2 and Depth Anything V2, both ViT-S.

Both see the object over white. They were trained on photographs whose sides are multiples of 14
pixels; fewer pixels than in training save time, which is what a CPU has too little of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ...config import MachineConfig
from ...errors import UserError
from ...images import over
from ...run import device
from ...weights import fetch, into_transformers, read_json, unreadable
from ...weights.integrity import fault

PATCH = 14  # pixels along a side of a token
TOKENS = 20  # along a side of an image
SIZE = PATCH * TOKENS  # pixels along a side of an image
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's colours
DAMAGED = "Its weights may be damaged: delete the file and let it be downloaded again."
OUTPUTS = {"points": 3, "normal": 3, "mask": 0}  # of MoGe-2, with their last dimension


@dataclass(frozen=True)
class Reading:
    """Depth and normals of one frame, as a network tells them, at SIZE x SIZE pixels."""

    depth: np.ndarray  # [SIZE, SIZE] float32, larger is farther away
    normals: np.ndarray | None  # [SIZE, SIZE, 3], OpenCV axes, towards the camera
    valid: np.ndarray  # [SIZE, SIZE] bool: pixels of which it says something


class Network(Protocol):
    """A network, loaded."""

    title: str
    scaled: bool  # True: depths are in widths of the frame; False: their unit is unknown

    def read(self, frame: np.ndarray) -> Reading:
        """Read a frame [SIZE, SIZE, 4] uint8, straight alpha."""


class MoGe:
    """MoGe-2 ViT-S with normals (Wang et al. 2025), as its authors exported it to ONNX.

    Its points are the scene's up to a scale and a shift along the axis. The scale is that at which
    the frame is one wide. Its fourth output, the size in metres, is not needed.

    Raises:
        UserError: the file is damaged or another network's.
    """

    title, scaled = "MoGe-2", True

    def __init__(self, folder: Path, machine: MachineConfig):
        import onnxruntime

        file = folder / "model.onnx"
        damage = fault(file)
        if damage:
            raise UserError(f"The weights file {file} {damage}.", "Delete or replace it.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        cuda = device.pick(machine.device).type == "cuda"
        wanted = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
        here = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=here)
        except Exception as error:  # onnxruntime's errors have nothing in common
            raise unreadable(file, error) from error
        inputs = {entry.name for entry in self.session.get_inputs()}
        outputs = {entry.name for entry in self.session.get_outputs()}
        if inputs != {"image", "num_tokens"} or not outputs >= OUTPUTS.keys():
            raise UserError(
                f"The weights {file} are not MoGe-2 with normals: they take {_list(inputs)} and "
                f"give {_list(outputs)}.",
                "It is another network's file.",
            )

    def read(self, frame: np.ndarray) -> Reading:
        image = np.moveaxis(over(frame), -1, 0)[None].astype(np.float32) / 255
        values = {"image": image, "num_tokens": np.array(TOKENS**2, np.int64)}
        points, normals, mask = (out[0] for out in self.session.run(list(OUTPUTS), values))
        inside = frame[..., 3] > 127
        valid = mask > 0.5
        seen = inside & valid if (inside & valid).any() else inside
        width = _width(points, seen) if seen.any() else 1.0
        if not (np.isfinite(points[seen]).all() and np.isfinite(normals[seen]).all() and width > 0):
            raise UserError("MoGe-2 returns points that no image has.", DAMAGED)
        return Reading(points[..., 2] / width, normals, valid)


class DepthAnything:
    """Depth Anything V2 Small (Yang et al. 2024): inverse depth, up to a scale and a shift.

    An object is small beside its distance, so that its depth is the negative of that, up to the
    same.

    Raises:
        UserError: a file is damaged or another network's.
    """

    title, scaled = "Depth Anything V2", False

    def __init__(self, folder: Path, machine: MachineConfig):
        from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

        facts = read_json(folder / "config.json")
        if facts.get("model_type") != "depth_anything" or facts.get("patch_size") != PATCH:
            raise UserError(
                f"{folder / 'config.json'} describes {facts.get('model_type', 'no network')}, not "
                f"Depth Anything with patches of {PATCH} pixels.",
                "The folder should hold the files of depth-anything/Depth-Anything-V2-Small-hf.",
            )
        self.place = device.pick(machine.device)
        self.network = into_transformers.load(
            DepthAnythingForDepthEstimation,
            DepthAnythingConfig.from_dict(facts),
            folder / "model.safetensors",
            "Depth Anything",
            torch.float32,
            frozenset({"backbone.embeddings.mask_token"}),  # of training only
        ).to(self.place)

    @torch.inference_mode()
    def read(self, frame: np.ndarray) -> Reading:
        image = ((over(frame) / 255 - MEAN) / STD).astype(np.float32)
        values = torch.from_numpy(image).movedim(-1, 0)[None].to(self.place)
        depth = -self.network(pixel_values=values).predicted_depth[0].cpu().numpy()
        if not np.isfinite(depth).all():
            raise UserError("Depth Anything returns values that are not finite.", DAMAGED)
        return Reading(depth, None, np.ones(depth.shape, bool))


NETWORKS: dict[str, type[Network]] = {"moge-2-vits": MoGe, "depth-anything-v2-small": DepthAnything}


def load(name: str, machine: MachineConfig) -> Network:
    """Load a network of NETWORKS; UserError if its weights are missing, damaged or other ones."""
    return NETWORKS[name](fetch(name, machine.weights), machine)


def on_grid(reading: Reading, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Depth [G, G] and normals [G, G, 3] of a reading, for the pixels of a frame [G, G, 4].

    Means over what is valid and inside the silhouette: beyond it is the background. Pixels without
    any such take those of the nearest one that has some.
    """
    G = len(frame)
    inside = cv2.resize(frame[..., 3], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) > 127
    weights = (inside & reading.valid).astype(np.float32)
    maps = [reading.depth, *(() if reading.normals is None else np.moveaxis(reading.normals, 2, 0))]
    total = _area(weights, G)
    sums = [_area(np.where(weights > 0, part, 0), G) for part in maps]
    means = np.stack(sums, -1) / np.maximum(total, 1e-9)[..., None]
    if total.any():
        nearest = distance_transform_edt(total <= 0, return_distances=False, return_indices=True)
        means = means[tuple(nearest)]
    return means[..., 0], None if reading.normals is None else means[..., 1:]


def _area(values: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(values.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


def _width(points: np.ndarray, seen: np.ndarray) -> float:
    """Width of the frame in the points' unit: how far x and y go on over the pixels seen."""
    places = np.stack(np.nonzero(seen)[::-1], -1) / len(seen)  # column, row
    places = places - places.mean(0)
    sides = points[seen][:, :2] - points[seen][:, :2].mean(0)
    return float((sides * places).sum() / max((places**2).sum(), 1e-12))


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))
