"""Frames sampled evenly from a clip or a part of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ds4d import clip
from ds4d.errors import UserError
from tests.clip.clips import CONFIG, SIZE, encode, ffmpeg, left_edge, moving, read, save_images
from tests.stages import finished


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p"]),
        ("a.mov", ["-c:v", "libx264", "-pix_fmt", "yuv420p10le"]),  # 10 bit
        ("a.mkv", ["-c:v", "ffv1"]),
        ("a.webm", ["-c:v", "libvpx-vp9"]),
    ],
)
def test_videos_are_sampled_evenly_from_first_to_last_frame(tmp_path, name, options):
    read_clip = read(encode(tmp_path / name, moving(), *options))
    assert read_clip.frames.shape == (6, SIZE, SIZE, 3)
    assert read_clip.indices.tolist() == [0, 2, 4, 7, 9, 11]
    np.testing.assert_allclose(read_clip.positions, read_clip.indices / 11)
    assert (read_clip.source_frames, read_clip.fps, read_clip.warnings) == (12, 10.0, ())
    for frame, index in zip(read_clip.frames, read_clip.indices, strict=True):
        assert abs(left_edge(frame) - (8 + 3 * index)) <= 1


def test_a_webm_with_alpha_keeps_it(tmp_path):
    options = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"]
    path = encode(tmp_path / "a.webm", moving(alpha=True), *options)
    frames = read(path).frames
    assert frames.shape[-1] == 4
    assert frames[0, 30, 14, 3] > 250 and frames[0, 30, 50, 3] < 5


def test_a_phone_video_stands_upright(tmp_path):
    frames = moving()[:, :48]  # 64 wide, 48 high, stored lying on its side
    plain = encode(tmp_path / "plain.mp4", frames, "-pix_fmt", "yuv420p")
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", str(plain), "-c", "copy", str(turned))
    upright = read(turned).frames
    assert upright.shape == (6, 64, 48, 3)
    assert np.abs(upright.astype(int) - np.rot90(read(plain).frames, 1, (1, 2))).mean() < 3


def test_a_short_clip_keeps_all_of_its_frames(tmp_path):
    read_clip = read(encode(tmp_path / "a.mkv", moving(3), "-c:v", "ffv1"))
    assert read_clip.indices.tolist() == [0, 1, 2]


def test_a_static_clip_is_allowed_with_a_warning(tmp_path):
    path = encode(tmp_path / "a.mp4", moving(step=0), "-pix_fmt", "yuv420p")
    events, read_clip = finished(clip.read(path, CONFIG))
    assert "does not move" in read_clip.warnings[0]
    assert any(event.warning and "does not move" in event.message for event in events)


def test_a_small_motion_is_not_static(tmp_path):
    frames = moving(step=0)
    frames[6:, 20:23, 8:11] = 255  # a corner of the object goes
    assert read(save_images(tmp_path / "shots", frames)).warnings == ()


def test_only_the_chosen_seconds_are_used(tmp_path):
    path = encode(tmp_path / "a.mp4", moving(12), "-pix_fmt", "yuv420p")  # 10 frames a second
    part = read(path, replace(CONFIG, start=0.3, end=0.8))
    assert part.indices.tolist() == [3, 4, 5, 6, 7, 8]
    assert part.positions[0] == 0 and part.positions[-1] == 1
    assert abs(left_edge(part.frames[0]) - (8 + 3 * 3)) <= 1
    assert read(path, replace(CONFIG, start=0.9)).indices.tolist() == [9, 10, 11]
    assert read(path, replace(CONFIG, end=60.0)).indices[-1] == 11


@pytest.mark.parametrize("part", [{"start": 5.0}, {"start": 0.31, "end": 0.39}, {"end": -1.0}])
def test_a_part_without_frames_is_refused_with_the_clip_s_length(tmp_path, part):
    path = encode(tmp_path / "a.mp4", moving(12), "-pix_fmt", "yuv420p")
    with pytest.raises(UserError, match="fewer than two frames") as caught:
        read(path, replace(CONFIG, **part))
    assert "1.2 s" in caught.value.hint


def test_images_have_no_frame_rate(tmp_path):
    save_images(tmp_path / "images", moving(4))
    with pytest.raises(UserError, match="no frame rate"):
        read(tmp_path / "images", replace(CONFIG, start=1.0))
