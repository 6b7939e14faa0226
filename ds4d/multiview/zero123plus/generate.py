"""The part of Zero123++ that needs its networks: frames in, six pictures of each out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
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
from .attention import Anchor, anchor_bytes, install
from .conditioning import Condition, Noise, describe, draw_noise, text_embedding, together
from .load import load_encoders, load_schedule, load_unet, load_vae
from .preprocessing import GREY, WHITE, over_plain
from .sampler import decode, denoise, to_uint8

VIEW, COLUMNS, ROWS = 320, 2, 3  # side of a view in pixels, and how views lie in the grid
FRAME_BYTES = 800_000_000  # of GPU memory that a frame takes; twice what was measured on an H200
LARGEST_BATCH = 8  # frames; fewer keep a GPU busy
WHITE_UNET = "diffusion_pytorch_model.bin"  # InstantMesh's


def draw(
    frames: np.ndarray,  # [T, S, S, 4] uint8
    config: MultiviewConfig,
    machine: MachineConfig,
    seed: int,
    total: int,  # units of work in the stage, of which a step of a frame is one
) -> Stage[np.ndarray]:
    """Six pictures [T, 6, 320, 320, 3] uint8 of each frame, on a plain background.

    CLIP is let go of before the UNet comes. A frame's result does not depend on which others share
    its batch.
    """
    again = redraws(config.redraw, len(frames))
    device = pick(machine.device)
    dtype = network_dtype(device)
    folder = fetch(f"zero123plus-{config.version}", machine.weights)
    white = fetch("instantmesh-unet", machine.weights) / WHITE_UNET if config.white else None
    schedule = load_schedule(folder / "scheduler", config.steps)
    vae = load_vae(folder / "vae", device, dtype)
    grid = tuple(side * VIEW // _factor(vae) for side in (ROWS, COLUMNS))
    conditions, noise = yield from _described(frames, config, folder, vae, grid, seed, total)
    release()
    yield Event("multiview", 0, total, "loading the denoiser")
    unet = load_unet(folder / "unet", device, dtype, white)
    exchange = install(unet)
    if config.anchor == "first" and len(frames) > 1:
        place = _anchor_place(unet, grid, conditions[0], config.steps, machine.low_memory)
        exchange.anchor = Anchor(unet, grid, place)
    pictures = np.empty((len(frames), ROWS * COLUMNS, VIEW, VIEW, 3), np.uint8)
    size = batch_size(device, machine.low_memory)
    for start, stop in batches(len(frames), size, first_alone=exchange.anchor is not None):
        condition = together(conditions[start:stop])
        words = f"frame {start + 1}" if stop == start + 1 else f"frames {start + 1} to {stop}"
        steps = denoise(unet, exchange, schedule, condition, noise, config.guidance)
        latents = yield from _counted(steps, words, start, stop - start, config.steps, total)
        if exchange.anchor is not None:
            exchange.anchor.replay()
        for index in range(start, stop):  # one by one: decoding takes most memory
            pictures[index] = cut(to_uint8(decode(vae, latents[index - start][None])))
            done = (index + 1) * config.steps
            preview = tile(pictures[index], columns=3)
            yield Event("multiview", done, total, f"six views of frame {index + 1}", preview)
    for place, (index, attempt) in enumerate(again, len(frames)):
        inner, guided = noise.frame.shape[-2:], noise.grey is not None
        other = draw_noise(seed + attempt, config.steps, inner, grid, guided)
        words = f"frame {index + 1} once more"
        steps = denoise(unet, exchange, schedule, conditions[index], other, config.guidance)
        latents = yield from _counted(steps, words, place, 1, config.steps, total)
        if exchange.anchor is not None:
            exchange.anchor.replay()
        pictures[index] = cut(to_uint8(decode(vae, latents)))
        done = (place + 1) * config.steps
        yield Event("multiview", done, total, words, tile(pictures[index], columns=3))
    return pictures


def redraws(names: Sequence[str], frames: int) -> list[tuple[int, int]]:
    """Frames (from 0 on) that are drawn once more, and which try it is; each frame's last counts.

    Raises:
        UserError: a name is not FRAME:TRY.
    """
    tries: dict[int, int] = {}
    for name in names:
        frame, _, attempt = name.partition(":")
        if not (frame.isdigit() and attempt.isdigit() and int(frame) and int(attempt)):
            raise UserError(f"{name} names no frame to draw again.", "Write FRAME:TRY, like 3:1.")
        if int(frame) <= frames:
            tries[int(frame) - 1] = int(attempt)
    return sorted(tries.items())


def batches(frames: int, size: int, first_alone: bool) -> Iterator[tuple[int, int]]:
    """First and last + 1 of the frames that go together."""
    start = 0
    while start < frames:
        stop = min(frames, start + (1 if first_alone and start == 0 else size))
        yield start, stop
        start = stop


def batch_size(device: torch.device, low_memory: bool) -> int:
    """How many frames are denoised at once, by the memory that is free."""
    if device.type != "cuda" or low_memory:
        return 1
    return max(1, min(LARGEST_BATCH, torch.cuda.mem_get_info(device)[0] // FRAME_BYTES))


def cut(grid: np.ndarray) -> np.ndarray:
    """The six views [6, 320, 320, 3] of a grid [960, 640, 3], row by row."""
    parts = grid.reshape(ROWS, VIEW, COLUMNS, VIEW, 3).swapaxes(1, 2)
    return parts.reshape(ROWS * COLUMNS, VIEW, VIEW, 3)


def _described(
    frames: np.ndarray,
    config: MultiviewConfig,
    folder: Path,
    vae: AutoencoderKL,
    grid: tuple[int, int],
    seed: int,
    total: int,
) -> Stage[tuple[list[Condition], Noise]]:
    """The frames' conditions, and the noise that all of them meet."""
    encoders = load_encoders(folder, vae.device, vae.dtype)
    background = WHITE if config.white else GREY
    height, width = encoders.vae_pixels(over_plain(frames[0], background)).shape[1:]
    inner = height // _factor(vae), width // _factor(vae)
    noise = draw_noise(seed, config.steps, inner, grid, guided=config.guidance > 1)
    text = text_embedding(encoders)
    conditions = []
    for index, frame in enumerate(frames):
        conditions.append(describe(frame, encoders, vae, noise, text, background))
        yield Event("multiview", 0, total, f"looking at frame {index + 1}")
    return conditions, noise


def _counted(
    steps: Generator[int, None, torch.Tensor],
    words: str,
    start: int,
    count: int,
    length: int,
    total: int,
) -> Stage[torch.Tensor]:
    """An event after each denoising step of `count` frames from `start` on; returns the latents."""

    def event(step: int) -> Event:
        done = start * length + step * count
        return Event("multiview", done, total, f"{words}, step {step} of {length}")

    return mapped(steps, event)


def _anchor_place(
    unet: UNet2DConditionModel,
    grid: tuple[int, int],
    condition: Condition,
    steps: int,
    low_memory: bool,
) -> torch.device:
    """The GPU where the anchor leaves room for full batches, else the CPU."""
    if unet.device.type != "cuda" or low_memory:
        return torch.device("cpu")
    needed = anchor_bytes(unet, grid, steps, halves=1 + len(condition.grey))
    free = torch.cuda.mem_get_info(unet.device)[0]
    room = free - needed > LARGEST_BATCH * FRAME_BYTES
    return unet.device if room else torch.device("cpu")


def _factor(vae: AutoencoderKL) -> int:
    """Pixels along a side of a latent."""
    return 2 ** (len(vae.config.block_out_channels) - 1)
