"""Writing of videos by the ffmpeg program of imageio-ffmpeg; PyAV reads them (packets.py)."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import imageio_ffmpeg
import numpy as np


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


def _url(path: Path) -> str:
    return f"file:{path.absolute()}"  # so that no name is parsed as an option or a protocol
