"""Pictures from words by a tiny random SDXL: what comes out is noise."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest

from ds4d.cli import main

SMALL = ["--device", "cpu", "--size", "64", "--steps", "2"]


def test_each_seed_gives_a_picture_and_all_are_on_a_sheet(tmp_path, weights, disc_matte, capsys):
    out = tmp_path / "fox"
    line = ["imagine", "a red fox", "--out", str(out), "--weights", str(weights), *SMALL]
    assert main([*line, "--seeds", "3", "5"]) == 0
    assert capsys.readouterr().out.split() == [str(out / f"seed_{n}.png") for n in (3, 5)]
    first, second = (iio.imread(out / f"seed_{n}.png") for n in (3, 5))
    assert first.shape == (64, 64, 4) and (first != second).any()
    assert (first[..., 3] == 0).any() and (first[..., 3] == 255).any()
    sheet = iio.imread(out / "sheet.jpg")
    assert sheet.shape[1] == 2 * sheet.shape[0]


def test_another_model_draws_another_picture(tmp_path, weights, disc_matte):
    drawn = {}
    for model in ("sdxl", "ssd-1b"):
        out = tmp_path / model
        line = ["imagine", "a fox", "--out", str(out), "--weights", str(weights), *SMALL]
        assert main([*line, "--seeds", "3", "--model", model]) == 0
        drawn[model] = iio.imread(out / "seed_3.png")
    assert (drawn["sdxl"] != drawn["ssd-1b"]).any()


def test_a_picture_that_cannot_be_cut_out_is_kept_as_it_is(tmp_path, weights, monkeypatch, capsys):
    from ds4d.animate import picture
    from ds4d.errors import UserError

    def fails(*arguments):
        raise UserError("No object is visible in the clip.")
        yield

    monkeypatch.setattr(picture, "squares", fails)
    out = tmp_path / "fox"
    line = ["imagine", "a red fox", "--out", str(out), "--weights", str(weights), *SMALL]
    assert main([*line, "--seeds", "3"]) == 0
    assert "seed 3 is not cut out: No object is visible" in capsys.readouterr().err
    assert (iio.imread(out / "seed_3.png")[..., 3] == 255).all()


@pytest.mark.parametrize(("words", "sentence"), [("  ", "no words"), ("a fox", "is there already")])
def test_nothing_is_overwritten(tmp_path, weights, capsys, words, sentence):
    (tmp_path / "fox").mkdir()
    (tmp_path / "fox/mine.txt").write_text("mine")
    line = ["imagine", words, "--out", str(tmp_path / "fox"), "--weights", str(weights)]
    assert main([*line, *SMALL]) == 1
    assert sentence in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "fox").iterdir()] == ["mine.txt"]


def test_without_weights_the_way_by_a_picture_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ds4d.weights.reachability.obstacle", lambda url: "it is off")
    line = ["imagine", "a fox", "--out", str(tmp_path / "fox"), "--weights", str(tmp_path)]
    assert main([*line, "--device", "cpu"]) == 1
    told = capsys.readouterr().err
    assert "The weights sdxl-base of imagine are not here" in told and "ds4d animate" in told
    assert not (tmp_path / "fox").exists()


def test_the_noise_is_not_always_the_same(tmp_path, weights, disc_matte):
    pictures = []
    for words in ("a fox", "a house"):
        out = tmp_path / words
        line = ["imagine", words, "--out", str(out), "--weights", str(weights), *SMALL]
        assert main([*line, "--seeds", "3"]) == 0
        pictures.append(iio.imread(out / "seed_3.png").astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() > 0
