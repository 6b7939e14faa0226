"""Files as people have them, each with the value that is right (tests/inputs/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ds4d import clip
from ds4d.config import ClipConfig
from ds4d.errors import UserError
from ds4d.matting import alpha, classical
from ds4d.preflight import checks
from ds4d.run.events import result
from tests.clip.clips import read

INPUTS = Path(__file__).parents[1] / "inputs"
CONFIG = ClipConfig()


def looked(name: str, config: ClipConfig = CONFIG) -> checks.Report:
    return checks.inspect_clip(INPUTS / name, config)


def used(name: str, config: ClipConfig = CONFIG) -> clip.Clip:
    return read(INPUTS / name, config)


def refusal(name: str) -> str:
    with pytest.raises(UserError) as caught:
        used(name)
    with pytest.raises(UserError, match=caught.value.sentence[:20]):
        looked(name)
    return caught.value.sentence


@pytest.mark.parametrize(
    ("name", "count", "seconds"),
    [
        ("cut.mp4", 16, 0.667),  # what lies before the edit list does not count
        ("k.webm", 200, 0.2),  # a rate that the header does not tell
        ("z.gif", 24, 2.4),  # delays of 0
        ("ten.gif", 24, 2.4),  # delays of 10 ms
        ("ten.webp", 24, 2.4),
        ("twostreams.mp4", 40, 1.667),  # the default one of two picture streams
        ("hlg.mp4", 40, 1.667),  # HLG without all of its tags
        ("small.y4m", 10, 0.417),
        ("poster.png", 24, 0.96),  # an APNG's poster is no frame
    ],
)
def test_frames_and_length_are_those_that_a_player_shows(name, count, seconds):
    found, read_clip = looked(name), used(name)
    assert (found.source_frames, read_clip.source_frames) == (count, count)
    assert found.seconds == pytest.approx(seconds, abs=0.002)
    np.testing.assert_array_equal(found.used, read_clip.indices)
    np.testing.assert_array_equal(found.positions, read_clip.positions)
    np.testing.assert_array_equal(found.used_seconds, read_clip.seconds)
    assert len(found.thumbnails) == min(12, len(found.used))


def test_a_length_of_ten_milliseconds_per_frame_is_no_remark():
    assert all(check.fine for check in looked("ten.gif").checks if check.name == "Length")


def test_positions_follow_time_not_frame_numbers():
    pts = np.append(np.arange(24) / 24, [1.0, 1.25, 1.5])
    read_clip = used("vfr.mp4")
    times = pts[read_clip.indices]
    np.testing.assert_allclose(read_clip.seconds, times, atol=0.001)
    np.testing.assert_allclose(read_clip.positions, times / 1.5, atol=0.001)
    assert 1.5 <= looked("vfr.mp4").seconds <= 1.75
    read_clip = used("vfr.webm")  # 30 frames in the first second, then fewer
    assert np.abs(read_clip.positions - read_clip.seconds / read_clip.seconds[-1]).max() < 0.001
    assert abs(np.searchsorted(read_clip.seconds, 1.0) / 24 - 0.2) < 0.1


def test_a_part_can_be_chosen_of_a_clip_without_a_rate():
    assert used("k.webm", ClipConfig(end=0.1)).indices[-1] in (100, 101)


def test_frames_that_repeat_the_one_before_are_not_counted_twice():
    read_clip = used("dup.mp4")  # 8 frames per second brought to 24
    changes = np.abs(np.diff(read_clip.frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert len(read_clip.frames) == 13 and changes.min() > 1
    np.testing.assert_array_equal(read_clip.indices, np.arange(13) * 3)
    assert "26 of 39 frames repeat" in read_clip.warnings[0]
    assert any("repeat" in check.sentence for check in looked("dup.mp4").checks)


def test_a_refused_length_is_larger_than_the_limit():
    assert "lasts 60.4 s; at most 60 s" in refusal("sixty.mp4")
    assert "lasts 100 s" in refusal("bomb1000.gif")  # without decoding it


def test_hlg_has_a_sensible_white_and_the_colours_of_sdr():
    chart = used("hlgchart.mp4").frames[0][32, [24, 72, 120, 168]].astype(int)
    assert chart[0].min() >= 225
    truth = [(200, 150, 120), (192, 32, 32), (128, 128, 128)]
    assert np.abs(chart[1:] - truth).max() < 6


def test_premultiplied_alpha_leaves_no_dark_rim():
    frames = used("premultiplied.mov").frames
    edge = (frames[..., 3] > 20) & (frames[..., 3] < 235)
    assert edge.sum() > 500 and frames[..., :3][edge].min() > 235


def test_interlaced_frames_have_no_combs():
    grey = used("interlaced.mp4").frames.astype(int).mean(-1)
    combs = np.abs(grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]) > 60
    assert combs.mean() < 0.002


@pytest.mark.parametrize("name", ["resn.ts", "many.ts"])
def test_a_size_that_changes_is_refused(name):
    assert "changes the size of its frames" in refusal(name)


def test_colour_tags_that_change_leave_every_frame_in_its_place():
    read_clip = used("coln.ts")
    assert read_clip.indices.tolist() == list(range(24))
    half = read_clip.frames.astype(int)
    assert len({frame.tobytes() for frame in half}) == 24


def test_damage_is_reported_with_its_place():
    read_clip, found = used("flip.mp4"), looked("flip.mp4")
    assert "is damaged" in read_clip.warnings[0] and "missing" in read_clip.warnings[0]
    assert "from 0.08 s to 1.29 s" in read_clip.warnings[0]
    assert found.warnings == read_clip.warnings
    np.testing.assert_allclose(read_clip.seconds, read_clip.indices / 24)


def test_the_size_told_is_the_size_shown():
    found = looked("an_lies.mp4")
    assert (found.width, found.height) == (288, 160)
    assert used("an_lies.mp4").frames.shape[1:3] == (160, 288)


def test_the_default_picture_stream_is_used_and_the_other_named():
    found = looked("twostreams.mp4")
    assert found.width == 160 and "64 x 64" in found.left_out[0]


def test_a_poster_is_no_frame():
    assert used("poster.png").frames[0].reshape(-1, 3).mean(0)[0] < 200


@pytest.mark.parametrize(
    ("name", "count", "size"),
    [
        ("mix", 8, (96, 96)),  # JPEG and HEIC
        ("avif", 4, (100, 70)),
        ("dg", 4, (96, 96)),  # each frame twice, once with transparency
        ("exifw", 4, (100, 70)),  # WebP on their side
        ("sup", 4, (100, 70)),  # a number that is none
    ],
)
def test_folders_of_other_tools(name, count, size):
    found = looked(name)
    assert (found.source_frames, found.width, found.height) == (count, *size)
    assert len(used(name).frames) == count


def test_of_two_pictures_of_a_frame_the_transparent_one_is_taken():
    found = looked("dg")
    assert found.alpha and found.left_out == ("0.png", "1.png", "2.png", "3.png")


def test_a_window_with_a_transparent_margin_is_no_object():
    read_clip = used("win")
    assert read_clip.frames.shape[-1] == 3 and not looked("win").alpha
    assert not alpha.usable(read_clip.frames)
    assert any("margin" in warning for warning in read_clip.warnings)


def test_bars_are_cut_off_and_leave_the_backdrop_out_of_the_mattes():
    read_clip = used("lb.mp4")
    _, height, width, _ = read_clip.frames.shape
    assert width == 320 and 185 <= height <= 195
    assert "Bars above and below" in read_clip.warnings[0]
    mattes = result(classical.run(read_clip.frames), lambda event: None)
    assert (mattes > 127).sum() / len(mattes) / 320**2 < 0.2
    assert (mattes[:, :, :20] > 127).mean() < 0.02  # the beige beside the object


def test_an_object_that_crosses_the_frame_keeps_its_pixels():
    read_clip, found = used("walk.mp4"), looked("walk.mp4")
    assert found.crop == "follow" and found.object_pixels >= 60
    assert any("a square follows it" in check.sentence for check in found.checks)
    mattes = result(classical.run(read_clip.frames), lambda event: None)
    frames, _, warnings = clip.square(read_clip, mattes, CONFIG)
    across = [np.ptp(np.flatnonzero((frame > 127).any(axis=0))) for frame in frames[..., 3]]
    assert np.median(across) >= 60 and "a square of" in " ".join(warnings)
    assert abs(np.median(across) - found.object_pixels) < 40
