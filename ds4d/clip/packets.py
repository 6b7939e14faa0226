"""Videos by their packets: streams, timestamps and limits, before anything is decoded.

Everything is read by PyAV, the binding to ffmpeg's libraries, from an open file: no name is parsed
as an option or a protocol, and no container is accepted that could make ffmpeg open other files.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import ClipConfig
from ..errors import UserError
from .limits import check_pixels, check_seconds

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# No playlists: a text file named .mp4 could make ffmpeg open other files.
CONTAINERS = (
    "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,h264,hevc,obu,ivf,yuv4mpegpipe"
)
FASTEST = 1000.0  # frames per second; a file that states more does not know its rate
UNSTAMPED = {"avi", "h264", "hevc", "mpegvideo"}  # formats without presentation timestamps
PROGRESSIVE = 1  # ffmpeg's field orders: 0 = unknown, above 1 = interlaced
DOLBY = ("dvh1", "dvhe", "dav1")  # tags of streams that need a decoder for Dolby Vision
VPX = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # decoders that keep the alpha channel


@dataclass(frozen=True)
class Video:
    """The picture stream of a video. P packets in the file's order, N shown frames in time."""

    path: Path
    stream: int  # index of the picture stream in the file
    width: int  # pixels, as stored
    height: int  # pixels, as stored
    aspect: Fraction  # width of a stored pixel by its height
    ranks: np.ndarray  # [P] int64, number of each packet's frame in time; -1 = not shown
    keys: np.ndarray  # [P] bool, whether decoding can begin here
    stamped: bool  # False: no timestamps, frames are numbered as they leave the decoder
    times: np.ndarray | None  # [N] float64 seconds, 0 = first; None = the rate is not known
    seconds: float | None  # length, the last frame included
    fps: float | None  # average rate
    promised: int | None  # number of frames by the header, if that is more than there are
    interlaced: bool  # by the header
    dolby: bool  # Dolby Vision by its tag
    decoder: str | None  # decoder that keeps the alpha channel, where the usual one does not
    others: tuple[str, ...]  # picture streams that are not used, in words

    @property
    def count(self) -> int:
        return int((self.ranks >= 0).sum())


def inspect(path: Path, config: ClipConfig) -> Video:
    """Read the packets of a video without decoding them.

    Raises:
        UserError: not a video, audio only, cut off before its index, or over the limits.
    """
    with opened(path) as container:
        stream = container.streams.best("video")
        if stream is None or _is_cover(stream):
            if container.streams.audio:
                raise UserError(f"{path.name} holds only sound.", "Give a video of an object.")
            raise _unreadable(path)
        if stream.codec_context is None:  # a codec that FFmpeg does not know
            raise _unreadable(path)
        width, height = stream.codec_context.width, stream.codec_context.height
        if not width or not height:
            raise UserError(
                f"{path.name} is damaged: its pictures have no size.", "Export it again."
            )
        check_pixels(path.name, width, height, config)
        if stream.duration and stream.time_base:
            check_seconds(path.name, float(stream.duration * stream.time_base), config)
        stamps, lasts, shown, keys = _packets(path, container, stream, config)
        if not shown.any():
            raise UserError(f"{path.name} has no frame that can be read.", "Export it again.")
        order, times, stamped = _timeline(stamps, shown, stream)
        ranks = np.full(len(stamps), -1)
        ranks[order] = np.arange(len(order))
        seconds = fps = None
        if times is not None and len(order):
            times, seconds, fps = _rate(times, lasts[order[-1]], float(stream.average_rate or 0))
        if seconds is not None:
            check_seconds(path.name, seconds, config)
        others = [s for s in container.streams.video if s.index != stream.index]
        return Video(
            path=path,
            stream=stream.index,
            width=width,
            height=height,
            aspect=stream.sample_aspect_ratio or Fraction(1),
            ranks=ranks,
            keys=keys,
            stamped=stamped,
            times=times,
            seconds=seconds,
            fps=fps,
            promised=stream.frames if stream.frames > len(stamps) else None,
            interlaced=stream.codec_context.field_order > PROGRESSIVE,
            dolby=stream.codec_context.codec_tag in DOLBY,
            decoder=_alpha_decoder(stream),
            others=tuple(
                f"a second picture stream of {other.width} x {other.height} pixels"
                for other in others
                if not _is_cover(other)
            ),
        )


def _alpha_decoder(stream: VideoStream) -> str | None:
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    return VPX.get(stream.codec_context.name) if tags.get("alpha_mode") == "1" else None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a video with PyAV. Raises UserError for anything else."""
    import av

    with open(path, "rb") as file:
        options = {"format_whitelist": CONTAINERS}
        try:
            container = av.open(file, "r", options=options, buffer_size=1 << 18)
        except (av.FFmpegError, ValueError, OverflowError) as error:
            if _is_quicktime(path) and b"moov" not in _boxes(path):
                raise UserError(
                    f"{path.name} is cut off: its index is missing, so no frame can be read.",
                    "Copy or export the whole video again.",
                ) from error
            raise _unreadable(path) from error
        with container:
            yield container


def _unreadable(path: Path) -> UserError:
    return UserError(
        f"{path.name} is not a video that can be read.",
        "Give an mp4, mov, webm or mkv video, a GIF, a WebP, or a folder or zip of images.",
    )


def _is_cover(stream: VideoStream) -> bool:
    """True for the picture of an album."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _packets(
    path: Path, container: InputContainer, stream: VideoStream, config: ClipConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Times and lengths [P] in seconds (nan = none); whether shown and whether a key frame [P].

    Times go on where timestamps start again, as in recordings that were joined.
    """
    import av

    base = stream.time_base
    tick = float(base) if base else 0.0
    vp8 = stream.codec_context.name == "vp8"  # some of its frames are only for reference
    stamps, lasts, shown, keys = [], [], [], []
    shift, last_dts, least, most = 0, None, None, None
    try:
        for packet in container.demux(stream):
            if packet.size == 0:
                continue
            duration = packet.duration or 0
            if packet.dts is not None:
                if last_dts is not None and packet.dts + shift < last_dts:
                    shift = last_dts + max(duration, 1) - packet.dts
                last_dts = packet.dts + shift
            stamps.append(np.nan if packet.pts is None else (packet.pts + shift) * tick)
            lasts.append(duration * tick)
            shown.append(not packet.is_discard and not (vp8 and not bytes(packet)[0] & 0x10))
            keys.append(packet.is_keyframe)
            if packet.pts is not None and shown[-1]:
                least = stamps[-1] if least is None else min(least, stamps[-1])
                most = stamps[-1] if most is None else max(most, stamps[-1])
                if most - least > config.max_seconds:
                    check_seconds(path.name, most - least, config)
    except (av.FFmpegError, OverflowError):
        pass  # the rest cannot be read; what came before is used
    return (
        np.array(stamps, float), np.array(lasts, float), np.array(shown, bool), np.array(keys, bool)
    )  # fmt: skip


def _timeline(
    stamps: np.ndarray,  # [P] seconds, nan = none
    shown: np.ndarray,  # [P] bool
    stream: VideoStream,
) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Packets of the shown frames in the order of time [N], their times, and whether they are
    stamped. Of frames with one time, only the last would be seen: the others are left out."""
    packets = np.flatnonzero(shown)
    if np.isnan(stamps[packets]).any():
        rate = stream.guessed_rate or stream.average_rate
        times = np.arange(len(packets)) / float(rate) if rate else None
        return packets, times, False
    if stream.container.format.name in UNSTAMPED and stream.codec_context.has_b_frames:
        return packets, np.sort(stamps[packets]), False  # ffmpeg numbers them in the file's order
    order = packets[np.argsort(stamps[packets], kind="stable")]
    times = stamps[order]
    seen = np.append(np.diff(times) > 0, True)
    return order[seen], times[seen], True


def _rate(
    times: np.ndarray,  # [N] seconds
    last: float,  # length of the last frame by the file, seconds; 0 = not stated
    rate: float,  # frames per second by the file; 0 = not stated
) -> tuple[np.ndarray | None, float | None, float | None]:
    """Times from the first frame, length of the clip, and frames per second.

    Containers round times, mostly to milliseconds: even ones are made even again.
    """
    times = times - times[0]
    count = len(times)
    if count < 2:
        length = last or (1 / rate if rate else 0.0)
        return times, length or None, rate or None
    mean = times[-1] / (count - 1)
    if mean < 1 / FASTEST - 1e-9:
        return None, None, None
    if not rate or abs(rate * mean - 1) > 0.01:
        rate = 1 / mean
    even = np.arange(count) / rate
    if np.abs(times - even).max() <= max(0.0011, 0.02 / rate):
        return even, count / rate, rate
    seconds = times[-1] + (last or float(np.median(np.diff(times))))
    return times, seconds, count / seconds


def _is_quicktime(path: Path) -> bool:
    """True if a file begins as mp4 and mov files do."""
    with open(path, "rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moov")


def _boxes(path: Path) -> set[bytes]:
    """Names of the outermost boxes of an mp4 or mov file."""
    names: set[bytes] = set()
    end = path.stat().st_size
    with open(path, "rb") as file:
        while len(header := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", header)
            start = file.tell() - 8
            if size == 1:
                size = int.from_bytes(file.read(8), "big")
            if size < 8 or start + size > end:
                break
            names.add(name)
            file.seek(start + size)
    return names
