"""Clips of every kind in; what cannot be used is refused in one plain sentence."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from ds4d import clip
from ds4d.config import ClipConfig
from ds4d.errors import UserError
from tests.stages import finished

SIZE = 64
CONFIG = ClipConfig(frames=6, size=48)


def read(path: Path, config: ClipConfig = CONFIG) -> clip.Clip:
    return finished(clip.read(path, config))[1]


def moving(count: int = 12, alpha: bool = False, step: int = 3) -> np.ndarray:
    """A red square on white that wanders to the right, [T, 64, 64, 3 or 4]."""
    frames = np.full((count, SIZE, SIZE, 4 if alpha else 3), 255, np.uint8)
    if alpha:
        frames[..., 3] = 0
    for index, frame in enumerate(frames):
        left = 8 + step * index
        frame[20:40, left : left + 12, :3] = (220, 30, 30)
        if alpha:
            frame[20:40, left : left + 12, 3] = 255
    return frames


def left_edge(frame: np.ndarray) -> int:
    """Where the red square begins."""
    return int(np.flatnonzero((frame[30, :, 0] > 128) & (frame[30, :, 1] < 128))[0])


def ffmpeg(*arguments: str, data: bytes = b"") -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    subprocess.run(command, input=data, check=True)


def encode(path: Path, frames: np.ndarray, *options: str) -> Path:
    pixels = "rgba" if frames.shape[-1] == 4 else "rgb24"
    height, width = frames.shape[1:3]
    raw = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}", "-r", "10", "-i", "-"]
    ffmpeg(*raw, *options, str(path), data=frames.tobytes())
    return path


def save_images(folder: Path, frames: np.ndarray, name: str = "{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name.format(index))
    return folder


# --- what can be read ---------------------------------------------------------------------------


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


def test_a_short_clip_keeps_all_of_its_frames(tmp_path):
    read_clip = read(encode(tmp_path / "a.mkv", moving(3), "-c:v", "ffv1"))
    assert read_clip.indices.tolist() == [0, 1, 2]


def test_a_clip_is_saved_and_loaded(tmp_path):
    before = read(save_images(tmp_path / "shots", moving(alpha=True)))
    (tmp_path / "run").mkdir()
    clip.save(tmp_path / "run", before)
    after = clip.load(tmp_path / "run")
    for name in ("frames", "positions", "indices"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (after.fps, after.prepared, after.warnings) == (None, False, ())


def test_a_static_clip_is_allowed_with_a_warning(tmp_path):
    path = encode(tmp_path / "a.mp4", moving(step=0), "-pix_fmt", "yuv420p")
    events, read_clip = finished(clip.read(path, CONFIG))
    assert "does not move" in read_clip.warnings[0]
    assert any(event.warning and "does not move" in event.message for event in events)


def test_a_small_motion_is_not_static(tmp_path):
    frames = moving(step=0)
    frames[6:, 20:23, 8:11] = 255  # a corner of the object goes
    assert read(save_images(tmp_path / "shots", frames)).warnings == ()


# --- what is refused ----------------------------------------------------------------------------


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
    ("limits", "words"),
    [
        ({"max_seconds": 1.0}, "lasts 1 s"),
        ({"max_pixels": 64 * 63}, "too large: 64 x 64"),
        ({"max_bytes": 500}, "too large: 0 MB"),
    ],
)
def test_limits_hold(tmp_path, limits, words):
    video = encode(tmp_path / "a.mp4", moving(), "-pix_fmt", "yuv420p")
    assert words in refusal(video, ClipConfig(**limits))


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


# --- the square ---------------------------------------------------------------------------------


def as_clip(frames: np.ndarray, prepared: bool = False) -> clip.Clip:
    count = len(frames)
    return clip.Clip(frames, np.linspace(0, 1, count), np.arange(count), count, None, prepared)


def test_one_square_holds_the_object_of_all_frames_with_its_margin():
    frames = moving(alpha=True)
    config = ClipConfig(size=80, margin=0.1)
    squares, (left, top, side), remarks = clip.square(as_clip(frames), frames[..., 3], config)
    assert squares.shape == (12, 80, 80, 4) and squares.dtype == np.uint8 and remarks == ()
    assert side == round(45 / 0.8)  # from 8 to 53
    assert (left, top) == (2, 2)
    seen = np.flatnonzero((squares[..., 3] > 127).any(axis=(0, 1)))
    assert abs(seen[0] - 8) <= 1 and abs(seen[-1] - 71) <= 1


@pytest.mark.parametrize(("own", "size"), [(100, 256), (300, 300), (400, 320)])
def test_a_clip_of_few_pixels_is_not_enlarged_to_many(own, size):
    frames = np.zeros((2, own, own, 4), np.uint8)
    frames[:, 40 : own - 40, 40 : own - 40] = 255
    squares, _, _ = clip.square(as_clip(frames, True), frames[..., 3], ClipConfig(size=320))
    assert squares.shape[1:3] == (size, size)


def test_the_square_may_reach_beyond_the_frame():
    frames = moving(alpha=True)[:, :, :30]
    squares, (_, top, side), _ = clip.square(as_clip(frames), frames[..., 3], CONFIG)
    assert top + side <= SIZE and side > 22
    assert squares[:, :, 0, 3].max() == 0


def test_no_dark_rim_from_what_lies_below_transparent_pixels():
    frames = moving(alpha=True)
    frames[frames[..., 3] == 0] = 0  # transparent black
    config = ClipConfig(size=37)
    squares = clip.square(as_clip(frames), frames[..., 3], config)[0]
    seen = squares[squares[..., 3] > 2][:, :3].astype(int)
    assert np.abs(seen - (220, 30, 30)).max() <= 2
    around = squares[0, 18, :, :3].astype(int)  # a row through the object and beyond it
    assert np.abs(around - (220, 30, 30)).max() <= 2


def test_no_rim_of_the_old_background_at_soft_edges():
    yy, xx = np.mgrid[:96, :96]
    alpha = (1 / (1 + np.exp((np.hypot(xx - 48, yy - 48) - 28) / 1)))[..., None]  # a soft disc
    picture = alpha * (200, 40, 20) + (1 - alpha) * (30, 60, 240)
    frames = np.repeat((picture + 0.5).astype(np.uint8)[None], 2, 0)
    alphas = np.repeat((alpha[..., 0] * 255 + 0.5).astype(np.uint8)[None], 2, 0)
    squares = clip.square(as_clip(frames), alphas, ClipConfig(size=96))[0]
    seen = squares[squares[..., 3] > 25].astype(float)
    error = np.abs(seen[:, :3] - (200, 40, 20)) * seen[:, 3:] / 255
    assert error.max() < 12
    assert error.mean() < 2


def test_prepared_frames_are_only_resized():
    frames = moving(alpha=True)
    same = clip.square(as_clip(frames, True), frames[..., 3], ClipConfig(size=SIZE))[0]
    visible = frames[..., 3] > 0
    np.testing.assert_array_equal(same[visible], frames[visible])
    np.testing.assert_array_equal(same[..., 3], frames[..., 3])
    half = clip.square(as_clip(frames, True), frames[..., 3], ClipConfig(size=32))[0]
    np.testing.assert_array_equal(half[0, 10:20, 4:10, 3], 255)
    assert half[0, :, :, 3].sum() == 60 * 255


def test_what_the_mattes_cannot_show_is_said():
    frames = moving(alpha=True)
    with pytest.raises(UserError, match="No object"):
        clip.square(as_clip(frames), np.zeros(frames.shape[:3], np.uint8), CONFIG)
    with pytest.raises(UserError, match="fills the whole frame"):
        clip.square(as_clip(frames), np.full(frames.shape[:3], 255, np.uint8), CONFIG)
    alphas = frames[..., 3].copy()
    alphas[4] = 0
    assert "not visible in frame 5" in clip.square(as_clip(frames), alphas, CONFIG)[2][0]
    leaving = moving(20, alpha=True)  # walks out of the picture on the right
    remarks = clip.square(as_clip(leaving), leaving[..., 3], CONFIG)[2]
    assert "cuts the object off in frames 16, 17, 18, 19" in " ".join(remarks)


# --- videos -------------------------------------------------------------------------------------


def test_a_written_video_plays_in_browsers_and_keeps_its_colours(tmp_path):
    frames = moving()[:, :63, :61]  # odd sides
    path = tmp_path / "out.mp4"
    clip.write_video(path, iter(frames), fps=12)
    said = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True
    ).stderr
    assert "h264" in said and "yuv420p" in said and "60x62" in said and "12 fps" in said
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
