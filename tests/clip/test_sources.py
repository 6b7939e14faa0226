"""Files and folders that can be read, and the sentence with which others are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ds4d.config import ClipConfig
from ds4d.errors import UserError
from tests.clip.clips import CONFIG, SIZE, encode, ffmpeg, left_edge, moving, read, save_images


def test_large_frames_are_scaled_down_while_reading(tmp_path):
    path = tmp_path / "wide.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=2160x600:rate=5:duration=1", str(path))
    assert read(path).frames.shape == (5, 300, 1080, 3)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animated_images(tmp_path, suffix):
    images = [Image.fromarray(frame) for frame in moving()]
    path = tmp_path / f"a{suffix}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=100)
    read_clip = read(path)
    assert read_clip.frames.shape == (6, SIZE, SIZE, 3)
    assert read_clip.fps == pytest.approx(10)
    assert abs(left_edge(read_clip.frames[-1]) - 41) <= 1


def test_an_animated_webp_keeps_its_alpha(tmp_path):
    images = [Image.fromarray(frame) for frame in moving(alpha=True)]
    images[0].save(
        tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=100, lossless=True
    )
    np.testing.assert_array_equal(
        read(tmp_path / "a.webp").frames[..., 3], moving(alpha=True)[[0, 2, 4, 7, 9, 11], ..., 3]
    )


def test_a_folder_is_ordered_by_number_not_by_letter(tmp_path):
    folder = save_images(tmp_path / "shots", moving(), "shot_{}.png")  # shot_10 after shot_9
    frames = read(folder, ClipConfig(frames=12)).frames
    assert [left_edge(frame) for frame in frames] == [8 + 3 * index for index in range(12)]


def test_a_case_folder_is_prepared(tmp_path):
    save_images(tmp_path / "case" / "input", moving(alpha=True), "{:04d}.png")
    read_clip = read(tmp_path / "case")
    assert read_clip.prepared and read_clip.frames.shape == (6, SIZE, SIZE, 4)


def test_stag4d_and_4dgen_folders_are_prepared(tmp_path):
    stag = tmp_path / "stag"
    save_images(stag / "ref", moving(alpha=True), "{}_rgba.png")
    (stag / "zero123").mkdir()
    gen = tmp_path / "gen"
    save_images(gen / "panda_pose0", moving(alpha=True))
    for folder in (stag, gen, gen / "panda_pose0"):
        read_clip = read(folder)
        assert read_clip.prepared
        assert left_edge(read_clip.frames[-1]) == 41  # 11 comes last, not 9
    save_images(gen / "frog_pose0", moving(alpha=True))
    with pytest.raises(UserError, match="several objects"):
        read(gen)


def test_folders_of_consistent4d_and_dreamgaussian4d_are_clips(tmp_path):
    consistent = save_images(tmp_path / "rose", moving(alpha=True), "{}.png")
    for view in range(4):
        save_images(consistent / f"eval_{view}", moving(alpha=True), "{}.png")
    dream = save_images(tmp_path / "luigi", moving(), "{}.png")
    save_images(dream, moving(alpha=True), "{}_rgba.png")
    for folder in (consistent, dream):
        read_clip = read(folder)
        assert not read_clip.prepared and read_clip.frames.shape[-1] == 4
        assert left_edge(read_clip.frames[-1]) == 41


def refusal(path: Path, config: ClipConfig = CONFIG) -> str:
    with pytest.raises(UserError) as caught:
        read(path, config)
    assert caught.value.hint
    return caught.value.sentence


def test_what_is_no_clip_is_refused(tmp_path):
    assert "nothing at" in refusal(tmp_path / "absent.mp4")
    (tmp_path / "text.mp4").write_text("This is not a video.\n" * 50)
    assert "not a video" in refusal(tmp_path / "text.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert "is empty" in refusal(tmp_path / "empty.mp4")
    (tmp_path / "folder").mkdir()
    assert "no images" in refusal(tmp_path / "folder")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", str(tmp_path / "sound.mp4"))
    assert "only sound" in refusal(tmp_path / "sound.mp4")


def test_a_playlist_named_as_a_video_opens_no_other_file(tmp_path):
    encode(tmp_path / "other.mp4", moving(), "-pix_fmt", "yuv420p")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    assert "not a video" in refusal(tmp_path / "list.mp4")


def test_a_single_frame_is_refused(tmp_path):
    Image.fromarray(moving()[0]).save(tmp_path / "still.png")
    assert "single image" in refusal(tmp_path / "still.png")
    assert "single image" in refusal(save_images(tmp_path / "one", moving(1)))
    one = encode(tmp_path / "one.mp4", moving(1), "-pix_fmt", "yuv420p")
    assert "only one frame" in refusal(one)


def test_images_that_do_not_belong_together_are_refused(tmp_path):
    folder = save_images(tmp_path / "shots", moving())
    Image.fromarray(moving()[0, :32]).save(folder / "3.png")
    assert "64 x 64 pixels, 3.png is 64 x 32" in refusal(folder)
    (folder / "3.png").write_bytes(b"not an image")
    assert "3.png cannot be read" in refusal(folder)
    whole = (folder / "0.png").read_bytes()
    (folder / "3.png").write_bytes(whole[: len(whole) * 2 // 3])
    assert "3.png cannot be read" in refusal(folder, ClipConfig(frames=12))


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"max_seconds": 1.0}, "lasts 1.2 s"),
        ({"max_pixels": 64 * 63}, "too large: 64 x 64"),
        ({"max_bytes": 500}, "too large: 0 MB"),
    ],
)
def test_limits_hold(tmp_path, limits, sentence):
    video = encode(tmp_path / "a.mp4", moving(), "-pix_fmt", "yuv420p")
    assert sentence in refusal(video, ClipConfig(**limits))


def test_a_video_cut_off_before_its_index_is_refused(tmp_path):
    whole = encode(tmp_path / "a.mp4", moving(), "-pix_fmt", "yuv420p").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    assert "cut off" in refusal(tmp_path / "cut.mp4")


def test_of_a_truncated_video_the_readable_frames_are_used(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, SIZE, SIZE, 3), dtype=np.uint8)
    options = ["-pix_fmt", "yuv420p", "-g", "1", "-movflags", "+faststart"]
    whole = encode(tmp_path / "a.mp4", noise, *options).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    read_clip = read(tmp_path / "cut.mp4")
    assert 10 < read_clip.source_frames < 30
    assert len(read_clip.frames) == 6 and read_clip.positions[-1] == 1
    assert f"{read_clip.source_frames} of about 40 frames" in read_clip.warnings[0]


def test_a_sound_that_lasts_longer_than_the_picture_is_no_damage(tmp_path):
    picture, path = encode(tmp_path / "a.mkv", moving(), "-c:v", "ffv1"), tmp_path / "b.mp4"
    ffmpeg("-i", str(picture), "-f", "lavfi", "-i", "sine=duration=3", str(path))
    assert read(path).warnings == ()
