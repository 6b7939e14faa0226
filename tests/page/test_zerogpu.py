"""Runs on ZeroGPU: one call per stage, and one per slice of the optimization."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from ds4d import pipeline
from ds4d.config import Config
from ds4d.errors import Paused, UserError
from ds4d.presets import PRESETS
from ds4d.run.events import STAGES, Event
from ds4d.run.workspace import Workspace
from page import about, hardware, zerogpu
from page.jobs.service import Service
from page.jobs.store import Store
from page.limits import Limits

SLICE = 100.0  # seconds


def recorded(source, workspace, config, until=STAGES[-1], pause_after=None):
    """A pipeline whose stages only record that they are done; the 4D stage takes three calls."""
    for stage in STAGES[: STAGES.index(until) + 1]:
        if stage in workspace.record["stages"]:
            yield Event(stage, 1, 1, "done before", skipped=True)
            continue
        yield Event(stage, 0, 1)
        slices = workspace / "slices"
        if stage == "fourd" and (not slices.exists() or len(slices.read_text()) < 2):
            with open(slices, "a") as file:
                file.write("x")
            assert pause_after == SLICE
            raise Paused
        workspace.finish(stage, "key", [], seconds=1.0)
        yield Event(stage, 1, 1)


def test_every_stage_runs_once_and_the_optimization_in_slices(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "generate", recorded)
    steps = []
    for event in zerogpu.stage_by_stage(Path("clip.mp4"), tmp_path, Config(), SLICE):
        steps.append((event.stage, event.step))
    expected = [(stage, step) for stage in STAGES for step in (0, 1)]
    at = expected.index(("fourd", 0))
    assert steps == expected[:at] + [("fourd", 0)] * 2 + expected[at:]
    assert set(Workspace(tmp_path).record["stages"]) == set(STAGES)


def broken(error):
    def events(*_):
        yield Event("clip", 0, 1)
        raise error

    return events


def test_a_user_error_keeps_its_sentence_and_hint(monkeypatch, tmp_path):
    error = UserError("The clip has one frame.", "Give it a moment more.")
    monkeypatch.setattr(pipeline, "generate", broken(error))
    with pytest.raises(UserError, match="one frame") as raised:
        list(zerogpu.stage_by_stage(Path("clip.mp4"), tmp_path, Config(), SLICE))
    assert raised.value.hint == "Give it a moment more."


def test_a_used_up_quota_is_reported_and_the_run_can_continue(monkeypatch, tmp_path):
    def refused(*_):
        raise gr.Error("You have exceeded your GPU quota.")
        yield

    monkeypatch.setattr(zerogpu, "run_stage_on_gpu", refused)
    monkeypatch.setattr(pipeline, "generate", recorded)
    with pytest.raises(UserError, match="GPU quota") as raised:
        list(zerogpu.stage_by_stage(Path("clip.mp4"), tmp_path, Config(), SLICE))
    assert "Continue" in raised.value.hint


def test_on_zerogpu_a_job_is_computed_in_the_request(monkeypatch, tmp_path):
    service = Service(Store(tmp_path / "runs", Limits(slice_seconds=SLICE)), on_zerogpu=True)
    monkeypatch.setattr(pipeline, "generate", recorded)
    clip = tmp_path / "clip.mp4"
    clip.write_text("a clip")
    job = service.queue.submit(service.store.create(clip, Config(), "a"))
    service.compute_in_request(job.id)
    assert service.store.find(job.id).state == "done"
    service.compute_in_request(job.id)  # a second request finds nothing to do


def test_events_configs_and_errors_can_be_pickled():
    event = Event("mesh", 1, 2, "carving", np.zeros((2, 2, 3), np.uint8), {"loss": 1.0})
    assert pickle.loads(pickle.dumps(event)).metrics == {"loss": 1.0}
    assert pickle.loads(pickle.dumps(PRESETS["paper"])) == PRESETS["paper"]
    error = pickle.loads(pickle.dumps(UserError("It broke.", "Mend it.")))
    assert (error.sentence, error.hint) == ("It broke.", "Mend it.")


def seconds(config, stage: str) -> int:
    return zerogpu.seconds("", "", config, stage, SLICE)


def test_more_work_asks_for_more_time():
    small, large = PRESETS["preview"], PRESETS["paper"]
    for stage in ("multiview", "fourd"):
        assert seconds(small, stage) < seconds(large, stage)
    distilled = replace(small, fourd=replace(small.fourd, sds=1.0))
    assert seconds(small, "fourd") < seconds(distilled, "fourd")
    assert seconds(distilled, "fourd") <= zerogpu.SECONDS_TO_LOAD + SLICE
    assert all(seconds(small, stage) > 0 for stage in zerogpu.ON_GPU)


def test_the_header_names_the_hardware(monkeypatch, tmp_path):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(about, "gpu_name", hardware.gpu_name.__wrapped__)  # without its cache
    assert "runs on the CPU" in about.header()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA L4'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert "runs on NVIDIA L4" in about.header() and "embedded engines, no" not in about.header()
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert "ZeroGPU" in about.header()
