"""The benchmark of quality: its grid, its tables, and a cell on a case that it finds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quality.__main__ import Options, grid
from benchmarks.quality.cell import Cell
from benchmarks.quality.report import write
from benchmarks.quality.scores import chamfer, flicker
from ds4d.splatting.splats import Splats

CELL = Cell("fox", "multiview", "preview", "H", 0.5, 3)


def test_the_grid_is_every_combination_whose_views_there_are(tmp_path):
    (tmp_path / "fox/multiview").mkdir(parents=True)
    (tmp_path / "cat").mkdir()
    options = Options((), configs="A,H", views="multiview,none", lengths="0.5,1", seeds="0,1")
    cells = grid(options, {name: tmp_path / name for name in ("fox", "cat")})
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 2 * (2 + 1)
    assert not any(cell.case == "cat" and cell.views == "multiview" for cell in cells)


def test_a_cell_trains_what_its_name_says():
    whole, half = replace(CELL, length=1.0).settings(), CELL.settings()
    assert half.seed == 3 and half.multiview.views == "multiview"
    assert half.fourd.dynamic_iterations == round(whole.fourd.dynamic_iterations / 2)
    assert replace(CELL, config="A").settings().fourd.points_from == "random"


def test_tables_hold_means_over_seeds_and_cases(tmp_path):
    base = {"views": "multiview", "preset": "preview", "config": "H", "length": 1.0, "steps": 9}
    base["device"] = "abacus"
    rows = [
        {**base, "case": case, "seed": seed, "psnr_fg": value, "seconds": 60.0}
        for case, seed, value in (("fox", 0, 20.0), ("fox", 1, 22.0), ("robot", 0, 30.0))
    ]
    rows.append({**rows[-1], "length": 0.5, "seconds": 30.0})
    rows.append({**base, "case": "clip", "seed": 0, "front_psnr_fg": 25.0, "seconds": 60.0})
    write(rows, tmp_path / "quality.json")
    lines = (tmp_path / "quality.md").read_text().splitlines()
    assert lines[2].endswith("Trained on: abacus.")
    assert any(line.startswith("| fox | H | 1 | 2 | 21.00 ± 1.41 |") for line in lines)
    assert any(line.startswith("| mean | H | 1 | 2 | 24.00 ") for line in lines)
    assert any(line.startswith("| clip | H | 1 | 1 | 25.00 |") for line in lines)
    assert (tmp_path / "quality.svg").exists()


class Shown:
    """An asset of one Gaussian that goes along x, evenly or in jumps."""

    def __init__(self, torch, places):
        self.torch, self.places = torch, places
        self.positions = torch.linspace(0, 1, len(places))

    def splats(self, position):
        torch = self.torch
        x = self.places[round(position * (len(self.places) - 1))]
        return Splats(
            torch.tensor([[x, 0.0, 0.0]]), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.08),
            torch.tensor([0.99]), torch.zeros(1, 3),
        )  # fmt: skip


def test_what_jumps_flickers_more_than_what_glides():
    torch = pytest.importorskip("torch")
    glides = Shown(torch, [0.0, 0.04, 0.08, 0.12])
    jumps = Shown(torch, [0.0, 0.12, 0.0, 0.12])
    assert flicker(jumps) > 2 * flicker(glides)
    assert flicker(Shown(torch, [0.1] * 4)) == 0


def test_chamfer_is_the_distance_to_the_truth():
    torch = pytest.importorskip("torch")
    asset = Shown(torch, [0.0, 0.1])
    truth = np.array([[[0.0, 0, 0.02]], [[0.1, 0, 0.02]]], np.float16)
    assert chamfer(asset, truth) == pytest.approx(0.02, abs=1e-4)
    assert json.dumps(chamfer(asset, truth))
