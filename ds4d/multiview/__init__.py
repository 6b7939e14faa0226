"""RGBA frames -> the views of each frame: the real front view and what an engine adds to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..cameras import Cameras
from ..clip import Clip
from ..config import MultiviewConfig
from ..errors import UserError
from ..events import Stage
from ..layouts import image_files

Engine = Callable[[np.ndarray, int], "Stage[Views]"]  # frames [T, S, S, 4], size in pixels


@dataclass(frozen=True)
class Views:
    """V views of each of T frames; view 0 is the real front view."""

    images: np.ndarray  # [T, V, S, S, 4] uint8 RGBA, straight alpha
    cameras: Cameras  # V cameras at S x S


def choose(config: MultiviewConfig, source: Path, clip: Clip) -> tuple[Engine, str, str]:
    """The engine for a clip that was read from `source`: what runs, its name, and why it.

    "auto" takes the views that a prepared folder holds, else inflates the silhouette. The front
    camera of a prepared folder holds with every engine.

    Raises:
        UserError: views were asked for that the source does not hold.
    """
    from . import given, inflate

    prepared = given.find(source, config.views)
    if config.engine == "given" and prepared is None:
        raise UserError(
            f"{source.name} brings no views.", "Choose the engine auto: it makes the views."
        )
    if config.engine in ("auto", "given") and prepared is not None:
        engine = partial(given.run, prepared, config.views, clip)
        return engine, "given", f"the views in {prepared.views_folder(config.views).name}"
    why = "asked for" if config.engine == "inflate" else "no views are given"

    def inflated(frames: np.ndarray, size: int) -> Stage[Views]:
        return inflate.run(frames, given.front_camera(source, size), size)

    return inflated, "inflate", why


def join(fronts: np.ndarray, pseudo: np.ndarray, cameras: Cameras) -> Views:
    """Front frames [T, S, S, 4] and the views beside them [T, V - 1, S, S, 4] as one."""
    return Views(np.concatenate([fronts[:, None], pseudo], axis=1), cameras)


def save_views(folder: Path, images: np.ndarray) -> None:
    """Write views beside the front [T, V - 1, S, S, 4] as 0000/0.png, 0000/1.png, ..."""
    import imageio.v3 as iio

    for frame, views in enumerate(images):
        (folder / f"{frame:04d}").mkdir(parents=True, exist_ok=True)
        for view, image in enumerate(views):
            iio.imwrite(folder / f"{frame:04d}" / f"{view}.png", image, compress_level=1)


def load_views(folder: Path) -> np.ndarray:
    """What save_views wrote, [T, V - 1, S, S, 4] uint8."""
    import imageio.v3 as iio

    frames = sorted(path for path in folder.iterdir() if path.is_dir())
    return np.stack([[iio.imread(file) for file in image_files(path)] for path in frames])
