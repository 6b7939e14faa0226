"""The command inspect: what a run would use of a clip, as JSON, sentences and pictures."""

from __future__ import annotations

import json
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest

from ds4d import cli
from tests.clip.clips import encode, moving, save_images
from tests.paths import ROOT

INPUTS = ROOT / "tests" / "inputs"
KEYS = [
    "kind", "seconds", "fps", "source_frames", "width", "height", "frames", "alpha",
    "object_pixels", "crop", "checks", "warnings", "left_out", "expected",
]  # fmt: skip


def inspected(capsys, *arguments: str) -> dict:
    assert cli.main(["inspect", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_report_has_all_of_its_keys(tmp_path, capsys):
    path = encode(tmp_path / "a.mp4", moving(12), "-pix_fmt", "yuv420p")
    found = inspected(capsys, str(path), "--clip.frames", "6")
    assert list(found) == KEYS
    assert (found["kind"], found["seconds"], found["fps"]) == ("video", 1.2, 10.0)
    assert (found["source_frames"], found["width"], found["height"]) == (12, 64, 64)
    assert [frame["index"] for frame in found["frames"]] == [0, 2, 4, 7, 9, 11]
    assert found["frames"][1] == pytest.approx({"index": 2, "seconds": 0.2, "position": 2 / 11})
    assert set(found["checks"][0]) == {"name", "fine", "sentence", "hint"}
    assert found["expected"]["seconds"] > 1 and found["expected"]["memory_gb"] > 0.1


def test_images_have_no_seconds(tmp_path, capsys):
    found = inspected(capsys, str(save_images(tmp_path / "shots", moving(4))))
    assert (found["kind"], found["seconds"], found["fps"]) == ("images", None, None)
    assert {frame["seconds"] for frame in found["frames"]} == {None}


def test_what_is_left_out_is_named(capsys):
    found = inspected(capsys, str(INPUTS / "dg"))
    assert found["alpha"] and found["left_out"] == ["0.png", "1.png", "2.png", "3.png"]


def test_the_pictures_of_a_run_are_written(tmp_path, capsys):
    frames, mattes = tmp_path / "frames", tmp_path / "mattes"
    inspected(capsys, str(INPUTS / "dg"), "--frames", str(frames), "--mattes", str(mattes))
    assert [path.name for path in sorted(frames.iterdir())] == [f"{i:04d}.png" for i in range(4)]
    image = iio.imread(frames / "0000.png")
    assert image.shape == (96, 96, 4)
    np.testing.assert_array_equal(iio.imread(mattes / "0000.png"), image[..., 3])


def test_mattes_are_as_large_as_the_clip_and_empty_where_bars_were(tmp_path, capsys):
    frames, mattes = tmp_path / "frames", tmp_path / "mattes"
    clip = str(INPUTS / "lb.mp4")
    inspected(capsys, clip, "--clip.frames", "4", "--frames", str(frames), "--mattes", str(mattes))
    covered = np.stack([iio.imread(path) for path in sorted(mattes.iterdir())])
    assert covered.shape == (4, 320, 320) and covered[:, :60].max() == 0
    assert 0.05 < (covered > 127).mean() < 0.2
    assert iio.imread(frames / "0000.png").shape[0] < 200


def test_a_folder_with_other_things_is_not_written_to(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert cli.main(["inspect", str(INPUTS / "dg"), "--frames", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    both = ["--frames", str(tmp_path / "new"), "--mattes", str(tmp_path / "new")]
    assert cli.main(["inspect", str(INPUTS / "dg"), *both]) == 2


@pytest.mark.parametrize("name", ["sixty.mp4", "many.ts", "nothing.mp4"])
def test_a_refusal_is_an_error_with_a_hint(capsys, name):
    assert cli.main(["inspect", str(INPUTS / name), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"error", "hint"} and found["error"] and found["hint"]


def test_sentences_for_people(capsys):
    assert cli.main(["inspect", str(INPUTS / "dup.mp4")]) == 0
    text = capsys.readouterr().out
    assert "160 x 160 pixels, 39 frames" in text and "repeat the one before" in text


def test_torch_is_not_loaded():
    script = "import sys; from ds4d.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    run = [sys.executable, "-c", script, "inspect", str(INPUTS / "dg")]
    loaded = subprocess.run(run, capture_output=True, text=True).stdout.split()
    assert "ds4d.preflight" in loaded and "torch" not in loaded
