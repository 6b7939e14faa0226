"""Clips of many kinds that make_inputs.py makes, each with the value that is right."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from ds4d.config import ClipConfig
from ds4d.errors import UserError
from tests.clip.clips import SIZE, encode, ffmpeg, left_edge, moving, read, save_images
from tests.clip.make_inputs import ALL, COLOR, pictured, plain

WHOLE = ClipConfig(frames=24, size=48)


def made(tmp_path, name: str, config: ClipConfig = WHOLE):
    return read(ALL[name](tmp_path / name), config)


# --- time ---------------------------------------------------------------------------------------


def test_every_frame_of_a_clip_at_a_higher_rate_is_used_once(tmp_path):
    read_clip = made(tmp_path, "repeated.mp4")
    assert read_clip.indices.tolist() == list(range(0, 40, 4))
    assert "30 of 40 frames repeat" in read_clip.warnings[0]


def test_a_pause_is_kept_as_a_pause(tmp_path):
    read_clip = made(tmp_path, "paused.mp4")
    assert read_clip.indices.tolist() == list(range(22)) and read_clip.warnings == ()


def test_blank_ends_are_left_out(tmp_path):
    read_clip = made(tmp_path, "blank_ends.mp4")
    assert read_clip.indices.tolist() == list(range(3, 15))
    assert "first 3 frames are blank" in read_clip.warnings[0]
    assert "last 2 frames are blank" in read_clip.warnings[1]


def test_blank_ends_of_a_long_clip_are_left_out(tmp_path):
    frames = np.zeros((300, 48, 64, 3), np.uint8)
    frames[40:] = pictured(64, 48, 260)
    path = encode(tmp_path / "a.mp4", frames, "-pix_fmt", "yuv420p")
    read_clip = read(path, ClipConfig(frames=6))
    assert read_clip.indices[0] == 40 and "first 40 frames" in read_clip.warnings[0]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_uneven_delays_are_kept_and_short_ones_played_as_browsers_do(tmp_path, suffix):
    read_clip = made(tmp_path, f"delayed.{suffix}")
    np.testing.assert_allclose(read_clip.seconds, [0, 0.05, 0.1, 0.4, 0.5, 0.6], atol=1e-6)


def test_a_screen_recording_is_sampled_in_time(tmp_path):
    read_clip = made(tmp_path, "two_rates.mp4", ClipConfig(frames=9))
    assert {20, 21, 22, 23} <= set(read_clip.indices.tolist())
    gaps = np.diff(read_clip.seconds)
    assert gaps.max() == pytest.approx(1.0, abs=0.06) and len(read_clip.frames) == 9
    np.testing.assert_allclose(read_clip.positions, read_clip.seconds / read_clip.seconds[-1])


def test_a_part_begins_with_the_frame_that_a_player_shows(tmp_path):
    path = ALL["two_rates.mp4"](tmp_path / "a.mp4")
    part = read(path, ClipConfig(start=1.5, end=3.2))
    assert part.indices.tolist() == [20, 21, 22]  # the first of them is on the screen from 1 s on


def test_joined_recordings_go_on(tmp_path):
    for name in ("a", "b"):
        encode(tmp_path / f"{name}.ts", moving(10)[:: 1 if name == "a" else -1],
               "-pix_fmt", "yuv420p")  # fmt: skip
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    read_clip = read(joined, WHOLE)
    assert len(read_clip.frames) == 20 and np.diff(read_clip.seconds).min() > 0.01
    edges = [left_edge(frame) for frame in read_clip.frames]
    assert edges[0] < edges[9] and edges[10] > edges[19]


def test_an_avi_without_timestamps_has_its_rate(tmp_path):
    options = ["-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p"]
    read_clip = read(encode(tmp_path / "a.avi", moving(12), *options), WHOLE)
    assert len(read_clip.frames) == 12
    np.testing.assert_allclose(read_clip.seconds, np.arange(12) / 10, atol=0.001)
    edges = [left_edge(frame) for frame in read_clip.frames]
    assert np.abs(np.diff(edges) - 3).max() <= 1


# --- colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["untagged_hd.mp4", "untagged_sd.mp4", "full_range.mp4"])
def test_colours_are_those_that_a_browser_shows(tmp_path, name):
    frame = made(tmp_path, name).frames[0].astype(int)
    assert np.abs(frame[40:] - COLOR).max() <= 3


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_without_other_tags_is_tone_mapped(tmp_path, transfer):
    options = ["-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-color_trc", transfer,
               "-x265-params", "log-level=none"]  # fmt: skip
    frames = read(encode(tmp_path / "a.mp4", plain(), *options), WHOLE).frames
    assert (
        frames.dtype == np.uint8
        and frames.max() <= 255
        and frames[:, 40:].std(axis=(1, 2)).max() < 4
    )


def display_p3() -> bytes:
    """The profile of sRGB with the primaries of Display P3, adapted to D50."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    colorants = {b"rXYZ": (0.5151, 0.2412, -0.0011), b"gXYZ": (0.2920, 0.6922, 0.0419),
                 b"bXYZ": (0.1571, 0.0666, 0.7841)}  # fmt: skip
    for entry in range(int.from_bytes(data[128:132], "big")):
        name, offset, _ = struct.unpack_from(">4sII", data, 132 + 12 * entry)
        if name in colorants:
            fixed = [round(value * 65536) for value in colorants[name]]
            struct.pack_into(">3i", data, offset + 8, *fixed)
    return bytes(data)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif", "heic"])
def test_wide_colours_of_images_are_brought_to_srgb(tmp_path, suffix):
    pillow_heif.register_heif_opener()
    for index, frame in enumerate(plain()):
        path = tmp_path / f"{index}.{suffix}"
        Image.fromarray(frame).save(path, icc_profile=display_p3(), quality=98)
    seen = read(tmp_path).frames[:, 40:].reshape(-1, 3).astype(int)
    assert np.abs(seen - (213, 115, 42)).max() <= 5  # of (200, 120, 60)


def test_a_profile_that_does_not_fit_is_ignored(tmp_path):
    folder = save_images(tmp_path / "plain", moving(3))
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for index in range(3):
        Image.open(folder / f"{index}.png").save(folder / f"{index}.png", icc_profile=linear)
    np.testing.assert_array_equal(read(folder).frames, moving(3))


def test_16_bit_float_palette_and_cmyk_images(tmp_path):
    frames = moving(4)
    grey = frames[..., 1]
    kinds = {
        "16": (lambda f: Image.fromarray(f.astype(np.uint16) * 257), ".png", grey),
        "float": (lambda f: Image.fromarray(f.astype(np.float32) / 255), ".tif", grey),
        "cmyk": (lambda f: Image.fromarray(f).convert("CMYK"), ".tif", frames),
        "palette": (lambda f: Image.fromarray(f).quantize(16), ".png", frames),
    }
    for name, (convert, suffix, truth) in kinds.items():
        folder = tmp_path / name
        folder.mkdir()
        for index, frame in enumerate(truth):
            convert(frame).save(folder / f"{index}{suffix}")
        seen = read(folder).frames.astype(int)
        expected = truth if truth.ndim == 4 else np.repeat(truth[..., None], 3, -1)
        assert np.abs(seen - expected).max() <= 3, name


def test_straight_alpha_of_a_dark_object_stays_as_it_is(tmp_path):
    y, x = np.mgrid[:SIZE, :SIZE]
    frames = np.zeros((4, SIZE, SIZE, 4), np.uint8)
    for index, frame in enumerate(frames):
        distance = np.hypot(x - 28 - 2 * index, y - 32)
        frame[..., 3] = (255 * (18 - distance) / 6).clip(0, 255)
        frame[..., :3] = 40
    folder = save_images(tmp_path / "shots", frames)
    np.testing.assert_array_equal(read(folder).frames, frames)


# --- geometry -----------------------------------------------------------------------------------


def test_bars_at_the_sides_and_captions_are_cut_off(tmp_path):
    sides = made(tmp_path, "side_by_side.mp4")
    assert 60 <= sides.frames.shape[2] <= 64 and "Bars at the sides" in sides.warnings[0]
    captions = made(tmp_path, "captioned.mp4")
    assert 60 <= captions.frames.shape[1] <= 64 and "captions" in captions.warnings[0]
    top, bottom, left, right = captions.cut
    assert top + bottom + captions.frames.shape[1] == 128 and left == right == 0


def letters(frames: np.ndarray, text: str, row: int, color: int) -> None:
    for frame in frames:
        cv2.putText(frame, text, (16, row), cv2.FONT_HERSHEY_SIMPLEX, 0.7, [color] * 3, 2)


def test_a_caption_above_the_picture_is_cut_off(tmp_path):
    frames = np.full((12, 240, 240, 3), 255, np.uint8)
    frames[:, 60:] = pictured(240, 180)
    letters(frames, "when you see it", 40, 0)
    read_clip = read(encode(tmp_path / "a.mp4", frames, "-pix_fmt", "yuv420p"))
    assert 58 <= read_clip.cut[0] <= 62 and read_clip.cut[1:] == (0, 0, 0)
    assert read_clip.warnings[0].startswith("A caption beside the picture is cut off")


def test_subtitles_that_change_in_a_bar_are_cut_off(tmp_path):
    frames = np.zeros((12, 260, 240, 3), np.uint8)
    frames[:, 40:220] = pictured(240, 180)
    letters(frames[:6], "first line", 248, 255)
    letters(frames[6:], "another", 248, 255)
    read_clip = read(encode(tmp_path / "a.mp4", frames, "-pix_fmt", "yuv420p"))
    assert 175 <= read_clip.frames.shape[1] <= 180 and read_clip.frames.shape[2] == 240


def test_an_object_above_a_table_is_no_caption(tmp_path):
    frames = np.full((12, 120, 160, 3), 230, np.uint8)
    frames[:, 80:] = (120, 80, 40)
    for index, frame in enumerate(frames):
        cv2.circle(frame, (20 + 8 * index, 45), 14, (20, 20, 200), -1)
    assert read(encode(tmp_path / "a.mp4", frames, "-pix_fmt", "yuv420p")).warnings == ()


@pytest.mark.parametrize("color", [0, 255])
def test_a_plain_background_is_no_bar(tmp_path, color):
    frames = moving(12)
    frames[(frames == 255).all(-1)] = color
    read_clip = read(save_images(tmp_path / "shots", frames))
    assert read_clip.frames.shape[1:3] == (SIZE, SIZE) and read_clip.warnings == ()


@pytest.mark.parametrize("suffix", ["webp", "jpg", "png", "tif"])
def test_exif_turns_images_of_every_format(tmp_path, suffix):
    frames = made(tmp_path, f"turned_{suffix}").frames
    assert frames.shape == (4, SIZE, 48, 3)
    assert np.abs(frames.astype(int) - moving(4)[:, :, :48]).mean() < 3


def test_a_mirrored_video_is_turned_back(tmp_path):
    straight = encode(tmp_path / "a.mp4", moving(4), "-pix_fmt", "yuv420p")
    mirrored = tmp_path / "b.mp4"
    ffmpeg("-display_rotation", "0", "-display_vflip", "-i", str(straight), "-c", "copy",
           str(mirrored))  # fmt: skip
    np.testing.assert_array_equal(read(mirrored).frames, read(straight).frames[:, ::-1])


def test_a_poster_is_no_frame(tmp_path):
    read_clip = made(tmp_path, "poster.png")
    assert [left_edge(frame) for frame in read_clip.frames] == [8 + 3 * i for i in range(6)]


def test_a_rectangle_that_moves_is_an_object(tmp_path):
    assert read(save_images(tmp_path / "shots", moving(4, alpha=True))).frames.shape[-1] == 4


def test_half_frames_are_found_without_a_flag(tmp_path):
    path = tmp_path / "a.mp4"
    frames = moving(40, step=1)
    filters = ["-vf", "interlace=scan=tff,setfield=prog", "-pix_fmt", "yuv420p", "-qp", "5"]
    encode(path, frames, *filters)
    read_clip = read(path, WHOLE)
    assert "interlaced" in read_clip.warnings[0]
    grey = read_clip.frames.astype(int).mean(-1)
    combs = np.abs(grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:])[:, 22:36] > 120
    assert combs.mean() < 0.004


# --- folders ------------------------------------------------------------------------------------


def test_masks_depths_and_other_formats_of_a_frame_are_left_out_and_named(tmp_path):
    read_clip = made(tmp_path, "beside")
    assert read_clip.source_frames == 4
    assert {"mask_000.png", "000_depth.png", "000.jpg", "notes.txt"} <= set(read_clip.left_out)
    np.testing.assert_array_equal(read_clip.frames, moving(4))


def test_images_in_a_subfolder_and_in_a_zip(tmp_path):
    read_clip = made(tmp_path, "subfolders")
    assert read_clip.source_frames == 4 and read_clip.left_out == ("masks/",)
    np.testing.assert_array_equal(made(tmp_path, "pictures.zip").frames, moving(5))


def test_deeper_folders_are_found_and_run_folders_are_not(tmp_path):
    save_images(tmp_path / "scene" / "clip" / "rgb", moving(4))
    assert read(tmp_path / "scene").source_frames == 4
    folder = save_images(tmp_path / "shots", moving(4))
    save_images(folder / "run" / "frames", moving(4))
    (folder / "run" / "run.json").write_text("{}")
    read_clip = read(folder)
    assert read_clip.source_frames == 4 and read_clip.warnings == read_clip.left_out == ()


def test_missing_numbers_are_named_and_keep_their_time(tmp_path):
    folder = save_images(tmp_path / "shots", moving(6), "f{:03d}.png")
    (folder / "f002.png").unlink()
    read_clip = read(folder)
    assert "number 2 is missing" in read_clip.warnings[0]
    np.testing.assert_allclose(read_clip.positions, [0, 0.2, 0.6, 0.8, 1])


def test_two_clips_in_one_folder_are_refused(tmp_path):
    folder = save_images(tmp_path / "shots", moving(4), "left_{}.png")
    save_images(folder, moving(4), "right_{}.png")
    with pytest.raises(UserError, match="several clips: left_N, right_N"):
        read(folder)
    two = tmp_path / "two"
    save_images(two / "one", moving(4))
    save_images(two / "other", moving(4))
    with pytest.raises(UserError, match="several folders of images: one, other"):
        read(two)


def test_names_without_numbers_are_in_the_order_of_the_alphabet(tmp_path):
    folder = tmp_path / "shots"
    folder.mkdir()
    for name, frame in zip("bca", moving(3)[[1, 2, 0]], strict=True):
        Image.fromarray(frame).save(folder / f"{name}.png")
    np.testing.assert_array_equal(read(folder).frames, moving(3))


def test_a_picture_without_a_number_beside_numbered_ones_is_left_out(tmp_path):
    folder = save_images(tmp_path / "shots", moving(4), "2026-01-02 10.11.{:02d}.png")
    Image.new("RGB", (300, 200)).save(folder / "contact sheet.png")
    read_clip = read(folder)
    assert read_clip.source_frames == 4 and read_clip.left_out == ("contact sheet.png",)


def test_a_zip_without_images_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "none")
    with pytest.raises(UserError, match="holds no images"):
        read(tmp_path / "a.zip")
