"""Jobs on the disk: which are kept, and that those of older versions can still be opened."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ds4d.errors import UserError
from ds4d.presets import PRESETS
from page.handlers import Handlers
from page.jobs.clock import now
from page.jobs.service import Service
from page.jobs.store import RECORD, stored_name
from tests.page.jobs.conftest import ended, order

OLD_JOB = Path(__file__).with_name("old_job")  # written by version 4c99580, queued


def test_a_full_disk_loses_the_oldest_inactive_jobs(store):
    jobs = [order(store, visitor=name) for name in "abc"]
    for age, job in enumerate(jobs):
        (job.folder / "big").write_bytes(b"0" * 1000)
        store.change(job, state="done", ended=100.0 + age, created=0.0)
    store.change(jobs[0], state="running")
    sizes = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    store.limits = dataclasses.replace(store.limits, disk_gb=(sizes - 10) / 1e9)
    store.make_room()
    assert [job.id in os.listdir(store.root) for job in jobs] == [True, False, True]
    store.limits = dataclasses.replace(store.limits, disk_gb=1e-9)
    with pytest.raises(UserError, match="full"):
        store.make_room()


def test_old_jobs_are_deleted_and_new_ones_kept(store):
    old, new, running = (order(store, visitor=name) for name in "abc")
    store.change(old, created=time.time() - (store.limits.keep_hours + 1) * 3600)
    store.change(running, created=0.0, state="running")
    store.sweep()
    assert {job.id for job in store.all()} == {new.id, running.id}


@pytest.mark.parametrize("jump", [-1e7, 1e7])
def test_a_jump_of_the_clock_deletes_nothing(store, queue, monkeypatch, jump):
    done, waiting = order(store), queue.submit(order(store, visitor="b"))
    store.change(done, state="done", ended=now())
    monkeypatch.setattr(time, "time", lambda before=time.time: before() + jump)
    queue.stop_abandoned()
    store.sweep()
    assert {job.id for job in store.all()} == {done.id, waiting.id}
    assert store.find(waiting.id).state == "queued"


def test_a_job_of_an_earlier_version_is_read(store):
    job = order(store)
    record = json.loads((job.folder / RECORD).read_text())
    del record["config"]["fourd"]["tint_lr"]
    record["config"]["fourd"] |= {"warp_lr": [2e-4, 2e-5], "coarse_size": 128, "points": 77}
    (job.folder / RECORD).write_text(json.dumps(record))
    fourd, default = store.find(job.id).config.fourd, PRESETS["preview"].fourd
    assert (fourd.warp_lr, fourd.tint_lr) == (default.warp_lr, default.tint_lr)
    assert fourd.points == 77


@pytest.fixture
def old_job(store):
    """A queued job of an older version in the store."""
    folder = store.root / "queued-by-an-older-version"
    shutil.copytree(OLD_JOB, folder)
    (folder / "events.jsonl").touch()
    return store.find(folder.name)


def test_a_job_of_an_older_version_keeps_its_settings(old_job):
    config = old_job.config
    assert (config.preset, config.seed, config.clip.frames, config.clip.start) == (
        "paper",
        7,
        8,
        0.5,
    )
    assert (config.multiview.redraw, config.multiview.slant) == (("2:1",), 5)
    assert (config.fourd.exclude, config.fourd.dynamic_iterations) == (("3:4",), 40)
    untouched = PRESETS["paper"].fourd
    changed = replace(config.fourd, exclude=(), dynamic_iterations=untouched.dynamic_iterations)
    assert changed == untouched
    assert old_job.source.read_text() == "done"


def test_a_job_that_was_queued_before_an_update_is_computed(store, queue, old_job):
    assert old_job.state == "queued"
    store.change(old_job, queued=time.time())
    queue.start()
    assert ended(store, old_job).state == "done"


def test_a_run_of_an_older_version_is_shown(store, old_job):
    (old_job.folder / "run.json").write_text(
        json.dumps({"stages": {"clip": {"seconds": 1.0}, "fourd": {"seconds": 2.0}}})
    )
    lines = (
        '{"at": 1.0, "stage": "clip", "step": 1, "total": 1, "skipped": true}',
        '{"at": 2.0, "stage": "fourd", "step": 1, "total": 1, "metrics": {"loss": 0.5}}',
        '{"at": 3.0, "end": "done"}',
    )
    (old_job.folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    store.change(old_job, state="done", started=1.0, ended=3.0)
    values = Handlers(Service(store)).load(old_job.id)
    assert values["clip"] == str(old_job.source) and values["drawing_steps"] == 75
    assert "Made here in 3.0 s" in values["head"] and values["job"] == old_job.id


def test_jobs_that_are_deleted_while_others_list_them_are_left_out(store, monkeypatch):
    kept, gone = order(store, visitor="a"), order(store, visitor="b")
    listed = store._folders()
    shutil.rmtree(gone.folder)
    monkeypatch.setattr(store, "_folders", lambda: listed)
    assert [job.id for job in store.all()] == [kept.id]
    gone.touch()
    assert gone.last_visit() == 0 and gone.stage_record() == {}
    with pytest.raises(UserError, match="no run"):
        store.change(gone, state="done")


def test_a_record_that_cannot_be_read_hides_no_other_job(store):
    good, bad = order(store, visitor="a"), order(store, visitor="b")
    (bad.folder / RECORD).write_text('{"clip": ')
    assert [job.id for job in store.all()] == [good.id]
    with pytest.raises(UserError):
        store.find(bad.id)


@pytest.mark.parametrize("identity", ["", "../../../etc", "a" * 400, "x" * 20, None, 3])
def test_ids_that_are_none_find_nothing(store, identity):
    with pytest.raises(UserError, match="no run"):
        store.find(identity)


def test_jobs_that_never_began_are_swept(store, monkeypatch):
    waiting, forgotten = order(store, visitor="a"), order(store, visitor="b")
    store.change(forgotten, created=time.time() - 3600)
    half = store.root / ("h" * 24)
    (half / "input").mkdir(parents=True)
    os.utime(half, (1, 1))
    fresh = store.root / ("f" * 24)
    fresh.mkdir()
    store.sweep()
    assert set(os.listdir(store.root)) == {waiting.id, fresh.name}


def test_a_copy_that_fails_leaves_nothing(store, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("page.jobs.store.shutil.copyfile", full)
    with pytest.raises(OSError):
        order(store)
    assert not os.listdir(store.root)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("red ball.MP4", "red ball.mp4"), ("a:b*c.mp4", "a_b_c.mp4"), ("\udcff.mp4", "_.mp4"),
        ("\n.gif", "_.gif"), ("x" * 240 + ".mov", "x" * 60 + ".mov"), ("....mp4", "clip.mp4"),
    ],
)  # fmt: skip
def test_a_clip_is_stored_under_a_name_that_any_system_takes(name, stored):
    assert stored_name(Path(name)) == stored
