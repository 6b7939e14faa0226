"""Small clips of a moving square, as files of many kinds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
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


def filmed(
    count: int = 9, pan: float = 40.0, walk: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames [T, 160, 240, 3] and mattes of a disc before a speckled wall, and the camera's true
    motion [T] to the right: by `pan` pixels in all, shaking; the disc walks by `walk` before the
    wall."""
    grain = np.random.default_rng(0).integers(60, 200, (60, 160), np.uint8)
    wall = cv2.resize(grain, (640, 240), interpolation=cv2.INTER_CUBIC)
    x = np.round(pan * np.linspace(0, 1, count) + 3 * np.sin(2.0 * np.arange(count))).astype(int)
    frames = np.empty((count, 160, 240, 3), np.uint8)
    mattes = np.zeros((count, 160, 240), np.uint8)
    for index in range(count):
        frames[index] = wall[30:190, 100 + x[index] : 340 + x[index], None]
        middle = 110 + round(walk * index / (count - 1)) - int(x[index])
        cv2.circle(mattes[index], (middle, 80), 24, 255, -1)
        frames[index][mattes[index] > 0] = (200, 30, 30)
    return frames, mattes, x


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
