"""Small clips of a moving square, as files of many kinds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from ds4d import clip
from ds4d.config import ClipConfig
from tests.stages import finished

SIZE = 64
CONFIG = ClipConfig(frames=6, size=48)


def read(path: Path, config: ClipConfig = CONFIG) -> clip.Clip:
    return finished(clip.read(path, config))[1]


def moving(count: int = 12, alpha: bool = False, step: int = 3) -> np.ndarray:
    """A red square on white that wanders to the right, [T, 64, 64, 3 or 4]."""
    frames = np.full((count, SIZE, SIZE, 4 if alpha else 3), 255, np.uint8)
    if alpha:
        frames[..., 3] = 0
    for index, frame in enumerate(frames):
        left = 8 + step * index
        frame[20:40, left : left + 12, :3] = (220, 30, 30)
        if alpha:
            frame[20:40, left : left + 12, 3] = 255
    return frames


def left_edge(frame: np.ndarray) -> int:
    """Column at which the red square begins."""
    return int(np.flatnonzero((frame[30, :, 0] > 128) & (frame[30, :, 1] < 128))[0])


def ffmpeg(*arguments: str, data: bytes = b"") -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    subprocess.run(command, input=data, check=True)


def encode(path: Path, frames: np.ndarray, *options: str) -> Path:
    pixels = "rgba" if frames.shape[-1] == 4 else "rgb24"
    height, width = frames.shape[1:3]
    raw = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}", "-r", "10", "-i", "-"]
    ffmpeg(*raw, *options, str(path), data=frames.tobytes())
    return path


def save_images(folder: Path, frames: np.ndarray, name: str = "{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name.format(index))
    return folder
