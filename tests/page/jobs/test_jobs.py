"""Jobs on the disk, the lane that computes them, and what the page says about both."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ds4d.config import PRESETS
from ds4d.errors import UserError
from ds4d.run.events import Event
from page import outputs
from page.jobs import queue, service, worker
from page.jobs.queue import Queue
from page.jobs.store import EVENTS, Store, config_from
from page.limits import Limits

ROOT = Path(__file__).resolve().parents[3]
CONFIG = PRESETS["preview"]
# A worker that does what its job's clip says, without the seconds that torch takes to come.
STAND_IN = """
import json, os, sys, threading, time
folder = sys.stdin.readline().strip()
if not folder: sys.exit()
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
job = json.load(open(folder + "/job.json"))
what = open(f"{folder}/input/{job['clip']}").read()
events = open(folder + "/events.jsonl", "a", buffering=1)
if what == "die": os.kill(os.getpid(), 9)
if what == "deaf": time.sleep(60)
while what == "long" and not stop.is_set(): time.sleep(0.02)
end = {"end": "cancelled" if stop.is_set() else "done"}
if what == "fail": end = {"end": "failed", "sentence": "It has one frame.", "hint": "Film on."}
events.write(json.dumps({"at": 0, **end}) + "\\n")
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs", Limits(jobs_per_visitor=2, queue_length=3))


@pytest.fixture
def lane(store, monkeypatch):
    def stand_in():
        return subprocess.Popen([sys.executable, "-c", STAND_IN], stdin=subprocess.PIPE, text=True)

    monkeypatch.setattr(queue, "_new_worker", stand_in)
    monkeypatch.setattr(queue, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(queue, "LOOK_AFTER_ALL", 0.05)
    monkeypatch.setattr(queue, "GRACE", 0.3)
    return Queue(store)


def order(store, what: str = "done", visitor: str = "a"):
    clip = store.root.parent / f"{what}.mp4"
    clip.write_text(what)
    return store.create(clip, CONFIG, visitor)


def ended(store, job):
    deadline = time.monotonic() + 30
    while store.find(job.id).active:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return store.find(job.id)


def test_jobs_are_done_one_after_the_other(store, lane):
    first, second = order(store), order(store, "done", "b")
    lane.submit(first), lane.submit(second)
    lane.start()
    done = [ended(store, job) for job in (first, second)]
    assert [job.state for job in done] == ["done", "done"]
    assert done[0].ended <= done[1].started


def test_a_failed_job_keeps_its_words(store, lane):
    job = lane.submit(order(store, "fail"))
    lane.start()
    job = ended(store, job)
    assert (job.state, job.sentence, job.hint) == ("failed", "It has one frame.", "Film on.")


def test_a_killed_worker_is_one_plain_sentence_and_the_next_job_is_done(store, lane):
    killed, next_one = lane.submit(order(store, "die")), lane.submit(order(store))
    lane.start()
    job = ended(store, killed)
    assert job.state == "failed" and "memory" in job.sentence and job.hint
    assert ended(store, next_one).state == "done"


@pytest.mark.parametrize("what", ["long", "deaf"])
def test_cancelling_stops_also_a_worker_that_does_not_listen(store, lane, what):
    job = lane.submit(order(store, what))
    lane.start()
    while store.find(job.id).state != "running":
        time.sleep(0.02)
    lane.cancel(job)
    job = ended(store, job)
    assert job.state == "cancelled" and job.sentence == "Cancelled."


def test_who_waits_can_be_cancelled_and_knows_its_place(store, lane):
    running, waiting = lane.submit(order(store, "long")), lane.submit(order(store, visitor="b"))
    assert [job.id for job in lane.ahead(waiting)] == [running.id]
    assert 10 < lane.wait(waiting) < 3600  # nothing was measured here yet
    done = order(store, visitor="c")
    store.change(done, state="done", started=1000.0, ended=1090.0)
    assert lane.wait(waiting) == pytest.approx(90)
    assert lane.cancel(waiting).state == "cancelled"


def test_a_job_that_nobody_looks_at_is_stopped(store, lane):
    job = lane.submit(order(store, "long"))
    lane.limits = dataclasses.replace(lane.limits, abandon_minutes=0.02)
    lane.start()
    job = ended(store, job)
    assert job.state == "cancelled" and "nobody looked" in job.sentence


def test_after_a_restart_what_ran_is_stopped_and_what_waited_is_done(store, lane):
    ran, waited = order(store), lane.submit(order(store, visitor="b"))
    store.change(ran, state="running")
    lane.start()
    assert store.find(ran.id).state == "cancelled"
    assert "restarted" in store.find(ran.id).sentence
    assert ended(store, waited).state == "done"
    lane.submit(store.find(ran.id))  # it can go on
    assert ended(store, ran).state == "done"


def test_every_limit_is_a_sentence_with_a_hint(store, lane):
    lane.submit(order(store)), lane.submit(order(store))
    with pytest.raises(UserError, match="your runs") as third:
        lane.submit(order(store))
    lane.submit(order(store, visitor="b"))
    with pytest.raises(UserError, match="Too many runs") as fourth:
        lane.submit(order(store, visitor="c"))
    assert third.value.hint and fourth.value.hint
    with pytest.raises(UserError, match="no run at this address"):
        store.find("../../etc")


def test_a_full_disk_makes_room_by_the_oldest_that_are_finished(store, lane):
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
    old, new, at_work = (order(store, visitor=name) for name in "abc")
    store.change(old, created=time.time() - (store.limits.keep_hours + 1) * 3600)
    store.change(at_work, created=0.0, state="running")
    store.sweep()
    assert {job.id for job in store.all()} == {new.id, at_work.id}


def test_a_run_is_deleted_when_it_is_at_rest(store, lane):
    job = lane.submit(order(store))
    with pytest.raises(UserError, match="at work"):
        lane.forget(job)
    lane.forget(lane.cancel(job))
    assert not job.folder.exists()


def test_a_picture_can_be_fetched_for_a_while_after_newer_ones(store, monkeypatch):
    monkeypatch.setattr(worker, "PICTURES_KEPT", 1)
    live = order(store).folder / "live"
    recorder = worker.Recorder(live.parent)

    def kept_after(second: int) -> list[str]:
        monkeypatch.setattr(worker.time, "time_ns", lambda: second * 10**9)
        recorder.write(Event("fourd", second, 9, preview=np.zeros((8, 8, 3), np.uint8)))
        return sorted(path.name for path in live.iterdir())

    assert kept_after(1) == ["fourd-1000.jpg"]
    assert kept_after(2) == ["fourd-1000.jpg", "fourd-2000.jpg"]
    for path in live.iterdir():
        os.utime(path, (0, 0))  # much later
    assert kept_after(3) == ["fourd-3000.jpg"]
    recorder.close()


def test_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("DS4D_CLIP_MB", "50")
    monkeypatch.setenv("DS4D_QUEUE_LENGTH", "2")
    limits = Limits.here()
    assert (limits.clip_bytes, limits.queue_length) == (50_000_000, 2)
    assert limits.keep_hours == Limits().keep_hours


@pytest.mark.parametrize("preset", PRESETS)
def test_a_config_survives_the_disk(preset):
    config = PRESETS[preset]
    assert config_from(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_a_config_of_an_older_version_is_read():
    values = json.loads(json.dumps(dataclasses.asdict(PRESETS["standard"])))
    del values["fourd"]["tint_lr"]
    values["fourd"] |= {"warp_lr": [2e-4, 2e-5], "means_lr": 1e-3, "coarse_size": 128}
    fourd, default = config_from(values).fourd, PRESETS["preview"].fourd
    assert (fourd.warp_lr, fourd.tint_lr) == (default.warp_lr, default.tint_lr)
    assert fourd.means_lr == default.means_lr
    assert fourd.dynamic_iterations == PRESETS["standard"].fourd.dynamic_iterations


def computed(store, events, stopped=lambda: False):
    """What a page sees of a job whose pipeline the test gives."""
    job = order(store)
    worker.compute(job, events, stopped)
    view = outputs.View()
    view.read(job)
    return job, view.progress


def test_a_page_that_comes_later_sees_all_of_it(store):
    picture = np.full((40, 120, 3), 200, np.uint8)

    def events():
        yield Event("clip", 1, 1)
        yield Event("matting", 0, 2, "It touches the edge.", warning=True)
        for step in range(0, 100, 20):
            yield Event("fourd", step, 100, "all frames", picture, {"loss": 1.0, "psnr": 20.0})

    job, progress = computed(store, events)
    assert "It touches the edge." in progress.strip()
    assert len(progress.stages["fourd"].rows) == 5
    address = re.search(r'src="gradio_api/file=([^"?]+)', progress.live())[1]
    assert Path(address).stat().st_size and "20.0 dB" in progress.live()


def test_the_end_of_a_line_that_is_being_written_is_waited_for(store):
    job = order(store)
    line = json.dumps({"at": 1.0, "stage": "clip", "step": 1, "total": 1})
    (job.folder / EVENTS).write_text(line[:20])
    view = outputs.View()
    view.read(job)
    assert view.progress.stages["clip"].state == "waiting"
    (job.folder / EVENTS).write_text(line + "\n")
    view.read(job)
    assert view.progress.stages["clip"].state == "running"


def test_a_bug_shows_a_reference_that_the_log_has_too(store, caplog):
    def events():
        yield Event("clip", 0, 1)
        raise ZeroDivisionError("secret inner words")

    job, progress = computed(store, events)
    ending = queue.last_words(job)
    reference = re.search(r"reference (\w{8})", ending["sentence"])[1]
    assert reference in caplog.text and "secret inner words" in caplog.text
    assert "secret inner words" not in (job.folder / EVENTS).read_text()
    assert 'data-state="failed"' in progress.strip()


def test_stopping_closes_the_work(store):
    closed = []

    def events():
        try:
            while True:
                yield Event("clip", 0, 1)
        finally:
            closed.append(True)

    _, progress = computed(store, events, stopped=lambda: True)
    assert closed and progress.stages["clip"].state == "stopped"


def test_the_same_clip_goes_on_in_its_folder_and_another_does_not(store, lane, monkeypatch):
    monkeypatch.setattr(service, "STORE", store)
    monkeypatch.setattr(service, "QUEUE", lane)
    one, other = store.root.parent / "one.mp4", store.root.parent / "other.mp4"
    one.write_text("one"), other.write_text("other")
    rest = [None] * len(service.SETTINGS) + [None]
    first = service.order(str(one), "preview", 0, *rest, visitor="a")
    lane.cancel(first)
    again = service.order(str(one), "preview", 1, *rest, job=first.id, visitor="a")
    assert again.folder == first.folder and again.config.seed == 1
    shown = dict(zip(service.ORDER, service.settings_of(again), strict=True))
    assert (shown["seed"], shown["frames"]) == (1, CONFIG.clip.frames)  # who comes back sees them
    another = service.order(str(other), "preview", 0, *rest, job=first.id, visitor="a")
    assert another.folder != first.folder
    with pytest.raises(UserError, match="no clip"):
        service.order(None, "preview", 0, *rest)
    with pytest.raises(UserError, match="your runs"):
        service.order(str(one), "preview", 0, *rest, visitor="a")
    assert {job.id for job in store.all()} == {first.id, another.id}  # nothing is left of it


def test_the_page_is_laid_out_without_torch():
    """A Space that only shows its examples starts fast, and ZeroGPU sees no early CUDA."""
    code = (
        "import app, os, sys; assert app.demo and 'torch' not in sys.modules; "
        "assert os.environ['NUMBA_DISABLE_CUDA'] == '1'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300)
