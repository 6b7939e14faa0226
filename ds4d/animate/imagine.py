"""Words to pictures: Stable Diffusion XL, or a smaller one, draws one whole object, cut out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import ImagineConfig, MachineConfig, MattingConfig
from ..errors import UserError
from ..images import over, save_pngs, tile
from ..preflight import ranges
from ..run.device import network_dtype, pick
from ..run.events import Event, Stage
from ..run.workspace import replacing
from ..weights import fetch, fetching
from . import diffusion, picture
from .needs import check_machine, fitted

WEIGHTS = {"sdxl": "sdxl-base", "ssd-1b": "ssd-1b"}
GPU_GB = 12.0  # GPU memory that it needs; not measured
AROUND = "a single object, whole, centered, full view, plain white background, soft even light"
AGAINST = (
    "cropped, cut off, close-up, several objects, background, scenery, shadow, text, watermark, "
    "frame, blurry, low quality, deformed"
)
GUIDANCE = 7.0
SHEET = 512  # pixels; side of a picture on the contact sheet


def imagine(
    words: str, out: Path, config: ImagineConfig, machine: MachineConfig, matting: MattingConfig
) -> Stage[list[Path]]:
    """Draw a picture per seed into a folder: seed_N.png, cut out, and sheet.jpg with all of them.

    A picture from which no object can be cut out is kept as it was drawn, with a warning.

    Raises:
        UserError: no words, no weights, no GPU, or a folder that holds something else.
    """
    ranges.check(config)
    if not words.strip():
        raise UserError("There are no words to draw.", 'For example: imagine "a red fox".')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already.", "Give the name of a new folder.")
    machine = fitted(machine)
    weights = WEIGHTS[config.model]
    check_machine("imagine", weights, machine, "Or start from a picture: python -m ds4d animate.")
    yield from fetching("imagine", weights, machine.weights)
    drawn = yield from _drawn(words, config, machine)
    cut = []
    for seed, image in zip(config.seeds, drawn, strict=True):
        try:
            found = yield from picture.squares(image[None], len(image), machine, matting)
        except UserError as error:
            found = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])[None]
            message = f"seed {seed} is not cut out: {error.sentence}"
            yield Event("matting", 1, 1, message, warning=True)
        cut.append(found[0])
    with replacing(out) as folder:
        folder.mkdir()
        save_pngs([folder / f"seed_{seed}.png" for seed in config.seeds], cut)
        _sheet(folder / "sheet.jpg", cut)
    return [out / f"seed_{seed}.png" for seed in config.seeds]


def _drawn(words: str, config: ImagineConfig, machine: MachineConfig) -> Stage[list[np.ndarray]]:
    """A picture [S, S, 3] uint8 per seed."""
    from diffusers import StableDiffusionXLPipeline

    device = pick(machine.device)
    pipeline = diffusion.load(
        StableDiffusionXLPipeline, fetch(WEIGHTS[config.model], machine.weights), device,
        {"": network_dtype(device)}, variant="fp16",
    )  # fmt: skip
    if machine.low_memory:
        pipeline.vae.enable_tiling()
    total, pictures = len(config.seeds) * config.steps, []
    for number, seed in enumerate(config.seeds):

        def run(after_step: diffusion.AfterStep, seed: int = seed) -> Any:
            return pipeline(
                prompt=f"{words.strip()}, {AROUND}", negative_prompt=AGAINST, height=config.size,
                width=config.size, num_inference_steps=config.steps, guidance_scale=GUIDANCE,
                generator=torch.Generator("cpu").manual_seed(seed), output_type="np",
                callback_on_step_end=after_step,
            ).images[0]  # fmt: skip

        begun = Event("imagine", number * config.steps, total, f"seed {seed}")
        image = yield from diffusion.stepwise(run, begun)
        pictures.append(diffusion.as_bytes(image))
        yield Event("imagine", (number + 1) * config.steps, total, preview=pictures[-1])
    return pictures


def _sheet(path: Path, pictures: list[np.ndarray]) -> None:
    """All pictures side by side over white, in the order of their seeds."""
    from PIL import Image

    small = [Image.fromarray(over(image)).resize((SHEET, SHEET)) for image in pictures]
    Image.fromarray(tile(np.stack(list(map(np.asarray, small))), len(small))).save(path, quality=90)
