"""Faults that public reports describe of other programs that read clips, tried on this one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ds4d.config import ClipConfig
from tests.clip.clips import SIZE, encode, ffmpeg, left_edge, moving, read

WHOLE = ClipConfig(frames=24, size=48)


def test_repeats_of_a_strongly_compressed_clip_are_found(tmp_path):
    path = tmp_path / "a.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=24:duration=2", "-vf", "fps=60",
           "-pix_fmt", "yuv420p", "-crf", "32", str(path))  # fmt: skip
    read_clip = read(path, WHOLE)
    assert "72 of 120 frames repeat" in read_clip.warnings[0]


def test_the_last_frame_of_an_avi_without_timestamps_is_not_lost(tmp_path):
    path = encode(tmp_path / "a.avi", moving(12), "-c:v", "mpeg4", "-bf", "2")
    assert left_edge(read(path, WHOLE).frames[-1]) == pytest.approx(41, abs=1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vp8.webm", ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"]),
        ("prores.mov", ["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"]),
        ("png.avi", ["-c:v", "png"]),
    ],
)
def test_transparency_of_videos_is_kept(tmp_path, name, options):
    frames = read(encode(tmp_path / name, moving(6, alpha=True), *options), WHOLE).frames
    assert frames.shape[-1] == 4
    assert frames[0, 30, 14, 3] > 250 and frames[0, 30, 50, 3] < 5


def test_grey_videos_and_those_of_many_bits(tmp_path):
    for pixels in ("gray", "gray10le", "yuv444p12le", "rgb48le", "yuv411p"):
        path = encode(tmp_path / f"{pixels}.mkv", moving(4), "-c:v", "ffv1", "-pix_fmt", pixels)
        frame = read(path, WHOLE).frames[0].astype(int)
        assert np.abs(frame[50:] - 255).max() <= 2, pixels
        grey = np.abs(frame[25:35, 11:17].mean(-1) - (88 if "gray" in pixels else 93))
        assert grey.max() < 8, pixels


def test_a_recording_that_begins_within_a_group_of_pictures(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, SIZE, SIZE, 3), dtype=np.uint8)
    options = ["-pix_fmt", "yuv420p", "-g", "12", "-bf", "2"]
    data = encode(tmp_path / "a.ts", noise, *options).read_bytes()
    (tmp_path / "b.ts").write_bytes(data[188 * (len(data) // 188 // 3) :])
    read_clip = read(tmp_path / "b.ts", WHOLE)
    assert len(read_clip.frames) == 24 and "is damaged" in read_clip.warnings[0]


def test_a_fragmented_mp4_and_a_live_webm_have_a_length(tmp_path):
    fragments = ["-movflags", "+frag_keyframe+empty_moov", "-pix_fmt", "yuv420p"]
    for name, options in {"a.mp4": fragments, "a.webm": ["-c:v", "libvpx", "-live", "1"]}.items():
        read_clip = read(encode(tmp_path / name, moving(12), *options), WHOLE)
        assert read_clip.seconds[-1] == pytest.approx(1.1, abs=0.002)


def test_a_late_beginning_counts_from_the_first_frame(tmp_path):
    plain_path = encode(tmp_path / "a.mp4", moving(6), "-pix_fmt", "yuv420p")
    ffmpeg("-i", str(plain_path), "-c", "copy", "-output_ts_offset", "5", str(tmp_path / "b.mp4"))
    assert read(tmp_path / "b.mp4", WHOLE).seconds[0] == 0


def test_names_do_not_matter(tmp_path):
    video = encode(tmp_path / "a.mp4", moving(6), "-pix_fmt", "yuv420p").read_bytes()
    (tmp_path / "video.GIF").write_bytes(video)
    (tmp_path / "no suffix").write_bytes(video)
    for name in ("video.GIF", "no suffix"):
        assert len(read(tmp_path / name, WHOLE).frames) == 6
    folder = tmp_path / "shots"
    folder.mkdir()
    for index, frame in enumerate(moving(3)):
        Image.fromarray(frame).save(folder / f"{index}.png", "JPEG")
    assert len(read(folder).frames) == 3


def test_an_animated_avif_has_its_own_delays(tmp_path):
    images = [Image.fromarray(frame) for frame in moving(4)]
    delays = [40, 40, 200, 40]
    images[0].save(tmp_path / "a.avif", save_all=True, append_images=images[1:], duration=delays)
    np.testing.assert_allclose(read(tmp_path / "a.avif").seconds, [0, 0.04, 0.08, 0.28], atol=0.002)
