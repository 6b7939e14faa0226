"""SAM 2 (Ravi et al. 2024): the strokes of a few frames say what the object is, and the network's
memory of these frames finds it in all others.

1. Another engine makes first mattes.
2. In each frame with strokes, points on them and the frame's first matte are the prompts of SAM 2's
   image network. Without strokes, the first matte whose area is the median of the clip's is taken
   as it is.
3. The masks of these frames are the memory with which SAM 2's video network goes through the clip,
   onwards and then backwards from the earliest of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..config import MachineConfig
from ..errors import UserError
from ..images import checkerboard, over
from ..run import device
from ..run.events import Event, Stage
from ..weights import fetch, into_transformers
from ..weights.read import read_json
from .cleanup import reported

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, Sam2VideoProcessor

WEIGHTS = "sam2.1-hiera-tiny"
GPU_GB = 3.0  # not measured
POINTS = 8  # on the strokes of each brush, at most
CERTAIN = 10.0  # logit of a pixel that a first matte is sure of, as SAM 2 takes masks
OBJECT = 1  # number of the object in a session


def run(
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8; an alpha channel: over white
    strokes: dict[int, np.ndarray],  # frame -> [H, W] int8, 1 object, -1 background
    *,
    first: Callable[[np.ndarray], Stage[np.ndarray]],  # another engine's run
    machine: MachineConfig,
) -> Stage[np.ndarray]:
    """Mattes [T, H, W] uint8 of a clip's frames.

    Raises:
        UserError: no weights, or they are not SAM 2's.
    """
    alphas = yield from first(frames)
    yield Event("matting", 0, len(frames), "loading SAM 2")
    rgb = np.ascontiguousarray(over(frames) if frames.shape[-1] == 4 else frames)
    network = SAM2(fetch(WEIGHTS, machine.weights), device.pick(machine.device))
    try:
        if strokes:
            masks = network.prompted(rgb, strokes, alphas)
        else:
            typical = median_frame(alphas)
            masks = {typical: alphas[typical] > 127}
        alphas = yield from network.follow(rgb, masks)
    finally:
        device.release()
    alphas = yield from reported(alphas, "SAM 2")
    for frame, marks in strokes.items():
        alphas[frame][marks > 0], alphas[frame][marks < 0] = 255, 0
    return alphas


def median_frame(alphas: np.ndarray) -> int:
    """The frame whose matte has the median area, of mattes [T, H, W] uint8 that are not empty."""
    areas = (alphas > 127).sum((1, 2))
    order = np.argsort(areas, kind="stable")
    order = order[areas[order] > 0] if areas.any() else order
    return int(order[len(order) // 2])


def points_on(strokes: np.ndarray) -> np.ndarray:
    """Points [N, 2] (x, y), POINTS at most, on strokes [H, W] bool: far from their edges and from
    each other."""
    depth = cv2.distanceTransform(np.pad(strokes, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    rows, columns = np.nonzero(depth > 0.5 * depth.max())
    if not len(rows):
        return np.zeros((0, 2))
    inside = np.stack([columns, rows], -1)
    chosen = [inside[depth[rows, columns].argmax()]]
    while len(chosen) < POINTS:
        distance = np.min([np.square(inside - point).sum(-1) for point in chosen], 0)
        if distance.max() <= depth.max() ** 2:  # the strokes are covered
            break
        chosen.append(inside[distance.argmax()])
    return np.array(chosen)


class SAM2:
    """SAM 2's networks for images and for videos, which share their published weights.

    Raises:
        UserError: a file is damaged or another network's.
    """

    def __init__(self, folder: Path, place: torch.device):
        from transformers import Sam2VideoConfig

        facts = read_json(folder / "config.json")
        if facts.get("model_type") != "sam2_video":
            raise UserError(
                f"{folder / 'config.json'} describes {facts.get('model_type', 'no network')}, not "
                "SAM 2's network for videos.",
                "The folder should hold the files of facebook/sam2.1-hiera-tiny.",
            )
        self.folder, self.place = folder, place
        self.dtype = torch.bfloat16 if place.type == "cuda" else torch.float32  # as published
        self.config = Sam2VideoConfig.from_dict(facts)
        self.processor = _processor(self.config.image_size)

    def _load(self, network: type, config: PreTrainedConfig) -> torch.nn.Module:
        file = self.folder / "model.safetensors"
        return into_transformers.load(network, config, file, "SAM 2", self.dtype).to(self.place)

    @torch.inference_mode()
    def prompted(
        self,
        rgb: np.ndarray,  # [T, H, W, 3] uint8
        strokes: dict[int, np.ndarray],  # frame -> [H, W] int8, 1 object, -1 background
        alphas: np.ndarray,  # [T, H, W] uint8, the first mattes
    ) -> dict[int, np.ndarray]:
        """Masks [H, W] bool, by frame, of the object that strokes and first mattes show."""
        from transformers import Sam2Config, Sam2Model

        parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
        config = Sam2Config(**{part: getattr(self.config, part) for part in parts})
        network = self._load(Sam2Model, config)
        masks = {}
        for frame, marks in strokes.items():
            inputs = self._prompts(rgb[frame], marks, alphas[frame])
            found = network(**inputs, multimask_output=False)
            mask = _enlarged(found.pred_masks, marks.shape).cpu().numpy() > 0
            masks[frame] = (mask | (marks > 0)) & (marks >= 0)
        return masks

    def _prompts(self, rgb: np.ndarray, marks: np.ndarray, alpha: np.ndarray) -> dict[str, Tensor]:
        """Inputs of the image network: a frame, points on its strokes, and its first matte."""
        from transformers import Sam2Processor

        inside, outside = points_on(marks > 0), points_on(marks < 0)
        inputs = Sam2Processor(self.processor.image_processor)(
            images=rgb,
            input_points=[[np.concatenate([inside, outside]).tolist()]],
            input_labels=[[[1] * len(inside) + [0] * len(outside)]],
            return_tensors="pt",
        )
        logits = CERTAIN * (torch.from_numpy(alpha)[None, None] / 127.5 - 1)
        return {
            "pixel_values": inputs["pixel_values"].to(self.place, self.dtype),
            "input_points": inputs["input_points"].to(self.place),
            "input_labels": inputs["input_labels"].to(self.place),
            "input_masks": logits.to(self.place, self.dtype),
        }

    @torch.inference_mode()
    def follow(
        self,
        rgb: np.ndarray,  # [T, H, W, 3] uint8
        masks: dict[int, np.ndarray],  # frame -> [H, W] bool
    ) -> Stage[np.ndarray]:
        """Mattes [T, H, W] uint8 of the object with these masks."""
        from transformers import Sam2VideoModel

        network = self._load(Sam2VideoModel, self.config)
        session = self.processor.init_video_session(
            torch.from_numpy(rgb).movedim(-1, 1), self.place, dtype=self.dtype
        )
        for frame, mask in masks.items():
            self.processor.add_inputs_to_inference_session(session, frame, OBJECT, input_masks=mask)
            network(session, frame)
        alphas = np.zeros(rgb.shape[:3], np.uint8)
        board = checkerboard(*rgb.shape[1:3])
        done, start = 0, min(masks)
        for backwards in (False, True):
            for found in network.propagate_in_video_iterator(session, start, reverse=backwards):
                if backwards and found.frame_idx == start:
                    continue
                logits = _enlarged(found.pred_masks, rgb.shape[1:3])
                alpha = (255 * logits.sigmoid() + 0.5).to(torch.uint8).cpu().numpy()
                alphas[found.frame_idx] = alpha
                done += 1
                preview = over(np.dstack([rgb[found.frame_idx], alpha]), board)
                message = f"SAM 2 on the {'GPU' if self.place.type == 'cuda' else 'CPU'}"
                yield Event("matting", done, len(rgb), message, preview)
        return alphas


def _processor(size: int) -> Sam2VideoProcessor:
    """SAM 2's preprocessing for a network that takes squares of this side, pixels."""
    from transformers import Sam2ImageProcessor, Sam2VideoProcessor, Sam2VideoVideoProcessor

    square = {"height": size, "width": size}
    return Sam2VideoProcessor(
        Sam2ImageProcessor(size=square), Sam2VideoVideoProcessor(size=square), target_size=size
    )


def _enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits [..., h, w] of one mask in the pixels of a frame, [H, W] float32."""
    logits = logits.float().reshape(1, 1, *logits.shape[-2:])
    return interpolate(logits, size, mode="bilinear", align_corners=False)[0, 0]
