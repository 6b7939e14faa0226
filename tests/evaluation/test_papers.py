"""Scores of the papers over the views of a case, and over renders of an asset."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import imageio.v3 as iio
import numpy as np
import pytest

from ds4d.cli import main
from ds4d.cli.options import Metric
from ds4d.config import MachineConfig
from ds4d.errors import UserError
from ds4d.evaluation import metrics, papers
from ds4d.run.events import result
from tests.evaluation import reference_scorer

FRAMES, SIZE = 9, 176
OLD = Path(__file__).parents[1] / "run/old_runs"


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Path:
    """One held-out view of a disc that moves."""
    case = tmp_path_factory.mktemp("cases") / "disc"
    draw(case, shift=0)
    return case


def draw(case: Path, shift: float) -> None:
    folder = case / "heldout/az+015"
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for frame in range(FRAMES):
        away = np.hypot(rows - 88, columns - 60 - 6 * frame - shift)
        alpha = 255 * (away < 40)
        color = np.stack([200 - rows, 0 * rows + 90, columns], -1)
        iio.imwrite(folder / f"{frame:04d}.png", np.dstack([color, alpha]).astype(np.uint8))


OF_FILES = ("clip", "lpips", "fvd", "ms-ssim", "d-ssim")


def scores(names, folder, truth, weights) -> dict:
    machine = MachineConfig(device="cpu", weights=str(weights))
    return result(papers.score(names, folder, truth, None, None, machine))


def test_the_truth_has_the_ideal_values(truth, weights):
    found = scores(OF_FILES, truth, truth, weights)
    assert found == {"clip": 1.0, "lpips": 0.0, "fvd": 0.0, "ms-ssim": 1.0, "d-ssim": 0.0}


def test_another_image_is_worse_in_every_score(truth, weights, tmp_path):
    draw(tmp_path, shift=25)
    found = scores(OF_FILES, tmp_path, truth, weights)
    assert found["clip"] < 1 and found["lpips"] > 0 and found["fvd"] > 0
    assert found["ms-ssim"] < 1 and found["d-ssim"] == pytest.approx(
        (1 - found["ms-ssim"]) / 2, abs=1e-3
    )


def test_the_order_of_frames_matters_for_fvd_alone(truth, weights, tmp_path):
    """Frames that are shuffled in truth and prediction alike leave scores of images as they are."""
    shuffled = tmp_path / "truth"
    shutil.copytree(truth, shuffled)
    view = shuffled / "heldout/az+015"
    files = sorted(view.iterdir())
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents[::-1], strict=True):
        file.write_bytes(content)
    assert scores(("fvd",), shuffled, truth, weights)["fvd"] > 0


def test_sets_of_frames_and_of_videos(truth, weights, tmp_path):
    """FID-VID does not see the order of frames; a distance of sets of videos needs two of them."""
    case = tmp_path / "two"
    for view in ("az+015", "az+105"):
        shutil.copytree(truth / "heldout/az+015", case / "heldout" / view)
    reversed_, moved = tmp_path / "reversed", tmp_path / "moved"
    shutil.copytree(case, reversed_)
    for view in (reversed_ / "heldout").iterdir():
        files = sorted(view.iterdir())
        contents = [file.read_bytes() for file in files]
        for file, content in zip(files, contents[::-1], strict=True):
            file.write_bytes(content)
    assert scores(("fid-vid",), reversed_, case, weights)["fid-vid"]["views"] < 1e-3
    assert scores(("fvd-sets",), case, case, weights)["fvd-sets"] < 1e-3
    draw(moved, shift=25)
    found = scores(("fid-vid",), moved, truth, weights)["fid-vid"]
    assert found["views"] == found["pooled"] > 0.1  # one view: both ways are the same
    with pytest.raises(UserError, match="at least two videos"):
        scores(("fvd-sets",), truth, truth, weights)


def test_ms_ssim_agrees_with_a_second_implementation(truth, tmp_path):
    draw(tmp_path, shift=9)
    for own, true in papers.views(tmp_path, truth):
        for pair in zip(own[::4], true[::4], strict=True):
            expected = reference_scorer.ms_ssim(*pair)
            assert metrics.ms_ssim(*pair) == pytest.approx(expected, abs=1e-4)


def test_the_command_line_knows_every_score():
    known = {"clip", "lpips", "fvd", "fvd-sets", "fid-vid", "ms-ssim", "d-ssim", "clip-t", "clip-d"}
    assert set(get_args(Metric)) == known | {"psnr", "ssim"} and set(papers.WEIGHTS) <= known


def test_evaluate_adds_scores_and_names_missing_weights(
    case, weights, tmp_path, capsys, monkeypatch
):
    run = shutil.copytree(OLD / "disc_run", tmp_path / "run")
    monkeypatch.setattr(papers, "SIZE", 48)
    line = ["evaluate", str(run), str(case), "--device", "cpu", "--metrics"]
    assert main([*line, "psnr,ssim,clip", "clip-t,clip-d", "--weights", str(weights)]) == 0
    found = json.loads(capsys.readouterr().out)["papers"]
    assert set(found["clip-t"]) == {"front", "back", "side"}
    assert -1 <= found["clip"] <= 1 and found["clip-d"] > 0
    assert not {"psnr", "ssim"} & set(found)  # they are among the others
    with pytest.raises(SystemExit):
        main([*line, "clip,nonsense"])
    monkeypatch.setattr("ds4d.weights.reachability.obstacle", lambda url: "it is off")
    assert main([*line, "fvd", "--weights", str(tmp_path)]) == 1
    assert "i3d-kinetics400" in capsys.readouterr().err
    assert main([*line, "ms-ssim"]) == 1
    assert "at least 161 pixels" in capsys.readouterr().err
