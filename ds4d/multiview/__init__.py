"""RGBA frames -> the views of each frame: the real front view and what an engine adds to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..cameras import Cameras, Similarity
from ..clip import Clip
from ..clip.datasets import image_files
from ..config import MachineConfig, MultiviewConfig
from ..errors import UserError
from ..images import load_pngs, save_pngs
from ..run.engines import Engine, identity, usable
from ..run.events import Stage

if TYPE_CHECKING:
    from .inflate.mesh import Surface

Matte = Callable[[np.ndarray], "Stage[np.ndarray]"]  # [T, H, W, 3] -> [T, H, W], uint8
SURFACE = "surface.npz"
ZERO123PLUS_GB, ZERO123PLUS_LOW_GB = 8.0, 6.0  # of a GPU's memory


@dataclass(frozen=True)
class Views:
    """V views of each of T frames; view 0 is the real front view."""

    images: np.ndarray  # [T, V, S, S, 4] uint8 RGBA, straight alpha
    cameras: Cameras  # V cameras at S x S
    scene: Similarity | None = None  # where all views are real: how they came into our world
    surface: Surface | None = None  # of the middle frame, where the views are drawn from it
    cloud: tuple[Tensor, Tensor] | None = None  # then also points [M, 3] and colours [M, 3]


def choose(
    config: MultiviewConfig,
    machine: MachineConfig,
    source: Path,  # what the clip was read from
    clip: Clip,
    seed: int,
    matte: Matte,
) -> Engine:
    """The engine for a clip; its run(frames [T, S, S, 4], size) returns Views.

    "auto" takes the views that a prepared folder holds, else Zero123++ where it can run, else
    inflates the silhouette. The front camera of a prepared folder holds with inflate, too.

    Args:
        matte: cuts the object out of drawn views [T, H, W, 3], as the clip's own matting did.

    Raises:
        UserError: views were asked for that the source does not hold.
    """
    from . import capture as scene
    from . import given, inflate

    found = scene.find(source, config)
    if found is not None:
        words = f"{len(found)} real cameras of a scene"
        return Engine("given", words, partial(scene.run, found, clip))
    prepared = given.find(source, config.views)
    if config.engine == "given" and prepared is None:
        raise UserError(
            f"{source.name} brings no views.", "Choose the engine auto: it makes the views."
        )
    if config.engine in ("auto", "given") and prepared is not None:
        run = partial(given.run, prepared, config.views, clip)
        return Engine("given", f"the views in {prepared.views_folder(config.views).name}", run)
    weights = (f"zero123plus-{config.version}", *(("instantmesh-unet",) if config.white else ()))
    fine, why = config.engine == "zero123plus", "asked for"
    if config.engine == "auto":
        gpu_gb = ZERO123PLUS_LOW_GB if machine.low_memory else ZERO123PLUS_GB
        fine, why = usable(weights, machine, gpu_gb=gpu_gb)
    if fine:
        from . import zero123plus

        run = partial(zero123plus.run, config=config, machine=machine, seed=seed, matte=matte)
        made_from = (*identity(weights, machine), f"seed {seed}")
        return Engine("zero123plus", why, run, made_from, weights)

    def inflated(frames: np.ndarray, size: int) -> Stage[Views]:
        front = given.front_camera(source, size)
        return inflate.run(frames, front, size, slant=config.slant, depth=config.depth)

    return Engine("inflate", why if config.engine == "inflate" else f"no views; {why}", inflated)


def join(
    fronts: np.ndarray,  # [T, S, S, 4]
    pseudo: np.ndarray,  # [T, V - 1, S, S, 4] the views beside them
    cameras: Cameras,
) -> Views:
    """Front frames and the views beside them as one."""
    return Views(np.concatenate([fronts[:, None], pseudo], axis=1), cameras)


def save_views(
    folder: Path,
    images: np.ndarray,  # [T, V - 1, S, S, 4] the views beside the front
) -> None:
    """Write views as 0000/0.png, 0000/1.png, ...."""
    paths = []
    for frame, views in enumerate(images):
        (folder / f"{frame:04d}").mkdir(parents=True, exist_ok=True)
        paths += [folder / f"{frame:04d}" / f"{view}.png" for view in range(len(views))]
    save_pngs(paths, images.reshape(-1, *images.shape[2:]))


def load_views(folder: Path) -> np.ndarray:  # [T, V - 1, S, S, 4] uint8
    """Read what save_views wrote."""
    frames = [image_files(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    images = load_pngs(itertools.chain(*frames))
    return images.reshape(len(frames), -1, *images.shape[1:])
