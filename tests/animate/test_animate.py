"""A picture becomes a clip that the chain takes: command line, files, bad input."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from ds4d import animate, clip
from ds4d.animate.puppet import motions
from ds4d.cli import main
from ds4d.config import ClipConfig
from ds4d.run.events import result
from tests.animate.figures import person

SMALL = ["--frames", "4", "--size", "96"]


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "person.png"
    iio.imwrite(path, person())
    return path


def test_the_clip_is_read_by_the_chain(picture, tmp_path, capsys):
    out = tmp_path / "clips" / "person.webp"
    assert main(["animate", str(picture), "--out", str(out), *SMALL]) == 0
    told = capsys.readouterr().err
    assert "puppet" in told and "wave: something sticks out like an arm" in told
    read = result(clip.read(out, ClipConfig()))
    assert read.frames.shape == (4, 96, 96, 4) and read.fps == pytest.approx(12, rel=0.02)
    assert not read.warnings
    assert (read.frames[..., 3] > 127).any() and (read.frames[..., 3] == 0).any()
    assert [path.name for path in out.parent.iterdir()] == ["person.webp"]


def test_all_motions_are_shown_side_by_side(picture, tmp_path):
    out = tmp_path / "person.webp"
    assert main(["animate", str(picture), "--out", str(out), "--motion", "all", *SMALL]) == 0
    clips = {path.stem.removeprefix("person_"): path for path in tmp_path.glob("person_*.webp")}
    assert set(clips) == set(motions.MOTIONS)
    assert len({path.read_bytes() for path in clips.values()}) == len(clips)
    assert iio.imread(out, index=0).shape[:2] == (animate.PREVIEW, 6 * animate.PREVIEW)


def test_a_photograph_is_cut_out_first(tmp_path):
    scene = np.full((120, 160, 3), (240, 240, 235), np.uint8)
    rows, columns = np.mgrid[:120, :160]
    scene[(rows - 60) ** 2 + (columns - 80) ** 2 < 35**2] = (180, 40, 40)
    photo, out = tmp_path / "ball.jpg", tmp_path / "ball.webp"
    iio.imwrite(photo, scene, quality=95)
    command = ["animate", str(photo), "--out", str(out), "--motion", "hop", *SMALL]
    assert main([*command, "--matting.engine", "classical"]) == 0
    frames = iio.imread(out)
    solid = frames[..., 3] > 200
    assert 0.1 < solid.mean() < 0.6
    assert np.abs(frames[solid][:, :3].mean(0) - (180, 40, 40)).max() < 20


@pytest.mark.parametrize(("name", "options", "sentence"), [
    ("none.png", [], "There is no picture"),
    ("text.png", [], "not a picture that can be read"),
    ("clear.png", [], "No object is visible"),
    ("person.png", ["--frames", "1"], "--frames cannot be 1"),
    ("person.png", ["--size", "9000"], "--size cannot be 9,000"),
    ("person.png", ["--fps", "0"], "--fps cannot be 0"),
])  # fmt: skip
def test_bad_input_is_told_and_nothing_is_written(
    picture, tmp_path, capsys, name, options, sentence
):
    (tmp_path / "text.png").write_text("not a picture")
    clear = np.zeros((64, 64, 4), np.uint8)
    clear[0, 0] = 1
    iio.imwrite(tmp_path / "clear.png", clear)
    out = tmp_path / "out.webp"
    assert main(["animate", str(tmp_path / name), "--out", str(out), *options]) == 1
    told = capsys.readouterr().err
    assert sentence in told and "Traceback" not in told
    assert not out.exists()


def test_a_name_of_another_format_is_refused(picture, tmp_path, capsys):
    assert main(["animate", str(picture), "--out", str(tmp_path / "person.mp4")]) == 1
    assert "ends in .webp" in capsys.readouterr().err
