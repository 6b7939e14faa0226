"""Runs whose stages are computed one by one in processes that get a GPU for a while."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ds4d import pipeline
from ds4d.config import PRESETS, Config
from ds4d.errors import UserError
from ds4d.events import STAGES, Event
from ds4d.workspace import Workspace
from page import lanes


def recorded(source, workspace, config, until=STAGES[-1]):
    """A pipeline whose stages only write that they were done."""
    for stage in STAGES[: STAGES.index(until) + 1]:
        if stage in workspace.record["stages"]:
            yield Event(stage, 1, 1, "done before", skipped=True)
            continue
        yield Event(stage, 0, 1)
        workspace.finish(stage, "key", [], seconds=1.0)
        yield Event(stage, 1, 1)


def test_every_stage_runs_once_and_the_record_keeps_up(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "generate", recorded)
    workspace = Workspace(tmp_path)
    news = []
    for event in lanes.stage_by_stage(Path("clip.mp4"), workspace, Config()):
        news.append((event.stage, event.step))
        if event.step:
            assert event.stage in workspace.record["stages"]
    assert news == [(stage, step) for stage in STAGES for step in (0, 1)]


def test_a_mistake_keeps_its_words_on_the_way_back(monkeypatch, tmp_path):
    def broken(source, workspace, config, until):
        yield Event("clip", 0, 1)
        raise UserError("The clip has one frame.", "Give it a moment more.")

    monkeypatch.setattr(pipeline, "generate", broken)
    with pytest.raises(UserError, match="one frame") as raised:
        list(lanes.stage_by_stage(Path("clip.mp4"), Workspace(tmp_path), Config()))
    assert raised.value.hint == "Give it a moment more."


def test_what_crosses_the_border_survives_it():
    event = Event("mesh", 1, 2, "carving", np.zeros((2, 2, 3), np.uint8), {"loss": 1.0})
    assert pickle.loads(pickle.dumps(event)).metrics == {"loss": 1.0}
    assert pickle.loads(pickle.dumps(PRESETS["paper"])) == PRESETS["paper"]
    error = pickle.loads(pickle.dumps(UserError("It broke.", "Mend it.")))
    assert (error.sentence, error.hint) == ("It broke.", "Mend it.")


def test_more_work_asks_for_more_time():
    small, large = PRESETS["preview"], PRESETS["paper"]
    for stage in ("multiview", "fourd"):
        assert lanes.seconds("", "", small, stage) < lanes.seconds("", "", large, stage)
    distilled = replace(small, fourd=replace(small.fourd, sds=1.0))
    assert lanes.seconds("", "", small, "fourd") < lanes.seconds("", "", distilled, "fourd")
    assert all(lanes.seconds("", "", small, stage) > 0 for stage in lanes.ON_GPU)


def test_the_header_names_what_computes_here(monkeypatch, tmp_path):
    from page import panels

    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "runs on the CPU" in panels.header()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA L4'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert "runs on NVIDIA L4" in panels.header() and "embedded engines, no" not in panels.header()
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert "lent" in panels.header()
