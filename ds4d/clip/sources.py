"""Sources of frames: videos, animated images, folders of images, prepared folders."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from . import video
from .datasets import find_prepared, image_files

LONGEST = 1080  # pixels; larger frames are scaled down while they are read
ANIMATED = {"GIF", "WEBP", "PNG", "AVIF"}  # Pillow's formats that can hold a moving clip
# What Pillow raises for broken files.
DAMAGED = (OSError, SyntaxError, EOFError, ValueError, struct.error)


@dataclass(frozen=True)
class Source:
    """Random access to the frames of a clip, independent of its file format."""

    name: str
    count: int  # frames
    fps: float | None
    pick: Callable[[Sequence[int]], Iterator[np.ndarray]]  # [H, W, 3 or 4] uint8, in order
    recount: Callable[[], int]  # number of frames that can be decoded; used when some are missing
    promised: int | None = None  # number of frames by the header of a file that is cut off
    size: tuple[int, int] | None = None  # width and height as stored, pixels


def open_source(path: Path, config: ClipConfig) -> tuple[Source, bool]:
    """Open a clip; also tells whether it is a prepared folder (datasets.py).

    Raises:
        UserError: the path does not exist, or is not a clip, a single image, damaged, or over the
            limits.
    """
    if not path.exists():
        raise UserError(f"There is nothing at {path}.", "Check the path.")
    if path.is_dir():
        prepared = find_prepared(path)
        files = list(prepared.fronts) if prepared else image_files(path)
        return _open_images(path.name, files, config), prepared is not None
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path.name} is empty.", "Copy or export it again.")
    _check_bytes(path.name, size, config)
    return _open_picture(path, config) or _open_video(path, config), False


def _open_video(path: Path, config: ClipConfig) -> Source:
    found = video.inspect(path, config.max_seconds, config.max_pixels)
    return Source(
        name=path.name,
        count=found.frames,
        fps=found.fps,
        pick=lambda indices: video.decode(found, indices, LONGEST),
        recount=lambda: video.count_decodable(found),
        promised=found.promised,
        size=(found.width, found.height),
    )


def _open_picture(path: Path, config: ClipConfig) -> Source | None:
    """Open an animated GIF, WebP, PNG or AVIF; None if the file is not an image."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _opened(path, config) as image:
            promised = getattr(image, "n_frames", 1) if image.format in ANIMATED else 1
            size = image.size
            count, seconds = 0, 0.0
            while count < promised and _frame(image, count):
                count, seconds = count + 1, seconds + image.info.get("duration", 0) / 1000
                video.check_seconds(path.name, seconds, config.max_seconds)
    except UnidentifiedImageError:
        return None
    except DAMAGED as error:
        raise UserError(f"{path.name} is damaged.", "Export it again.") from error
    if promised < 2:
        raise UserError(
            f"{path.name} is a single image.",
            "Give a clip in which the object moves: a video, a GIF or a folder of images.",
        )

    def pick(indices: Sequence[int]) -> Iterator[np.ndarray]:
        with Image.open(path) as image:
            for index in indices:
                _frame(image, index)
                yield _pixels(image)

    fps = count / seconds if seconds > 0 else None
    return Source(path.name, count, fps, pick, lambda: count, promised, size)


def _frame(image, index: int) -> bool:
    """Seek to a frame of an animated image; False if it does not exist."""
    try:
        image.seek(index)
        image.load()
    except DAMAGED:
        return False
    return True


def _open_images(name: str, files: list[Path], config: ClipConfig) -> Source:
    """A folder of images, which all have one size."""
    if not files:
        raise UserError(f"The folder {name} holds no images.", "PNG, JPEG and WebP are read.")
    if len(files) == 1:
        raise UserError(
            f"The folder {name} holds a single image.",
            "Give a clip in which the object moves: two images or more.",
        )

    def opened(file: Path):
        try:
            return _opened(file, config)
        except DAMAGED as error:
            raise _unreadable(file) from error

    sizes: dict[tuple[int, int], str] = {}
    for file in files:
        with opened(file) as image:
            # Photographs may be stored on their side. In other formats, this decodes the image.
            turned = image.format in ("JPEG", "MPO") and image.getexif().get(0x0112, 1) >= 5
            sizes.setdefault(image.size[::-1] if turned else image.size, file.name)
    if len(sizes) > 1:
        (a, first), (b, second) = list(sizes.items())[:2]
        raise UserError(
            f"The images have different sizes: {first} is {a[0]} x {a[1]} pixels, "
            f"{second} is {b[0]} x {b[1]}.",
            "All images of a clip need the same size.",
        )

    def pick(indices: Sequence[int]) -> Iterator[np.ndarray]:
        for index in indices:
            with opened(files[index]) as image:
                try:
                    yield _pixels(image)
                except DAMAGED as error:
                    raise _unreadable(files[index]) from error

    return Source(name, len(files), None, pick, lambda: len(files), size=next(iter(sizes)))


def read_image(file: Path, config: ClipConfig) -> np.ndarray:
    """Read one picture upright, at most LONGEST pixels long, [H, W, 3 or 4] uint8.

    Raises:
        UserError: there is no such file, or it is no picture, damaged, or over the limits.
    """
    if not file.is_file():
        raise UserError(f"There is no picture {file}.", "Check the path.")
    try:
        with _opened(file, config) as image:
            return _pixels(image)
    except DAMAGED as error:
        raise UserError(
            f"{file.name} is not a picture that can be read.", "Give a PNG, JPEG or WebP picture."
        ) from error


def _unreadable(file: Path) -> UserError:
    return UserError(f"The image {file.name} cannot be read.", "Replace it or take it out.")


def _check_bytes(name: str, size: int, config: ClipConfig) -> None:
    if size > config.max_bytes:
        raise UserError(
            f"{name} is too large: {size / 1e6:.0f} MB; at most {config.max_bytes / 1e6:.0f} MB "
            "are accepted.",
            "Cut the clip or scale it down.",
        )


def _opened(file: Path, config: ClipConfig):
    """Open an image with Pillow and check its header against the limits."""
    from PIL import Image

    _check_bytes(file.name, file.stat().st_size, config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(file)
        except Image.DecompressionBombError as error:
            raise UserError(
                f"The frames of {file.name} are too large.",
                f"Scale them to at most {config.max_pixels / 1e6:.1f} million pixels.",
            ) from error
    video.check_pixels(file.name, *image.size, config.max_pixels)
    return image


def _pixels(image) -> np.ndarray:
    """A Pillow image upright, at most LONGEST pixels long, as [H, W, 3 or 4] uint8."""
    from PIL import Image, ImageOps

    if image.mode.startswith("I"):  # 16 bit grey; Pillow would clip it
        image = Image.fromarray((np.asarray(image).astype(np.float32) / 257).astype(np.uint8))
    image = ImageOps.exif_transpose(image)
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return np.asarray(image)
