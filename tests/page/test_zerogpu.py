"""Runs whose stages are computed one by one in processes that get a GPU for a while."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest

from ds4d import pipeline
from ds4d.config import PRESETS, Config
from ds4d.errors import Paused, UserError
from ds4d.run.events import STAGES, Event
from ds4d.run.workspace import Workspace
from page import zerogpu
from page.jobs import service
from page.jobs.queue import Queue
from page.jobs.store import Store
from page.limits import Limits


def recorded(source, workspace, config, until=STAGES[-1], pause_after=None):
    """A pipeline whose stages only write that they were done; the fourth dimension takes three."""
    for stage in STAGES[: STAGES.index(until) + 1]:
        if stage in workspace.record["stages"]:
            yield Event(stage, 1, 1, "done before", skipped=True)
            continue
        yield Event(stage, 0, 1)
        slices = workspace / "slices"
        if stage == "fourd" and (not slices.exists() or len(slices.read_text()) < 2):
            with open(slices, "a") as file:
                file.write("x")
            assert pause_after == zerogpu.LIMITS.slice_seconds
            raise Paused
        workspace.finish(stage, "key", [], seconds=1.0)
        yield Event(stage, 1, 1)


def test_every_stage_runs_once_and_the_optimization_in_slices(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "generate", recorded)
    news = []
    for event in zerogpu.stage_by_stage(Path("clip.mp4"), tmp_path, Config()):
        news.append((event.stage, event.step))
    expected = [(stage, step) for stage in STAGES for step in (0, 1)]
    at = expected.index(("fourd", 0))
    assert news == expected[:at] + [("fourd", 0)] * 2 + expected[at:]
    assert set(Workspace(tmp_path).record["stages"]) == set(STAGES)


def broken(error):
    def events(*_):
        yield Event("clip", 0, 1)
        raise error

    return events


def test_a_mistake_keeps_its_words_on_the_way_back(monkeypatch, tmp_path):
    error = UserError("The clip has one frame.", "Give it a moment more.")
    monkeypatch.setattr(pipeline, "generate", broken(error))
    with pytest.raises(UserError, match="one frame") as raised:
        list(zerogpu.stage_by_stage(Path("clip.mp4"), tmp_path, Config()))
    assert raised.value.hint == "Give it a moment more."


def test_who_has_no_gpu_seconds_left_is_told_and_can_go_on(monkeypatch, tmp_path):
    def refused(*_):
        raise gr.Error("You have exceeded your GPU quota.")
        yield

    monkeypatch.setattr(zerogpu, "on_lent_gpu", refused)
    monkeypatch.setattr(pipeline, "generate", recorded)
    with pytest.raises(UserError, match="GPU quota") as raised:
        list(zerogpu.stage_by_stage(Path("clip.mp4"), tmp_path, Config()))
    assert "Go on" in raised.value.hint


def test_on_lent_gpus_a_job_is_computed_in_the_request(monkeypatch, tmp_path):
    store = Store(tmp_path / "runs", Limits())
    lane = Queue(store)
    monkeypatch.setattr(service, "STORE", store)
    monkeypatch.setattr(service, "QUEUE", lane)
    monkeypatch.setattr(pipeline, "generate", recorded)
    clip = tmp_path / "clip.mp4"
    clip.write_text("a clip")
    job = lane.submit(store.create(clip, Config(), "a"))
    service.compute_here(job.id)
    assert store.find(job.id).state == "done"
    service.compute_here(job.id)  # a second request finds nothing to do


def test_what_crosses_the_border_survives_it():
    event = Event("mesh", 1, 2, "carving", np.zeros((2, 2, 3), np.uint8), {"loss": 1.0})
    assert pickle.loads(pickle.dumps(event)).metrics == {"loss": 1.0}
    assert pickle.loads(pickle.dumps(PRESETS["paper"])) == PRESETS["paper"]
    error = pickle.loads(pickle.dumps(UserError("It broke.", "Mend it.")))
    assert (error.sentence, error.hint) == ("It broke.", "Mend it.")


def test_more_work_asks_for_more_time():
    small, large = PRESETS["preview"], PRESETS["paper"]
    for stage in ("multiview", "fourd"):
        assert zerogpu.seconds("", "", small, stage) < zerogpu.seconds("", "", large, stage)
    distilled = replace(small, fourd=replace(small.fourd, sds=1.0))
    assert zerogpu.seconds("", "", small, "fourd") < zerogpu.seconds("", "", distilled, "fourd")
    longest = zerogpu.SECONDS_TO_LOAD + zerogpu.LIMITS.slice_seconds
    assert zerogpu.seconds("", "", distilled, "fourd") <= longest
    assert all(zerogpu.seconds("", "", small, stage) > 0 for stage in zerogpu.ON_GPU)


def test_the_header_names_what_computes_here(monkeypatch, tmp_path):
    from page import about

    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(about, "gpu_name", about.gpu_name.__wrapped__)  # looks every time
    assert "runs on the CPU" in about.header()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA L4'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert "runs on NVIDIA L4" in about.header() and "embedded engines, no" not in about.header()
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert "lent" in about.header()
