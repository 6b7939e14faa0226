"""The sampled frames of a clip, and their files in a run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import reading
from ..images import load_images, save_images


@dataclass(frozen=True)
class Clip:
    """Frames that were sampled from a clip."""

    frames: np.ndarray  # [T, H, W, 3 or 4] uint8, straight alpha
    positions: np.ndarray  # [T] float64 in [0, 1], increasing: 0 = start of the used part, 1 = end
    indices: np.ndarray  # [T] int64, indices of the sampled frames in the source
    source_frames: int
    fps: float | None  # of the source
    prepared: bool  # framed by a known camera: frames are resized, never cropped
    warnings: tuple[str, ...] = ()
    seconds: np.ndarray | None = None  # [T] float64, from the source's first frame; None = no rate
    left_out: tuple[str, ...] = ()  # files and streams of the source that are not used
    cut: tuple[int, int, int, int] = (0, 0, 0, 0)  # pixels cut off at top, bottom, left, right


def save(folder: Path, clip: Clip) -> None:
    """Write the frames as 0000.png, ... and everything else as clip.json."""
    save_images(folder, clip.frames)
    facts = {
        "positions": clip.positions.tolist(),
        "indices": clip.indices.tolist(),
        "source_frames": clip.source_frames,
        "fps": clip.fps,
        "prepared": clip.prepared,
        "warnings": clip.warnings,
        "seconds": None if clip.seconds is None else clip.seconds.tolist(),
        "left_out": clip.left_out,
        "cut": clip.cut,
    }
    (folder / "clip.json").write_text(json.dumps(facts, indent=1))


def load(folder: Path) -> Clip:
    """Read what `save` wrote."""
    with reading(folder / "clip.json"):
        facts = json.loads((folder / "clip.json").read_text())
        seconds = facts.pop("seconds", None)  # runs of earlier versions have none
        named = {name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}
        return Clip(
            frames=load_images(folder),
            positions=np.array(named.pop("positions"), float),
            indices=np.array(named.pop("indices"), np.int64),
            seconds=None if seconds is None else np.array(seconds, float),
            **named,
        )
