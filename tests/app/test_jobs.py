"""What the handlers of the page do with a pipeline that ends badly, and with old runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import gradio as gr
import pytest

from ds4d import pipeline
from ds4d.errors import UserError
from ds4d.events import Event
from page import jobs


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Generate from a clip with a pipeline that the test gives; all answers, and the error."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"any bytes")
    monkeypatch.setattr(jobs, "RUNS", tmp_path / "runs")

    def go(events, clip=str(clip)):
        monkeypatch.setattr(pipeline, "generate", events)
        session, answers = jobs.Session(), []
        with pytest.raises(gr.Error) as raised:
            for answer in jobs.generate(clip, "preview", 0, session):
                answers.append(dict(zip(jobs.OUTPUTS, answer, strict=True)))
        assert session.ended.is_set() and not session.running.is_set()
        return answers, raised.value

    return go


def test_a_mistake_of_the_visitor_is_one_sentence_with_its_hint(run):
    def events(*_):
        yield Event("clip", 0, 1)
        raise UserError("The clip has one frame.", "Give it a moment more.")

    answers, error = run(events)
    assert "The clip has one frame." in answers[-1]["notice"]
    assert "Give it a moment more." in answers[-1]["notice"]
    assert 'data-state="failed"' in answers[-1]["strip"]
    assert "The clip has one frame." in str(error)


def test_no_clip_at_all_is_said(run):
    answers, _ = run(None, clip=None)
    assert "There is no clip yet." in answers[-1]["notice"]


def test_a_bug_shows_a_reference_that_the_log_has_too(run, caplog):
    def events(*_):
        yield Event("clip", 0, 1)
        raise ZeroDivisionError("secret inner words")

    answers, error = run(events)
    reference = re.search(r"reference (\w{8})", answers[-1]["notice"])[1]
    assert reference in caplog.text and "secret inner words" in caplog.text
    assert "secret inner words" not in answers[-1]["notice"] + str(error)


def test_closing_the_answers_closes_the_work(tmp_path, monkeypatch):
    closed = []

    def events(*_):
        try:
            while True:
                yield Event("clip", 0, 1)
        finally:
            closed.append(True)

    (tmp_path / "clip.mp4").write_bytes(b"any bytes")
    monkeypatch.setattr(jobs, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(pipeline, "generate", events)
    session = jobs.Session()
    answers = jobs.generate(str(tmp_path / "clip.mp4"), "preview", 0, session)
    next(answers), next(answers)
    answers.close()
    assert closed and session.ended.is_set()
    assert session.progress.stages["clip"].state == "stopped"


def test_the_same_clip_goes_on_in_its_folder_and_another_visitor_gets_another(tmp_path):
    one, same, other = (tmp_path / f"{name}.mp4" for name in ("one", "same", "other"))
    one.write_bytes(b"a"), same.write_bytes(b"a"), other.write_bytes(b"b")
    visitor, stranger = jobs.Session(), jobs.Session()
    assert visitor.folder(one) == visitor.folder(same)
    assert visitor.folder(one) != visitor.folder(other)
    assert visitor.folder(one) != stranger.folder(one)


def test_old_runs_are_deleted_and_new_ones_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "RUNS", tmp_path)
    for name, hours in (("old", jobs.KEEP_HOURS + 1), ("new", jobs.KEEP_HOURS - 1)):
        (tmp_path / name).mkdir()
        then = time.time() - hours * 3600
        os.utime(tmp_path / name, (then, then))
    jobs.sweep()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_the_page_is_laid_out_without_torch():
    """A Space that only shows its examples starts fast, and ZeroGPU sees no early CUDA."""
    code = (
        "import app, os, sys; assert app.demo and 'torch' not in sys.modules; "
        "assert os.environ['NUMBA_DISABLE_CUDA'] == '1'"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=300)
