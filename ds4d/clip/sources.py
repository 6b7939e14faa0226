"""Sources of frames: videos, animated images, folders and zips of images, prepared folders."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from . import animation, decoding, packets
from .datasets import Prepared, find_prepared
from .limits import check_bytes, check_exists
from .pictures import Picture, Pictures, find_pictures, video_among
from .stills import DAMAGED, LONGEST, is_stack, open_image, pixels, shown_size

Kind = Literal["video", "animation", "images", "prepared"]
Frames = Iterator[tuple[int, np.ndarray]]  # numbers of frames, and their pixels
SMALL = 320  # pixels, longest side of the grey images that tell frames apart


@dataclass(frozen=True)
class Source:
    """Random access to the frames of a clip, independent of its file format.

    Frames are numbered in the order of time. Those that cannot be decoded are left out by `pick`
    and `look`.
    """

    name: str
    kind: Kind
    times: np.ndarray  # [N] increasing from 0: seconds, or any unit if `seconds` is None
    seconds: float | None  # length; None = images without a frame rate
    fps: float | None  # average rate
    size: tuple[int, int]  # width and height as shown, pixels
    pick: Callable[[Sequence[int]], Frames]  # [H, W, 3 or 4] uint8, at most LONGEST pixels long
    look: Callable[[Sequence[int]], Frames]  # [h, w] uint8 grey, at most SMALL pixels long
    affordable: Callable[[np.ndarray, int], np.ndarray]  # decoding.affordable
    promised: int | None = None  # number of frames by the header of a file that is cut off
    notes: tuple[str, ...] = ()  # what the user should know about how the clip is read
    left_out: tuple[str, ...] = ()  # files and streams that are not used

    @property
    def count(self) -> int:
        return len(self.times)


def open_source(path: Path, config: ClipConfig) -> Source:
    """Open a clip: its header, its timestamps and at most its first frame are read.

    Raises:
        UserError: the path does not exist, or is not a clip, a single image, damaged, or over the
            limits.
    """
    check_exists(path)
    if path.is_dir():
        prepared = find_prepared(path)
        if prepared is not None:
            return _open_pictures(path.name, _fronts(prepared), config, "prepared")
        return _open_pictures(path.name, find_pictures(path), config, "images")
    check_bytes(path.name, path.stat().st_size, config)
    if zipfile.is_zipfile(path):
        return _open_pictures(path.name, find_pictures(path), config, "images")
    return _open_animation(path, config) or _open_video(path, config)


def _open_video(path: Path, config: ClipConfig) -> Source:
    video = packets.inspect(path, config)
    first = decoding.first_look(video)
    notes = []
    if video.times is None:
        notes.append(f"{path.name} states no frame rate that can be right: frames count as even.")
    if first.combs:
        notes.append("The clip is interlaced: whole frames are made of its half frames.")
    if first.stereo:
        notes.append("Each frame holds the pictures of both eyes: those of one eye are used.")
    if first.panorama:
        notes.append("The clip is a panorama, in which the object is bent: cut out a flat view.")
    if video.others:
        notes.append(f"{path.name} also holds {' and '.join(video.others)}, which is not used.")
    return Source(
        name=path.name,
        kind="video",
        times=np.arange(video.count, dtype=float) if video.times is None else video.times,
        seconds=video.seconds,
        fps=video.fps,
        size=first.size,
        pick=lambda indices: decoding.decode(video, indices, LONGEST, first.combs),
        look=lambda indices: decoding.small_frames(video, indices, SMALL),
        affordable=lambda indices, frames: decoding.affordable(video, indices, frames),
        promised=video.promised,
        notes=tuple(notes),
        left_out=video.others,
    )


def _open_animation(path: Path, config: ClipConfig) -> Source | None:
    """Open an animated GIF, WebP, PNG or AVIF; None if the file is not an image."""
    found = animation.inspect(path, config)
    if found is None:
        return None
    seconds = float(found.delays.sum())
    return Source(
        name=path.name,
        kind="animation",
        times=found.times,
        seconds=seconds,
        fps=len(found.delays) / seconds,
        size=found.size,
        pick=lambda indices: animation.decode(found, indices, config),
        look=lambda indices: _greys(animation.decode(found, indices, config, SMALL)),
        affordable=lambda indices, frames: indices,
    )


def _fronts(prepared: Prepared) -> Pictures:
    """The front frames of a prepared folder, all of which are used."""
    files = tuple(
        Picture(PurePosixPath(file.name), file.stat().st_size, lambda file=file: file.open("rb"))
        for file in prepared.fronts
    )
    return Pictures(files, np.arange(len(files), dtype=float), (), ())


def _open_pictures(name: str, found: Pictures, config: ClipConfig, kind: Kind) -> Source:
    """Open images, which all have one size."""
    files = found.files
    if len(files) == 1:
        raise UserError(
            f"{name} holds a single image.",
            video_among(found.left_out)
            or "Give a clip in which the object moves: two images or more.",
        )
    sizes: dict[tuple[int, int], str] = {}
    for file in files:
        check_bytes(file.name, file.size, config)
        sizes.setdefault(_read(file, config, shown_size), file.name)
    if len(sizes) > 1:
        (a, first), (b, second) = list(sizes.items())[:2]
        raise UserError(
            f"The images have different sizes: {first} is {a[0]} x {a[1]} pixels, "
            f"{second} is {b[0]} x {b[1]}.",
            "All images of a clip need the same size.",
        )

    def pick(indices: Sequence[int], longest: int = LONGEST) -> Frames:
        for index in indices:
            yield index, _read(files[index], config, lambda image: pixels(image, longest))

    notes = found.notes
    if _read(files[0], config, is_stack):
        notes += ("The images hold several pages: the first page of each is used.",)
    return Source(
        name=name,
        kind=kind,
        times=found.numbers,
        seconds=None,
        fps=None,
        size=next(iter(sizes)),
        pick=pick,
        look=lambda indices: _greys(pick(indices, SMALL)),
        affordable=lambda indices, frames: indices,
        notes=notes,
        left_out=found.left_out,
    )


def read_image(file: Path, config: ClipConfig) -> np.ndarray:
    """Read one picture upright, at most LONGEST pixels long, [H, W, 3 or 4] uint8.

    Raises:
        UserError: there is no such file, or it is no picture, damaged, or over the limits.
    """
    if not file.is_file():
        raise UserError(f"There is no picture {file}.", "Check the path.")
    check_bytes(file.name, file.stat().st_size, config)
    try:
        with file.open("rb") as stream, open_image(stream, file.name, config) as image:
            return pixels(image)
    except DAMAGED as error:
        raise UserError(
            f"{file.name} is not a picture that can be read.", "Give a PNG, JPEG or WebP picture."
        ) from error


def _read(file: Picture, config: ClipConfig, how: Callable):
    """Result of a function of an image. Raises UserError with its name if it is damaged."""
    try:
        with file.open() as stream, open_image(stream, file.name, config) as image:
            return how(image)
    except (zipfile.BadZipFile, NotImplementedError, *DAMAGED) as error:
        raise UserError(
            f"The image {file.name} cannot be read.", "Replace it or take it out."
        ) from error


def _greys(frames: Frames) -> Frames:
    """Grey levels of frames; transparent pixels count as grey."""
    for index, frame in frames:
        rgb = frame[..., :3].astype(np.float32).mean(-1)
        if frame.shape[2] == 4:
            opacity = frame[..., 3] / np.float32(255)
            rgb = rgb * opacity + 128 * (1 - opacity)
        yield index, rgb.astype(np.uint8)
