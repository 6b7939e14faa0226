"""Picture to clip, and words to picture: the object is cut out and moves before a still camera."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..config import AnimateConfig, MachineConfig, MattingConfig
from ..errors import UserError
from ..images import over, tile
from ..preflight import ranges
from ..run.engines import Engine, check_name, identity, usable
from ..run.events import Event, Stage, nested
from ..run.workspace import content_key, replacing
from ..weights import fetching
from . import picture, puppet, watch
from .needs import check_machine, fitted
from .puppet import motions

WEIGHTS = {"wan": "wan2.2-ti2v-5b", "svd": "svd-xt"}
GPU_GB = {"wan": 24.0, "svd": 16.0}  # GPU memory that an engine needs; not measured
LOW_GB = {"wan": 16.0, "svd": 12.0}  # and with low_memory
PREVIEW = 256  # pixels; side of each clip where several are shown side by side
STEPS = 100  # of the progress, for each clip


def choose(config: AnimateConfig, machine: MachineConfig, matting: MattingConfig) -> Engine:
    """Choose the engine; its run(cut_out [S, S, 4], config) returns frames [T, S, S, 4], uint8.

    That config is of one clip: it has one seed or one motion.

    "auto" takes Wan 2.2 where it can run on a GPU, else the puppet. The terms of Stable Video
    Diffusion are to be agreed to, so it runs only when it is asked for.

    Raises:
        UserError: the weights of a requested engine are missing, or it needs a GPU.
    """
    check_name(config.engine, "auto", "puppet", *WEIGHTS)
    name, why = config.engine, "asked for"
    if name == "auto":
        gb = (LOW_GB if machine.low_memory else GPU_GB)["wan"]
        can_run, why = usable((WEIGHTS["wan"],), machine, gpu_gb=gb)
        name = "wan" if can_run else "puppet"
    if name == "puppet":
        return Engine(name, why, _puppet)
    check_machine(name, WEIGHTS[name], machine, "Take the engine puppet, which needs neither.")
    run = partial(_filmed, name=name, machine=machine, matting=matting)
    weights = (WEIGHTS[name],)
    return Engine(name, why, run, identity(weights, machine), weights)


def animate(
    file: Path, out: Path, config: AnimateConfig, machine: MachineConfig, matting: MattingConfig
) -> Stage[list[Path]]:
    """Make an animated WebP with alpha, which `generate` takes, from a picture of one object.

    With several seeds, NAME_seedN.webp for each, and `out` shows them side by side over white; so
    with all motions of the puppet, NAME_MOTION.webp. A clip that a network made earlier of the same
    picture and settings is kept, so that a run over several seeds goes on where it was stopped.

    Returns the clips.

    Raises:
        UserError: the picture or the settings cannot be used, or the engine cannot run.
    """
    ranges.check(config)
    if out.suffix != ".webp":
        raise UserError(f"{out.name} is not a name of a clip.", "Give a name that ends in .webp.")
    machine = fitted(machine)
    engine = choose(config, machine, matting)
    clips = _clips(config, engine.name, out)
    cut_out = yield from picture.cut_out(file, config.size, machine, matting)
    yield Event("animate", message=engine.message)
    for weight in engine.weights:
        yield from fetching("animate", weight, machine.weights)
    shown, total = [], len(clips) * STEPS
    for number, (clip, own) in enumerate(clips.items()):
        key = content_key(cut_out.tobytes(), own, machine.low_memory, *engine.key)
        frames = picture.made_before(clip, key) if engine.weights else None
        if frames is None:
            begun = Event("animate", number * STEPS, total)
            frames = yield from nested(engine.run(cut_out, own), begun, STEPS)
            with replacing(clip) as path:
                picture.save_clip(path, frames, config.fps, key)
        else:
            yield Event("animate", (number + 1) * STEPS, total, f"{clip.name} is there already")
        shown.append(frames)
    if len(shown) > 1:
        with replacing(out) as path:
            picture.save_clip(path, _side_by_side(shown), config.fps)
    return list(clips)


def _clips(config: AnimateConfig, engine: str, out: Path) -> dict[Path, AnimateConfig]:
    """The clips to make: file -> settings with one seed or one motion."""
    if engine != "puppet":
        each = {f"seed{seed}": replace(config, seeds=(seed,)) for seed in config.seeds}
    elif len(config.seeds) > 1:
        raise UserError(
            "The puppet has no chance in it, so all seeds give the same clip.",
            "Leave out --seeds; --motion all shows all that it can do.",
        )
    elif config.motion == "all":
        each = {motion: replace(config, motion=motion) for motion in motions.MOTIONS}
    else:
        each = {config.motion: config}
    if len(each) == 1:
        return {out: next(iter(each.values()))}
    return {out.with_name(f"{out.stem}_{name}.webp"): own for name, own in each.items()}


def _puppet(cut_out: np.ndarray, config: AnimateConfig) -> Stage[np.ndarray]:
    return puppet.run(cut_out, config.motion, config.frames)


def _filmed(
    cut_out: np.ndarray,
    config: AnimateConfig,
    name: str,
    machine: MachineConfig,
    matting: MattingConfig,
) -> Stage[np.ndarray]:
    """Frames of a video network, whose object is cut out again in one square for all frames."""
    from . import video

    frames = yield from getattr(video, name)(cut_out, config, machine)
    for sentence in watch.doubts(frames):
        yield Event("animate", 1, 1, f"seed {config.seeds[0]}: {sentence}", warning=True)
    return (yield from picture.squares(frames, config.size, machine, matting))


def _side_by_side(clips: list[np.ndarray]) -> np.ndarray:
    """Clips [T, S, S, 4] in the order of their seeds, small, over white: [T, P, N * P, 3]."""
    import cv2

    count = min(map(len, clips))
    return np.stack([
        tile(np.stack([
            cv2.resize(over(clip[index]), (PREVIEW, PREVIEW), interpolation=cv2.INTER_AREA)
            for clip in clips
        ]), len(clips))
        for index in range(count)
    ])  # fmt: skip
