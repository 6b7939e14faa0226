"""The benchmark runs from end to end in small; peers are called as their packages want it."""

from __future__ import annotations

import collections
import importlib.util
import inspect
import json
import sys
import types
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from benchmarks.speed import measure, peers, rasterizer, training
from benchmarks.speed.__main__ import Options, main
from ds4d.cameras import orbit_cameras, project


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Output of a quick run."""
    path = tmp_path_factory.mktemp("speed") / "speed.json"
    main(Options(quick=True, json=path))
    return path


def test_rows_say_what_was_measured(file):
    written = json.loads(file.read_text())
    assert {"cpu", "cores", "torch_threads", "gpu", "torch"} <= written["machine"].keys()
    parts = collections.defaultdict(list)
    for row in written["rows"]:
        parts[row["part"]].append(row)
    drawn = [row for row in parts["rasterizer"] if row["engine"] == "numba"]
    sizes = {(row["gaussians"], row["pixels"], row["cameras"]) for row in drawn}
    assert len(sizes) == len(drawn) == 4
    for row in drawn:
        assert row["forward_ms"] > 0 and row["both_ms"] > 0 and row["repeats"] == 2
    phases = [(row["phase"], row.get("pixels")) for row in parts["steps"]]
    assert phases == [("static", 48), ("dynamic", 48), ("whole schedule", None)]
    assert all("note" not in row for row in parts["steps"])
    curves = {(row["cost"].split(",")[0], row["over"]) for row in parts["scaling"]}
    step = "training step"
    assert curves == {
        ("rasterizer", "Gaussians"), ("rasterizer", "pixels of a camera"),
        ("rasterizer", "cameras"), (step, "Gaussians"), (step, "pixels of a view"),
        (step, "frames in a step"), (step, "views of the object"),
        ("stages before 4D", "frames of the clip"),
    }  # fmt: skip


def test_markdown_and_plot_lie_beside_the_figures(file):
    rows = json.loads(file.read_text())["rows"]
    text = file.with_suffix(".md").read_text()
    assert "## Rasterizer" in text and "## Training steps" in text and "## Cost curves" in text
    assert "## Memory" not in text  # nothing of it was measured
    table = [line for line in text.splitlines() if line.startswith(("| engine", "| numba"))]
    assert len(table) == 5 and len({line.count("|") for line in table}) == 1
    root = ElementTree.fromstring(file.with_suffix(".svg").read_text())
    panels = [part for part in root.iter() if part.get("id", "").startswith("axes_")]
    cameras = {row["cameras"] for row in rows if row["part"] == "rasterizer"}
    assert len(panels) == len(cameras) + sum(row["part"] == "scaling" for row in rows)


def test_a_part_alone_replaces_only_its_rows(file, tmp_path):
    copy = tmp_path / "speed.json"
    before = json.loads(file.read_text())
    before["rows"] = [row for row in before["rows"] if row["part"] != "scaling"]
    copy.write_text(json.dumps(before))
    main(Options(only=("rasterizer",), quick=True, json=copy))
    after = [row["part"] for row in json.loads(copy.read_text())["rows"]]
    assert sorted(after) == sorted(row["part"] for row in before["rows"])
    before["machine"]["cpu"] = "another"
    copy.write_text(json.dumps(before))
    main(Options(only=("rasterizer",), quick=True, json=copy))
    assert {row["part"] for row in json.loads(copy.read_text())["rows"]} == {"rasterizer"}


def test_the_fit_finds_a_line_and_says_when_there_is_none():
    assert measure.fit([1, 2, 4], [5.0, 7.0, 11.0]) == pytest.approx(
        {"slope": 2, "intercept": 3, "r2": 1}
    )
    assert measure.fit([1, 2, 3, 4], [0.0, 1.0, 1.0, 0.0])["r2"] == pytest.approx(0, abs=1e-5)


def test_what_takes_too_long_is_skipped_and_what_takes_long_is_repeated_less():
    calls = []
    assert measure.timed(lambda: calls.append(1), repeats=5, cap=-1.0) == []
    assert len(calls) == 2
    assert len(measure.timed(lambda: calls.append(1), repeats=5, cap=1.0)) == 5


def test_the_phases_never_end():
    for moving in (False, True):
        config = training.phase(training.TINY, moving)
        trainer = training.prepare(config, size=48, grid=4, frames=3)
        for _ in range(3):
            trainer.advance()
            assert trainer.dynamic == moving


def test_diff_gaussian_is_given_the_matrices_it_expects(monkeypatch):
    """A package that only projects: a white pixel where each centre falls, by its conventions."""
    package = types.ModuleType("diff_gaussian_rasterization")
    names = ("image_height image_width tanfovx tanfovy bg scale_modifier viewmatrix projmatrix "
             "sh_degree campos prefiltered debug antialiasing")  # fmt: skip
    package.GaussianRasterizationSettings = collections.namedtuple("Settings", names)
    seen = []

    class Rasterizer:
        def __init__(self, settings):
            self.settings = settings

        def __call__(self, means3D, means2D, opacities, colors_precomp, scales, rotations):
            s, N = self.settings, len(means3D)
            assert means2D.shape == (N, 3) and opacities.shape == (N, 1)
            clip = torch.cat([means3D, torch.ones(N, 1)], -1) @ s.projmatrix
            ndc = clip[:, :2] / clip[:, 3:]
            size = torch.tensor([s.image_width, s.image_height])
            seen.append(((ndc + 1) * size - 1) / 2)  # ndc2Pix: pixel centres at whole numbers
            depth = (torch.cat([means3D, torch.ones(N, 1)], -1) @ s.viewmatrix)[:, 2]
            assert torch.allclose(depth, clip[:, 3], atol=1e-5) and (depth > 0).all()
            assert torch.allclose(rotations.norm(dim=-1), torch.ones(N))
            return torch.ones(3, s.image_height, s.image_width), torch.ones(N)

    package.GaussianRasterizer = Rasterizer
    monkeypatch.setitem(sys.modules, package.__name__, package)
    parts = {name: part.detach() for name, part in rasterizer.ball(20, "cpu").items()}
    cameras = orbit_cameras([10, 200], [0, 30], size=40)
    (images,) = peers.diff_gaussian(parts, cameras, torch.ones(2, 3))
    assert images.shape == (2, 40, 40, 3)
    expected, _ = project(parts["means"], cameras)  # pixel centres at halves
    assert torch.allclose(torch.stack(seen) + 0.5, expected, atol=1e-3)


def test_only_installed_peers_on_a_gpu_are_measured():
    found = rasterizer.engines()
    assert found["numba"][0] == "cpu"
    for name in peers.PEERS:
        there = torch.cuda.is_available() and importlib.util.find_spec(name) is not None
        assert (name in found) == there


def test_the_floors_find_what_they_borrow_from_the_gpu_timing():
    pytest.importorskip("triton")
    from benchmarks.speed import gpu_timing

    inspect.signature(gpu_timing.floor_ms).bind(4, 512, 30_000, 3, 1e12)
    inspect.signature(gpu_timing.captured).bind(print)
    inspect.signature(gpu_timing.copy_bandwidth).bind()
