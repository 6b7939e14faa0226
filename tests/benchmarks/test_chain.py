"""Runs of the chain are measured stage by stage; random networks return views of an object."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.chain import one_run, random_networks, report
from benchmarks.chain.__main__ import Options, _save
from ds4d.cameras import rig_cameras
from ds4d.images import save_images
from ds4d.multiview.views import Views
from ds4d.multiview.zero123plus import engine
from ds4d.run.events import result

COMMAND = """
import json, pathlib, sys
stages = {"clip": {"seconds": 0.25, "processor_seconds": 0.5, "key": "k"}, "fourd": {"seconds": 0}}
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir()
print('{"part": "clip: half", "seconds": 0.125}')
(out / "run.json").write_text(json.dumps({"stages": stages}))
if "fail" in sys.argv:
    raise SystemExit("no such clip")
"""


def test_a_run_has_its_stages_and_what_lies_around_them(tmp_path):
    command = one_run.Command(["-c", COMMAND], tmp_path, tmp_path / "place")
    for _ in range(2):  # the run folder of the first is in the way of nothing
        stages = one_run.run(command)["stages"]
    assert stages["clip"] == {"seconds": 0.25, "processor_seconds": 0.5}
    assert stages["clip: half"] == {"seconds": 0.125}
    whole = stages["whole command"]
    assert stages["start"]["seconds"] == pytest.approx(whole["seconds"] - 0.25, abs=0.02)
    assert whole["peak_memory_mb"] > 5 and whole["processor_seconds"] > 0


def test_a_run_that_fails_says_why(tmp_path):
    command = one_run.Command(["-c", COMMAND, "fail"], tmp_path, tmp_path / "place")
    with pytest.raises(SystemExit, match=r'(?s)"clip": 0.25.*no such clip'):
        one_run.run(command)


def test_medians_are_taken_stage_by_stage_and_other_figures_are_kept(tmp_path):
    runs = [
        {"stages": {"clip": {"engine": "a", "seconds": s}, "whole command": {"seconds": 2 * s}}}
        for s in (9.0, 1.0, 3.0, 2.0)
    ]
    machine = {"gpu": "none", "cores": 2}
    file = tmp_path / "chain.json"
    for clip in ("frog.mp4", "cactus.mp4", "frog.mp4"):
        _save(Options(clip=tmp_path / clip, json=file), machine, runs, runs)
    rows = json.loads(file.read_text())
    assert [row["clip"] for row in rows] == ["cactus.mp4", "frog.mp4"]
    row = rows[0]
    assert row["n"] == 3 and row["cold"]["stages"]["clip"]["seconds"] == 9
    assert row["warm"]["stages"]["clip"] == {"engine": "a", "seconds": 2}
    assert row["ratios"] == [1, 1, 1]
    table = report.markdown(row).splitlines()
    assert "| clip | a | 9 | 2 |" in table
    assert "| whole command |  | 18 | 4 |" in table


def test_random_networks_work_and_return_the_views_of_a_run(tmp_path, monkeypatch):
    images = np.zeros((2, 7, 16, 16, 4), np.uint8)
    images[:, :, 4:12, 4:12] = (200, 50, 10, 255)
    views = Views(images, rig_cameras(16))
    views.save(tmp_path / "multiview")
    save_images(tmp_path / "frames", images[:, 0])
    calls = []

    def generate_views(*args):
        calls.append(args)
        yield from ()
        return np.full((2, 6, 32, 32, 3), 77, np.uint8)

    monkeypatch.setattr(engine, "generate_views", generate_views)
    random_networks.exchange_views(tmp_path)
    drawn = result(engine.generate_views("frames"))
    assert calls == [("frames",)] and drawn.shape == (2, 6, 32, 32, 3)
    assert (drawn[:, :, 0, 0] == 127).all() and (drawn[:, :, 16, 16] == (200, 50, 10)).all()
