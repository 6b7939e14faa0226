"""Multiview stage: RGBA frames -> the front view and further views of each frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ..cameras import Cameras
from ..clip import Clip
from ..config import MachineConfig, MultiviewConfig
from ..errors import UserError
from ..run.engines import Engine, check_name, identity, usable
from ..run.estimate import RELIEF_FRAME
from ..run.events import Stage
from .views import MeshMaker, Views

ZERO123PLUS_GB, ZERO123PLUS_LOW_GB = 8.0, 6.0  # GPU memory that Zero123++ needs
L4GM_GB, L4GM_LOW_GB = 8.0, 5.0  # and L4GM: 5.2 and 3.2 were measured
RELIEF_GB = 1.0  # GPU memory that a depth network needs
RELIEF_ON_CPU = ("folder", "cache", "hub")  # where its weights are, for a CPU to use them

FrontCamera = Callable[[int], Cameras]  # of views whose sides are so many pixels


def given_views(source: Path, config: MultiviewConfig) -> bool:
    """True if the views come from the source itself; raises as `choose` does."""
    from . import capture, given

    if capture.find(source, config) is not None:
        return True
    return config.engine in ("auto", "given") and given.find(source, config.views) is not None


def choose(
    config: MultiviewConfig,
    machine: MachineConfig,
    source: Path,  # the input that the clip was read from
    clip: Clip,
    seed: int,
    first_mesh: MeshMaker | None = None,
) -> Engine:
    """Choose the engine; its run(frames [T, S, S, 4], size) returns Views.

    The cameras of a multi-camera capture are used as they are. Otherwise "auto" prefers, in this
    order: the views in a prepared folder; Zero123++, where it can run; a depth network with the
    shape prior, if its weights are on the disk or can be downloaded; the shape prior alone. For the
    last two, the front camera of a prepared folder is used. L4GM runs only when it is asked for.

    Args:
        first_mesh: makes a mesh of a single frame, from which L4GM's side views can be drawn.

    Raises:
        UserError: views were requested that the source does not contain.
    """
    from . import capture, given

    recording = capture.find(source, config)
    if recording is not None:
        why = f"{len(recording)} real cameras"
        return Engine("given", why, partial(capture.run, recording, clip))
    prepared = given.find(source, config.views)
    if config.engine == "given" and prepared is None:
        raise UserError(
            f"{source.name} contains no views.", "Choose the engine auto: it makes the views."
        )
    if config.engine in ("auto", "given") and prepared is not None:
        run = partial(given.run, prepared, config.views, clip)
        return Engine("given", f"the views in {prepared.views_folder(config.views).name}", run)
    if config.engine == "l4gm":
        return _l4gm(config, machine, source, clip, seed, first_mesh)
    check_name(config.engine, "auto", "zero123plus", "relief", "inflate")
    front = partial(given.front_camera, source)
    why = "asked for"
    if config.engine in ("auto", "zero123plus"):
        engine, why = _zero123plus(config, machine, seed)
        if engine:
            return engine
    if config.engine in ("auto", "relief"):
        engine, why_not = _relief(config, machine, front)
        if engine:
            return engine
        why = f"no views; {why}; {why_not}"
    return _inflate(config, front, why)


def _zero123plus(
    config: MultiviewConfig, machine: MachineConfig, seed: int
) -> tuple[Engine | None, str]:
    """The engine zero123plus, or None if "auto" cannot run it; the reason."""
    weights = (f"zero123plus-{config.version}", *(("instantmesh-unet",) if config.white else ()))
    can_run, why = True, "asked for"
    if config.engine == "auto":
        gpu_gb = ZERO123PLUS_LOW_GB if machine.low_memory else ZERO123PLUS_GB
        can_run, why = usable(weights, machine, gpu_gb=gpu_gb)
    if not can_run:
        return None, why
    from .zero123plus import engine as zero123plus

    run = partial(zero123plus.run, config=config, machine=machine, seed=seed)
    made_from = (*identity(weights, machine), f"seed {seed}")
    return Engine("zero123plus", why, run, made_from, weights), why


def _relief(
    config: MultiviewConfig, machine: MachineConfig, front: FrontCamera
) -> tuple[Engine | None, str]:
    """The engine relief, or None if "auto" finds no depth network; the reason."""
    network, why = _depth_network(config, machine)
    if not network:
        return None, why
    from ..run.device import pick
    from .relief import engine as relief
    from .shape_prior.weights import fingerprint

    def run(frames: np.ndarray, size: int) -> Stage[Views]:
        return relief.run(
            frames, front(size), size, network=network, machine=machine,
            slant=config.slant, depth=config.depth,
        )  # fmt: skip

    if pick(machine.device).type == "cpu":
        why += f"; about {RELIEF_FRAME:g} s a frame on two cores"
    made_from = (*identity((network,), machine), f"shape prior {fingerprint()}")
    return Engine("relief", f"{network}: {why}", run, made_from, (network,)), why


def _inflate(config: MultiviewConfig, front: FrontCamera, why: str) -> Engine:
    """The engine inflate, which always runs."""
    from .inflate import engine as inflate
    from .shape_prior.weights import fingerprint

    def run(frames: np.ndarray, size: int) -> Stage[Views]:
        return inflate.run(frames, front(size), size, slant=config.slant, depth=config.depth)

    return Engine("inflate", why, run, (f"shape prior {fingerprint()}",), formerly_from=())


def _depth_network(config: MultiviewConfig, machine: MachineConfig) -> tuple[str, str]:
    """Network of the engine relief, or "" if "auto" finds none, and the reason."""
    asked = config.engine == "relief"
    names = ("moge-2-vits", "depth-anything-v2-small")
    if config.depth_network != "auto":
        names = (config.depth_network,)
    reasons = []
    for name in names:
        can_run, why = usable((name,), machine, gpu_gb=RELIEF_GB, cpu_takes=RELIEF_ON_CPU)
        if can_run:
            return name, "asked for" if asked else why
        reasons.append(why)
    return (names[0], "asked for") if asked else ("", reasons[0])


def _l4gm(
    config: MultiviewConfig,
    machine: MachineConfig,
    source: Path,
    clip: Clip,
    seed: int,
    first_mesh: MeshMaker | None,
) -> Engine:
    """The engine l4gm, with the best source of side views of the first frame that there is.

    Raises:
        UserError: a source was requested that there is not.
    """
    from . import given
    from .l4gm import engine as l4gm
    from .l4gm import sides
    from .shape_prior.weights import fingerprint

    weights, made_from = l4gm.weights(config), (f"windows of {l4gm.window(machine)}",)
    draw, name, why = None, config.sides, "asked for"
    if name in ("auto", "given"):
        draw = sides.find_given(source, config.views, clip)
        if draw is None and name == "given":
            raise UserError(
                f"{source.name} has no three level views beside the front.",
                "Choose the side views auto: they are drawn.",
            )
        name, why = ("given", "level views of the case folder") if draw else (name, why)
    if name == "auto":
        can_run, why = False, "no mesh can be made"
        if first_mesh is not None:
            gpu_gb = ZERO123PLUS_LOW_GB if machine.low_memory else ZERO123PLUS_GB
            can_run, why = usable(first_mesh.weights, machine, gpu_gb=gpu_gb)
        name = "instantmesh" if can_run else "inflate"
    if name == "instantmesh":
        draw = sides.of_mesh(first_mesh.run)
        weights += first_mesh.weights
        made_from += (*first_mesh.made_from, f"seed {seed}")
    elif name == "inflate":
        draw = sides.of_shape_prior(config.slant, config.depth)
        made_from += (f"shape prior {fingerprint()}",)

    def run(frames: np.ndarray, size: int) -> Stage[Views]:
        return l4gm.run(
            frames, size, config=config, machine=machine, draw_sides=draw,
            front=given.front_camera(source, frames.shape[1]), sampled=len(clip.frames),
        )  # fmt: skip

    made_from += (*identity(weights, machine), f"sides {name}")
    return Engine("l4gm", f"asked for; sides: {name}, {why}", run, made_from, weights)
