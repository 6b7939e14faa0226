"""Faults that public reports describe of other programs that read clips, tried on this one."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from ds4d.config import ClipConfig
from ds4d.errors import UserError
from tests.clip.clips import SIZE, encode, ffmpeg, left_edge, moving, read
from tests.clip.make_inputs import ALL

WHOLE = ClipConfig(frames=24, size=48)


def made(tmp_path, name: str):
    return read(ALL[name](tmp_path / name), WHOLE)


def refusal(tmp_path, name: str) -> UserError:
    with pytest.raises(UserError) as caught:
        made(tmp_path, name)
    return caught.value


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


def test_dolby_vision_that_only_dolby_can_show_is_refused(tmp_path):
    error = refusal(tmp_path, "dolby.mp4")
    assert "Dolby Vision" in error.sentence and "HDR10" in error.hint


@pytest.mark.parametrize("name", ["eyes_beside.mkv", "eyes_above.mkv"])
def test_one_eye_of_a_3d_video_is_used(tmp_path, name):
    read_clip = made(tmp_path, name)
    assert read_clip.frames.shape == (6, SIZE, SIZE, 3) and "both eyes" in read_clip.warnings[0]
    assert np.abs(read_clip.frames.astype(int) - moving(6)).mean() < 3


def test_a_panorama_is_told(tmp_path):
    assert "panorama" in made(tmp_path, "panorama.mp4").warnings[0]


@pytest.mark.parametrize("name", ["stack.tif", "burst.heic"])
def test_images_without_times_in_one_file_are_not_called_a_single_image(tmp_path, name):
    assert "several images without times" in refusal(tmp_path, name).sentence


def test_images_of_several_pages_say_that_the_first_is_used(tmp_path):
    assert "first page" in made(tmp_path, "stacks").warnings[0]


def test_a_gain_map_behind_a_picture_is_no_frame(tmp_path):
    read_clip = made(tmp_path, "gain_mapped")
    assert read_clip.source_frames == 4 and read_clip.warnings == ()


def test_the_video_of_a_live_photo_is_named(tmp_path):
    assert refusal(tmp_path, "live_photo").hint == "Give the video IMG_1.mov itself."


def test_a_zip_with_backslashes_has_folders(tmp_path):
    read_clip = made(tmp_path, "windows.zip")
    assert read_clip.source_frames == 5 and read_clip.left_out == ("shots/masks/",)


def test_images_named_by_their_times_are_in_order(tmp_path):
    edges = [left_edge(frame) for frame in made(tmp_path, "in_seconds").frames]
    assert edges == sorted(edges)


def test_copies_of_images_are_left_out(tmp_path):
    read_clip = made(tmp_path, "copied")
    assert [left_edge(frame) for frame in read_clip.frames] == [8, 11, 14, 17, 20]
    assert set(read_clip.left_out) == {"3 - Copy.png", "3 copy 2.png", "5 (1).png"}


def test_inverted_cmyk_has_its_colours(tmp_path):
    frames = made(tmp_path, "inverted_cmyk").frames.astype(int)
    assert np.abs(frames - moving(4)).mean() < 2


@pytest.mark.parametrize("name", ["left.gif", "cleared.gif", "restored.png"])
def test_partial_frames_are_composed_as_another_decoder_does(tmp_path, name):
    frames = made(tmp_path, name).frames
    with av.open(str(tmp_path / name)) as container:
        others = [frame.to_ndarray(format="rgba") for frame in container.decode(video=0)]
    others = np.stack(others[: len(frames)])
    np.testing.assert_array_equal(frames[..., 3], others[..., 3])
    seen = frames[..., 3] > 0
    np.testing.assert_array_equal(frames[seen], others[seen])


def test_a_caption_over_the_picture_is_told(tmp_path):
    assert "caption lies over" in made(tmp_path, "subtitled.mp4").warnings[0]
