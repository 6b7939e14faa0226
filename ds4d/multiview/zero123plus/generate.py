"""Generate the six views of every frame with Zero123++'s networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from ...config import MachineConfig, MultiviewConfig
from ...errors import UserError
from ...images import tile
from ...run.device import network_dtype, pick, release
from ...run.events import Event, Stage, mapped
from ...weights import fetch
from .attention import Anchor, anchor_bytes, install_reference_attention
from .conditioning import Condition, encode_frame, encode_prompt
from .load import load_encoders, load_scheduler, load_unet, load_vae
from .preprocessing import GREY, WHITE
from .sampler import decode, denoise, to_uint8

VIEW, COLUMNS, ROWS = 320, 2, 3  # side of a view in pixels; columns and rows of the grid of views
FRAME_BYTES = 800_000_000  # GPU memory of a frame; twice what was measured on an H200
LARGEST_BATCH = 8  # frames; fewer keep a GPU busy
WHITE_UNET = "diffusion_pytorch_model.bin"  # InstantMesh's


def generate_views(
    frames: np.ndarray,  # [T, S, S, 4] uint8
    config: MultiviewConfig,
    machine: MachineConfig,
    seed: int,
    total: int,  # units of work in the stage, of which a step of a frame is one
) -> Stage[np.ndarray]:
    """Six views of each frame, [T, 6, 320, 320, 3] uint8, on a plain background.

    All frames start from the same noise. A frame's result does not depend on the batch that it is
    in. CLIP leaves memory before the UNet is loaded.

    Raises:
        UserError: weights are missing or wrong, or a name in `config.redraw` is malformed.
    """
    # 1. Check inputs, and load what conditions need.
    redraws = parse_redraws(config.redraw, len(frames))
    device = pick(machine.device)
    dtype = network_dtype(device)
    folder = fetch(f"zero123plus-{config.version}", machine.weights)
    white = fetch("instantmesh-unet", machine.weights) / WHITE_UNET if config.white else None
    scheduler = load_scheduler(folder / "scheduler", config.solver)
    vae = load_vae(folder / "vae", device, dtype)

    # 2. Encode the frames. Each frame has a generator, and all of them the same seed.
    generators = [torch.Generator().manual_seed(seed) for _ in frames]
    conditions = yield from _encode_frames(frames, config, folder, vae, generators, total)
    release()

    # 3. Load the denoiser.
    yield Event("multiview", 0, total, "loading the denoiser")
    unet = load_unet(folder / "unet", device, dtype, white)
    reference = install_reference_attention(unet)
    size = (ROWS * VIEW // _pixels_per_latent(vae), COLUMNS * VIEW // _pixels_per_latent(vae))
    if config.anchor == "first" and len(frames) > 1:
        kept_on = _anchor_device(unet, size, conditions[0], config.steps, machine.low_memory)
        reference.anchor = Anchor(unet, size, kept_on)

    def denoised(
        condition: Condition, generators: list[torch.Generator], name: str, done: int
    ) -> Stage[torch.Tensor]:
        """Latents of a batch of frames; `done` units of work are finished before it."""

        def event(step: int) -> Event:
            message = f"{name}, step {step} of {config.steps}"
            return Event("multiview", done + step * len(condition), total, message)

        steps = denoise(
            unet, reference, scheduler, condition, generators, size, config.steps, config.guidance
        )
        latents = yield from mapped(steps, event)
        if reference.anchor is not None:
            reference.anchor.replay()
        return latents

    # 4. Denoise batch by batch, and decode frame by frame: decoding takes most memory.
    views = np.empty((len(frames), ROWS * COLUMNS, VIEW, VIEW, 3), np.uint8)
    largest = batch_size(device, machine.low_memory)
    for start, stop in batches(len(frames), largest, first_alone=reference.anchor is not None):
        condition = Condition.concatenate(conditions[start:stop])
        name = f"frame {start + 1}" if stop == start + 1 else f"frames {start + 1} to {stop}"
        done = start * config.steps
        latents = yield from denoised(condition, generators[start:stop], name, done)
        for index in range(start, stop):
            views[index] = split_grid(to_uint8(decode(vae, latents[index - start][None])))
            done = (index + 1) * config.steps
            preview = tile(views[index], columns=3)
            yield Event("multiview", done, total, f"six views of frame {index + 1}", preview)

    # 5. Generate single frames again, from other noise.
    for position, (index, attempt) in enumerate(redraws, len(frames)):
        generator = torch.Generator().manual_seed(seed + attempt)
        name = f"frame {index + 1} once more"
        done = position * config.steps
        latents = yield from denoised(conditions[index], [generator], name, done)
        views[index] = split_grid(to_uint8(decode(vae, latents)))
        done += config.steps
        yield Event("multiview", done, total, name, tile(views[index], columns=3))
    return views


def parse_redraws(names: Sequence[str], frames: int) -> list[tuple[int, int]]:
    """Frames (from 0 on) to generate again with their attempts, from names FRAME:ATTEMPT.

    A frame's last attempt counts; frames beyond the clip are left out.

    Raises:
        UserError: a name is malformed.
    """
    attempts: dict[int, int] = {}
    for name in names:
        frame, _, attempt = name.partition(":")
        if not (frame.isdigit() and attempt.isdigit() and int(frame) and int(attempt)):
            raise UserError(f"{name} names no frame to draw again.", "Write FRAME:TRY, like 3:1.")
        if int(frame) <= frames:
            attempts[int(frame) - 1] = int(attempt)
    return sorted(attempts.items())


def batches(frames: int, size: int, first_alone: bool) -> Iterator[tuple[int, int]]:
    """First and last + 1 of the frames of each batch."""
    start = 0
    while start < frames:
        stop = min(frames, start + (1 if first_alone and start == 0 else size))
        yield start, stop
        start = stop


def batch_size(device: torch.device, low_memory: bool) -> int:
    """Frames that are denoised at once, by the memory that is free."""
    if device.type != "cuda" or low_memory:
        return 1
    return max(1, min(LARGEST_BATCH, torch.cuda.mem_get_info(device)[0] // FRAME_BYTES))


def split_grid(grid: np.ndarray) -> np.ndarray:
    """The six views [6, 320, 320, 3] of a grid [960, 640, 3], row by row."""
    parts = grid.reshape(ROWS, VIEW, COLUMNS, VIEW, 3).swapaxes(1, 2)
    return parts.reshape(ROWS * COLUMNS, VIEW, VIEW, 3)


def _encode_frames(
    frames: np.ndarray,
    config: MultiviewConfig,
    folder: Path,
    vae: AutoencoderKL,
    generators: list[torch.Generator],  # T
    total: int,
) -> Stage[list[Condition]]:
    """The frames' conditions."""
    encoders = load_encoders(folder, vae.device, vae.dtype)
    background = WHITE if config.white else GREY
    prompt_embeds = encode_prompt(encoders)
    guided = config.guidance > 1
    conditions = []
    for index, (frame, generator) in enumerate(zip(frames, generators, strict=True)):
        condition = encode_frame(
            frame, encoders, vae, prompt_embeds, background, generator, guided
        )  # fmt: skip
        conditions.append(condition)
        yield Event("multiview", 0, total, f"encoding frame {index + 1}")
    return conditions


def _anchor_device(
    unet: UNet2DConditionModel,
    size: tuple[int, int],
    condition: Condition,
    steps: int,
    low_memory: bool,
) -> torch.device:
    """The GPU where the anchor leaves room for full batches, else the CPU."""
    if unet.device.type != "cuda" or low_memory:
        return torch.device("cpu")
    needed = anchor_bytes(unet, size, steps, halves=1 + condition.guided)
    free = torch.cuda.mem_get_info(unet.device)[0]
    room = free - needed > LARGEST_BATCH * FRAME_BYTES
    return unet.device if room else torch.device("cpu")


def _pixels_per_latent(vae: AutoencoderKL) -> int:
    """Pixels along a side of a latent."""
    return 2 ** (len(vae.config.block_out_channels) - 1)
