"""Inspecting, decoding and writing of videos by the ffmpeg program of imageio-ffmpeg.

A separate process decodes: a hostile or broken file cannot crash this process, and killing the
process cancels the work.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np

from ..errors import UserError

# Files only, and no playlists: a text file named .mp4 could make ffmpeg open other files.
CONTAINERS = "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,h264,hevc,ivf,y4m"
INPUT = ["-nostdin", "-protocol_whitelist", "file", "-format_whitelist", CONTAINERS]
ALPHA_FORMATS = re.compile(r"\b(yuva|rgba|argb|bgra|abgr|gbrap|ya8|ya16)")
# HDR to SDR: linear light, ITU-R BT.709 primaries, a tone curve for the highlights.
TONE_MAP = (
    "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)


@dataclass(frozen=True)
class Video:
    """Properties of a video by its header, and the number of frames in its container."""

    path: Path
    frames: int  # packets of the picture stream
    promised: int | None  # number of frames by the header's duration, if the file is cut off
    seconds: float
    fps: float | None
    width: int  # pixels, as stored
    height: int  # pixels, as stored
    decoder: tuple[str, ...]  # options that choose a decoder which keeps the alpha channel
    alpha: bool
    hdr: bool


def inspect(path: Path, max_seconds: float, max_pixels: int) -> Video:
    """Read the properties of a video without decoding it.

    Raises:
        UserError: not a video, audio only, cut off before its index, or over the limits.
    """
    header = _run(["-i", _url(path)]).stderr
    if "moov atom not found" in header and _is_quicktime(path):
        raise UserError(
            f"{path.name} is cut off: its index is missing, so no frame can be read.",
            "Copy or export the whole video again.",
        )
    streams = re.findall(r"Stream #\d+:\d+.*?: Video: (.*)", header)
    streams = [line for line in streams if "(attached pic)" not in line]  # an album's cover
    if not streams:
        if re.search(r"Stream #\d+:\d+.*?: Audio:", header):
            raise UserError(f"{path.name} holds only sound.", "Give a video of a moving object.")
        raise UserError(
            f"{path.name} is not a video that can be read.",
            "Give an mp4, mov, webm or mkv video, a GIF, a WebP or a folder of images.",
        )
    stream = streams[0]
    size = re.search(r", (\d+)x(\d+)\b", stream)
    if size is None:
        raise UserError(f"{path.name} is damaged: its pictures have no size.", "Export it again.")
    width, height = int(size[1]), int(size[2])
    check_pixels(path.name, width, height, max_pixels)
    duration = _seconds(re.search(r"Duration: (\d+):(\d+):([\d.]+)", header))
    check_seconds(path.name, duration or 0.0, max_seconds)
    rate = re.search(r"([\d.]+) fps", stream)
    fps = float(rate[1]) if rate and float(rate[1]) > 0 else None
    frames, read_seconds, cut_off = _count(path, ["-c", "copy"])
    seconds = duration or read_seconds
    check_seconds(path.name, seconds, max_seconds)
    codec = stream.split()[0].rstrip(",")
    vpx = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(codec)
    alpha_mode = re.search(r"alpha_mode\s*: 1", header, re.IGNORECASE)
    vpx_alpha = vpx is not None and alpha_mode is not None
    return Video(
        path=path,
        frames=frames,
        promised=round(duration * fps) if cut_off and duration and fps else None,
        seconds=seconds,
        fps=fps,
        width=width,
        height=height,
        decoder=("-c:v", vpx) if vpx_alpha else (),
        alpha=vpx_alpha or ALPHA_FORMATS.search(stream) is not None,
        hdr=re.search(r"smpte2084|arib-std-b67", stream) is not None,
    )


def check_seconds(name: str, seconds: float, most: float) -> None:
    """Raise UserError for a clip that is longer than the limit."""
    if seconds > most:
        raise UserError(
            f"{name} lasts {seconds:.0f} s; at most {most:.0f} s are accepted.",
            "Cut out the few seconds in which the object moves.",
        )


def check_pixels(name: str, width: int, height: int, most: int) -> None:
    """Raise UserError for frames that are larger than the limit."""
    if width * height > most:
        raise UserError(
            f"The frames of {name} are too large: {width} x {height} pixels.",
            f"Scale them to at most {most / 1e6:.1f} million pixels.",
        )


def count_decodable(video: Video) -> int:
    """Number of frames that can be decoded; slow, for files that are cut off or damaged."""
    return _count(video.path, [], video.decoder)[0]


def decode(video: Video, indices: Sequence[int], longest: int) -> Iterator[np.ndarray]:
    """Decode frames one by one: upright, square pixels, 8 bit, at most `longest` pixels long.

    Args:
        indices: increasing frame numbers; frames that cannot be decoded are left out.
        longest: longest side of the frames, pixels.

    Yields: [H, W, 3] uint8, or [H, W, 4] with straight alpha for a video with an alpha channel.
    """
    shrink = f"max(1,max(iw*sar,ih)/{longest})"
    filters = [
        "select='" + "+".join(f"eq(n,{index})" for index in indices) + "'",
        *([TONE_MAP] if video.hdr else []),
        f"scale=w='round(iw*sar/{shrink})':h='round(ih/{shrink})'"
        ":flags=area+accurate_rnd+full_chroma_int",
        "setsar=1",
        "format=" + ("rgba" if video.alpha else "rgb24"),
    ]
    command = [
        *_base(), "-v", "error", *video.decoder, "-i", _url(video.path),
        "-map", "0:V:0", "-vf", ",".join(filters), "-fps_mode", "passthrough",
        "-c:v", "pam", "-f", "image2pipe", "-",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        while (frame := _read_pam(process.stdout)) is not None:
            yield frame
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write [H, W, 3] uint8 frames as h264 that every browser plays (yuv420p, index first).

    An odd last row or column is left out. The file is written in place: use workspace.replacing.
    """
    options = [
        "-c:v", "libx264", "-preset", "medium", "-crf", "18",
        "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
        "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
        "-movflags", "+faststart",
    ]  # fmt: skip
    _encode(path, frames, fps, "rgb24", options)


def write_gif(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write [H, W, 3] uint8 frames as a GIF that loops forever, with one palette of its own.

    Size and writing are as in `write_video`. Browsers play no more than 50 frames a second.
    """
    # One palette keeps static parts the same over time. Patterned dithering would speckle a white
    # background.
    palette = "split[a][b];[a]palettegen[palette];[b][palette]"
    dither = "paletteuse=dither=sierra2_4a:diff_mode=rectangle"
    _encode(path, frames, fps, "rgb24", ["-vf", palette + dither, "-loop", "0"])


def write_webm(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write [H, W, 4] uint8 frames with straight alpha as a transparent VP9 video.

    Size and writing are as in `write_video`. Chromium and Firefox render the transparency.
    """
    options = [
        "-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0", "-deadline", "good", "-cpu-used", "4",
        "-row-mt", "1", "-auto-alt-ref", "0",  # frames that are not shown would lose their alpha
        "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuva420p",
        "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
    ]  # fmt: skip
    _encode(path, frames, fps, "rgba", options)


def _encode(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    pixels: str,  # ffmpeg's name of their pixel format
    options: list[str],  # ffmpeg's output options
) -> None:
    """Encode frames by ffmpeg. Raises OSError with ffmpeg's message if the file is not written."""
    frames = iter(frames)
    first = next(frames)
    height, width = (side // 2 * 2 for side in first.shape[:2])
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}", "-r", f"{fps}",
        "-i", "-", "-an", *options, _url(path),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors)
        assert process.stdin is not None
        try:
            process.stdin.write(_even(first, height, width))
            for frame in frames:
                process.stdin.write(_even(frame, height, width))
            process.stdin.close()
            code = process.wait()
        except BrokenPipeError:  # the encoder failed; its message is in `errors`
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code != 0:
            errors.seek(0)
            raise OSError(f"{path.name} was not written: {errors.read().decode(errors='replace')}")


def _even(frame: np.ndarray, height: int, width: int) -> bytes:
    return np.ascontiguousarray(frame[:height, :width]).tobytes()


def _base() -> list[str]:
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", *INPUT]


def _url(path: Path) -> str:
    return f"file:{path.absolute()}"  # so that no name is parsed as an option or a protocol


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*_base(), *arguments], capture_output=True, text=True, errors="replace")


def _count(path: Path, options: list[str], decoder: Sequence[str] = ()) -> tuple[int, float, bool]:
    """Number of frames in the video stream, its length in seconds; whether the file is cut off."""
    done = _run([
        "-v", "error", "-nostats", "-progress", "-", *decoder, "-i", _url(path),
        "-map", "0:V:0", *options, "-fps_mode", "passthrough", "-f", "null", "-",
    ])  # fmt: skip
    frames = re.findall(r"^frame=\s*(\d+)", done.stdout, re.MULTILINE)
    seconds = _seconds(re.search(r".*out_time=(\d+):(\d+):([\d.]+)", done.stdout, re.DOTALL))
    cut_off = re.search(r"partial file|ended prematurely", done.stderr) is not None
    return (int(frames[-1]) if frames else 0), seconds or 0.0, cut_off


def _is_quicktime(path: Path) -> bool:
    """True if a file begins as mp4 and mov files do; ffmpeg goes by the name alone."""
    with open(path, "rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moov")


def _seconds(time: re.Match[str] | None) -> float | None:
    return int(time[1]) * 3600 + int(time[2]) * 60 + float(time[3]) if time else None


def _read_pam(stream: BinaryIO) -> np.ndarray | None:
    """Read the next image of a stream of PAM images, which hold their size; None at its end."""
    fields: dict[bytes, bytes] = {}
    while (line := stream.readline().strip()) != b"ENDHDR":
        if not line:
            return None
        name, _, value = line.partition(b" ")
        fields[name] = value
    shape = tuple(int(fields[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH"))
    data = stream.read(int(np.prod(shape)))
    if len(data) < np.prod(shape):
        return None
    return np.frombuffer(data, np.uint8).reshape(shape)
