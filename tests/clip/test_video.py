"""Videos as they are written, and cancelling of their decoder."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest

from ds4d import clip
from ds4d.config import ClipConfig
from tests.clip.clips import CONFIG, encode, moving, read


def test_a_written_video_plays_in_browsers_and_keeps_its_colours(tmp_path):
    frames = moving()[:, :63, :61]  # odd sides
    path = tmp_path / "out.mp4"
    clip.write_video(path, iter(frames), fps=12)
    header = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True
    ).stderr
    assert "h264" in header and "yuv420p" in header and "60x62" in header and "12 fps" in header
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    back = read(path, ClipConfig(frames=12)).frames
    assert np.abs(back[0, 26:34, 11:17].astype(int) - (220, 30, 30)).max() < 12


def test_closing_the_reader_ends_the_decoder(tmp_path):
    path = encode(tmp_path / "a.mp4", moving(), "-pix_fmt", "yuv420p")
    stage = clip.read(path, CONFIG)
    next(stage)
    stage.close()
    with pytest.raises(StopIteration):
        next(stage)
