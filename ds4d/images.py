"""Images as arrays: folders of PNGs, compositing over a background, and tiling."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import imageio.v3 as iio
import numpy as np

from .errors import reading
from .run.parallel import each


def save_images(folder: Path, images: np.ndarray) -> None:
    """Write images [T, H, W, 3 or 4] uint8 as 0000.png, 0001.png, ..., and create the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}.png" for index in range(len(images))]
    save_pngs(paths, images)


def save_pngs(paths: Iterable[Path], images: Iterable[np.ndarray]) -> None:
    """Write each image [H, W, 3 or 4] uint8 to its path, in a folder that exists."""

    def save(path: Path, image: np.ndarray) -> None:
        iio.imwrite(path, image, compress_level=1)

    list(each(save, paths, images))


def load_images(folder: Path) -> np.ndarray:
    """Read the PNGs of a folder in the order of their names, [T, H, W, 3 or 4] uint8.

    Raises:
        UserError: one of them, or the folder, is damaged.
    """
    with reading(folder):
        return load_pngs(sorted(folder.glob("*.png")))


def load_pngs(paths: Iterable[Path]) -> np.ndarray:
    """Read images of one size, [N, H, W, 3 or 4] uint8."""
    return np.stack(list(each(_load, paths)))


def _load(path: Path) -> np.ndarray:
    with reading(path.parent):
        return iio.imread(path)


def over(images: np.ndarray, background: np.ndarray | int = 255) -> np.ndarray:
    """Composite straight-alpha RGBA [..., H, W, 4] uint8 over a grey level or image: RGB uint8."""
    rgb, alpha = images[..., :3].astype(np.float32), images[..., 3:].astype(np.float32) / 255
    return (rgb * alpha + (1 - alpha) * background + 0.5).astype(np.uint8)


def checkerboard(height: int, width: int, cell: int = 16) -> np.ndarray:
    """Checkerboard that indicates transparency, [H, W, 1] uint8."""
    rows, columns = np.arange(height)[:, None] // cell, np.arange(width)[None] // cell
    return np.where((rows + columns) % 2 == 0, 235, 200).astype(np.uint8)[..., None]


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """Tile images [N, H, W, C] row by row into one; a last row that is not full ends in white."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    canvas = np.full((rows * columns, height, width, channels), 255, images.dtype)
    canvas[:count] = images
    grid = canvas.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)
