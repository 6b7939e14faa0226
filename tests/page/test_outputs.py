"""Values for the components of the page, from the state and the events of a job."""

from __future__ import annotations

import json

import pytest

from ds4d import export
from ds4d.config import Config
from ds4d.errors import UserError
from page import outputs
from page.jobs.event_log import EVENTS
from page.jobs.service import Service
from page.jobs.store import Store
from page.limits import Limits


@pytest.fixture
def service(tmp_path):
    return Service(Store(tmp_path / "runs", Limits()))


@pytest.fixture
def job(service, tmp_path):
    """A running job without events."""
    clip = tmp_path / "clip.mp4"
    clip.write_text("a clip")
    job = service.queue.submit(service.store.create(clip, Config(), "a"))
    return service.queue.begin(job)


def log(job, **line) -> None:
    with open(job.folder / EVENTS, "a") as file:
        file.write(json.dumps({"at": 1.0, "step": 1, "total": 2, **line}) + "\n")


def test_an_idle_page_has_a_value_for_every_output_of_a_job(service, job):
    assert outputs.show(service, job, None).keys() <= set(outputs.OUTPUTS)
    assert len(outputs.OUTPUTS) == len(set(outputs.OUTPUTS))


def test_an_update_holds_only_what_has_changed(service, job):
    tab = outputs.show(service, job, None)["tab"]
    assert outputs.show(service, job, tab).keys() == {"tab"}
    log(job, stage="clip")
    assert outputs.show(service, job, tab).keys() == {"tab", "strip"}


def test_another_tab_gets_everything(service, job):
    log(job, stage="clip")
    first = outputs.show(service, job, None)
    outputs.show(service, job, first["tab"])
    second = outputs.show(service, job, None)
    assert second["strip"] == first["strip"] and second.keys() == first.keys()


def test_stopping_early_is_offered_while_the_4d_stage_runs(service, job):
    def offered() -> bool:
        return outputs.show(service, job, None)["finish"]["visible"]

    assert not offered()
    log(job, stage="fourd")
    assert offered()
    log(job, stage="videos")
    assert not offered()
    log(job, end="done")
    assert not offered()


def test_the_end_of_a_job_is_a_message(service, job):
    service.queue.end(job, "failed", UserError("It has one frame.", "Film on."))
    values = outputs.show(service, service.store.find(job.id), None)
    assert "It has one frame." in values["notice"] and "is-error" in values["notice"]
    assert values["run"]["value"] == "Continue" and values["run"]["interactive"]


def test_the_player_is_shown_once_it_is_written_and_before_the_other_files(service, job):
    for name in ("exports/object.ds4d", "videos/orbit.mp4"):
        (job.folder / name).parent.mkdir()
        (job.folder / name).write_bytes(b"of an earlier run, until they are replaced")
    log(job, stage="export", step=0, total=7)
    values = outputs.show(service, job, None)
    assert not values["player"]
    log(job, stage="export", step=1, total=7)
    values = outputs.show(service, job, values["tab"])
    assert "object.ds4d" in values["player"] and "downloads" not in values


def test_the_player_is_the_first_file_that_a_run_writes():
    assert next(iter(export.FORMATS)) == "player"
