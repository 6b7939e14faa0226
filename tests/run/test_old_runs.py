"""Run folders that the program wrote before server limits, size and margin left the clip's key.

old_runs/ holds a run of a GIF by the embedded engines and one of a multi-camera capture, without
the exports and videos that nothing reads again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ds4d import cli, clip, features, guidance, images, matting, mesh, multiview, pipeline
from ds4d.config import Config, FourdConfig
from ds4d.export import packed
from ds4d.fourd.asset import Asset
from ds4d.multiview.views import load_views
from ds4d.run.events import STAGES
from ds4d.run.structure import FORMER, structure
from ds4d.run.workspace import Workspace

OLD = Path(__file__).parent / "old_runs"
SOURCES = {"disc": OLD / "disc.gif", "capture": OLD / "capture"}


@pytest.fixture(params=list(SOURCES))
def name(request) -> str:
    return request.param


@pytest.fixture
def run(name, tmp_path) -> Path:
    return shutil.copytree(OLD / f"{name}_run", tmp_path / name)


def settings(run: Path) -> Config:
    """The run's settings, as it was then."""
    return structure(json.loads((run / "run.json").read_text())["config"], Config)


def skipped(name: str, run: Path, config: Config) -> list[str]:
    """The stages that are skipped when the run is started again."""
    events = pipeline.generate(SOURCES[name], Workspace(run), config)
    return [event.stage for event in events if event.skipped]


def with_limits(config: Config, **limits) -> Config:
    return replace(config, clip=replace(config.clip, **limits))


def test_every_stage_is_current(name, run):
    config = settings(run)
    assert skipped(name, run, config) == list(STAGES)
    assert skipped(name, run, with_limits(config, max_seconds=20.0)) == list(STAGES)


def test_other_limits_of_the_server_change_nothing(name, run):
    config = with_limits(settings(run), max_seconds=45.0, max_pixels=10**7, max_bytes=10**9)
    assert skipped(name, run, config) == list(STAGES)


def test_a_current_run_loads_nothing_and_chooses_no_engine(name, run, monkeypatch):
    config = settings(run)
    skipped(name, run, config)  # keys as they are written now

    def fails(*arguments, **options):
        raise AssertionError("a skipped stage has loaded something")

    for module in (matting, multiview, features, mesh, guidance):
        monkeypatch.setattr(module, "choose", fails)
    monkeypatch.setattr(clip, "load", fails)
    monkeypatch.setattr(images, "load_pngs", fails)
    assert skipped(name, run, config) == list(STAGES)


def test_a_changed_size_starts_after_the_clip(run, name):
    """Results of new runs are identified by the settings that each stage reads."""
    if name == "capture":
        pytest.skip("a capture's frames are no larger than its cameras' images")
    config = settings(run)
    workspace = Workspace(run)
    workspace.forget("clip")
    list(pipeline.generate(SOURCES[name], workspace, config, until="matting"))
    larger = with_limits(config, size=30)
    events = list(pipeline.generate(SOURCES[name], Workspace(run), larger, until="matting"))
    assert [event.stage for event in events if event.skipped] == ["clip"]


def test_the_asset_can_be_rendered_and_exported(run, capsys):
    small = ["--videos.size", "32", "--videos.seconds", "0.25", "--device", "cpu"]
    assert cli.main(["render", str(run), "--views", "front", "--format", "gif", *small]) == 0
    assert (run / "exports/animations/front.gif").stat().st_size > 0
    capsys.readouterr()
    assert cli.main(["export", str(run), "--formats", "ply", "player"]) == 0
    assert (run / "exports/player.html").exists() and len(list(run.glob("exports/ply/*.ply"))) == 3


def test_the_asset_can_be_evaluated(name, run, case, capsys):
    if name == "capture":
        pytest.skip("the case is of one object")
    assert cli.main(["evaluate", str(run), str(case), "--device", "cpu"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["heldout"]["mask_iou"] <= 1


def test_a_capture_keeps_its_place_in_the_world(name, run):
    asset = Asset.load(run / "fourd.safetensors")
    assert (asset.capture_to_world is not None) == (name == "capture")
    views = load_views(run)
    assert (views.capture_to_world is not None) == (name == "capture")
    if name == "capture":
        np.testing.assert_allclose(asset.capture_to_world.centre, views.capture_to_world.centre)


def test_a_packed_file_opens(run):
    opened = packed.unpack((run / "exports/object.ds4d").read_bytes())
    asset = Asset.load(run / "fourd.safetensors")
    assert len(opened.frames) == len(asset.positions)
    assert len(opened.frames[0].means) == len(asset.gaussians.means)


def test_today_s_settings_start_with_the_optimization_of_an_object(run, name):
    """Its colours change over time now; those of a capture do not."""
    config = settings(run)
    today = {setting: getattr(FourdConfig(), setting) for setting in FORMER}
    config = replace(config, fourd=replace(config.fourd, **today))
    events = pipeline.generate(SOURCES[name], Workspace(run), config, until="fourd")
    done = [] if name == "capture" else ["fourd"]
    skipped_stages = {event.stage for event in events if event.skipped}
    assert [stage for stage in STAGES[:6] if stage not in skipped_stages] == done
