"""Animated GIF, WebP, PNG and AVIF: delays as browsers play them, before anything is decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from .limits import check_animation, check_seconds
from .stills import DAMAGED, LONGEST, is_stack, open_image, pixels, shown_size

SHORTEST, USUAL = 0.010, 0.100  # seconds: browsers show a frame of up to 10 ms for 100 ms


@dataclass(frozen=True)
class Animation:
    """An animated image; a poster, which browsers never show, is not among its frames."""

    path: Path
    first: int  # Pillow's number of the first frame; 1 behind a poster
    delays: np.ndarray  # [N] seconds that each frame is shown
    size: tuple[int, int]  # width and height as shown, pixels

    @property
    def times(self) -> np.ndarray:
        """Beginnings of the frames [N], seconds."""
        return np.concatenate([[0.0], np.cumsum(self.delays)[:-1]])


def inspect(path: Path, config: ClipConfig) -> Animation | None:
    """Read the delays of an animated image; None if the file is not an image.

    Raises:
        UserError: a single image, damaged, or over the limits.
    """
    from PIL import UnidentifiedImageError

    try:
        with open(path, "rb") as file, open_image(file, path.name, config) as image:
            read = DELAYS.get(image.format or "")
            poster = bool(getattr(image, "default_image", False))
            size = shown_size(image)
            delays = read(path) if read else _counted(image)
            stack = is_stack(image)
    except UnidentifiedImageError:
        return None
    except DAMAGED as error:
        raise UserError(f"{path.name} is damaged.", "Export it again.") from error
    if stack:
        raise UserError(
            f"{path.name} holds several images without times.",
            "Save them as a folder of images, as a video, or as an animated PNG.",
        )
    if len(delays) < 2:
        raise UserError(
            f"{path.name} is a single image.",
            "Give a clip in which the object moves: a video, a GIF or a folder of images.",
        )
    seconds = np.where(np.array(delays) <= SHORTEST, USUAL, delays)
    check_seconds(path.name, float(seconds.sum()), config)
    check_animation(path.name, size, len(seconds))
    return Animation(path, int(poster), seconds, size)


def decode(
    animation: Animation, indices: Sequence[int], config: ClipConfig, longest: int = LONGEST
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode frames one by one, [H, W, 3 or 4] uint8; what cannot be decoded is left out."""
    with (
        open(animation.path, "rb") as file,
        open_image(file, animation.path.name, config) as image,
    ):
        for index in indices:
            try:
                image.seek(animation.first + int(index))
                frame = pixels(image, longest)
            except DAMAGED:
                return  # every frame builds on those before it
            yield index, frame


def _counted(image) -> list[float]:
    """Delays of an image whose file is not walked: AVIF tells them when its frames are decoded."""
    count = getattr(image, "n_frames", 1) if image.format == "AVIF" else 1
    if count < 2:
        return [0.0] * count
    check_animation(str(getattr(image, "filename", "") or "The image"), image.size, count)
    delays = []
    for index in range(count):
        image.seek(index)
        image.load()
        delays.append(image.info.get("duration", 0) / 1000)
    return delays


def _gif_delays(path: Path) -> list[float]:
    """Delays by the graphic control extensions of a GIF."""
    delays: list[float] = []
    with open(path, "rb") as file:
        header = file.read(13)
        file.seek(_color_table(header[10]), 1)
        delay = 0.0
        while (kind := file.read(1)) in (b"!", b","):
            if kind == b",":
                flags = (file.read(9) or b"\0")[-1]
                file.seek(_color_table(flags) + 1, 1)
                delays.append(delay)
                delay = 0.0
            elif file.read(1) == b"\xf9":
                delay = struct.unpack("<H", file.read(5)[2:4])[0] / 100
            if not _skip_blocks(file):
                break  # cut off: the last frame counts as far as it goes
    return delays


def _color_table(flags: int) -> int:
    """Bytes of the colour table that a GIF's flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(file: IO[bytes]) -> bool:
    """Skip the data blocks of a GIF up to their end; False at the end of the file."""
    while size := file.read(1):
        if size == b"\0":
            return True
        file.seek(size[0], 1)
    return False


def _png_delays(path: Path) -> list[float]:
    """Delays by the frame controls of an animated PNG."""
    delays = []
    with open(path, "rb") as file:
        file.seek(8)
        for name in _chunks(file, "big"):
            if name == b"fcTL":
                above, below = struct.unpack(">HH", file.read(24)[20:])
                delays.append(above / (below or 100))
    return delays


def _webp_delays(path: Path) -> list[float]:
    """Delays by the frames of an animated WebP."""
    delays = []
    with open(path, "rb") as file:
        file.seek(12)
        for name in _chunks(file, "little"):
            if name == b"ANMF":
                delays.append(int.from_bytes(file.read(16)[12:15], "little") / 1000)
    return delays


def _chunks(file: IO[bytes], order: Literal["big", "little"]) -> Iterator[bytes]:
    """Names of the chunks of a PNG ("big") or of a RIFF file; each time, its data comes next."""
    while len(header := file.read(8)) == 8:
        size, name = (header[:4], header[4:]) if order == "big" else (header[4:], header[:4])
        start, length = file.tell(), int.from_bytes(size, order)
        yield name
        checksum_or_padding = 4 if order == "big" else length % 2
        file.seek(start + length + checksum_or_padding)


DELAYS = {"GIF": _gif_delays, "PNG": _png_delays, "WEBP": _webp_delays}
