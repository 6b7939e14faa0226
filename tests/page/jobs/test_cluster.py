"""Jobs on a Ray cluster: several at a time, with the same words for whatever happens to them."""

from __future__ import annotations

import os
import time

import pytest

from ds4d.batch import cluster
from ds4d.errors import UserError
from page.jobs import cluster as lane_module
from page.jobs import queue as queue_module
from page.jobs.cluster import ClusterLane
from page.jobs.queue import Queue
from tests.page.jobs.conftest import ended, order


def stand_in(folder: str, stage: str, machine: dict, threads: int) -> bool:
    """A stage that does what the text of the clip says, without the seconds that torch takes."""
    import json
    import os
    import time

    job = json.load(open(f"{folder}/job.json"))
    what = open(f"{folder}/input/{job['clip']}").read()

    def end(state: str, **reason: str) -> bool:
        with open(f"{folder}/events.jsonl", "a") as log:
            log.write(json.dumps({"at": 0, "end": state, **reason}) + "\n")
        return True

    with open(f"{folder}/stages", "a") as stages:
        stages.write(f"{stage} ")
    if what == "die" or what == "once" and not os.path.exists(f"{folder}/died"):
        open(f"{folder}/died", "w").close()
        os.kill(os.getpid(), 9)
    while what in ("long", "deaf"):
        time.sleep(0.02)
        if what == "long" and os.path.exists(f"{folder}/stop"):
            return end("cancelled")
    if what == "fail":
        return end("failed", sentence="It has one frame.", hint="Film on.")
    if what == "slow":
        time.sleep(0.5)
    return stage == "export" and end("done")


@pytest.fixture(scope="module")
def lane():
    import ray

    with cluster.connected("", dashboard=False) as machines:
        made = ClusterLane(machines)
        made.threads, made.task = 1, ray.remote(stand_in)
        yield made


@pytest.fixture
def queue(store, lane, monkeypatch):
    monkeypatch.setattr(queue_module, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(lane_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(lane_module, "GRACE", 0.5)
    made = Queue(store)
    made.start(cluster=lane)
    return made


def test_as_many_jobs_at_a_time_as_the_cluster_holds(store, queue, lane):
    jobs = [queue.submit(order(store, "slow", visitor)) for visitor in "ab"]
    done = [ended(store, job) for job in jobs]
    assert [job.state for job in done] == ["done", "done"]
    together = done[0].started < done[1].ended and done[1].started < done[0].ended
    assert together or lane.slots() == 1
    stages = (jobs[0].folder / "stages").read_text().split()
    assert stages[0] == "clip" and stages[-1] == "export" and len(stages) == 8


def test_a_lost_process_only_repeats_its_stage(store, queue):
    job = ended(store, queue.submit(order(store, "once")))
    assert job.state == "done"
    assert (job.folder / "stages").read_text().split()[:3] == ["clip", "clip", "matting"]


def test_what_cannot_be_done_is_one_sentence(store, queue):
    killed, failed = (queue.submit(order(store, what)) for what in ("die", "fail"))
    job = ended(store, killed)
    assert job.state == "failed" and "memory" in job.sentence
    assert ended(store, failed).sentence == "It has one frame."


@pytest.mark.parametrize("behavior", ["long", "deaf"])
def test_cancelling_stops_a_task(store, queue, behavior):
    job = queue.submit(order(store, behavior))
    while not (job.folder / "stages").exists():
        time.sleep(0.02)
    queue.cancel(job)
    job = ended(store, job)
    assert job.state == "cancelled" and job.sentence == "Cancelled."


def test_two_pages_do_not_serve_the_same_jobs(store, monkeypatch):
    monkeypatch.setattr("page.jobs.store.TAKE_OVER_SECONDS", 0.3)
    os.makedirs(store.root, exist_ok=True)
    first = store.claim()
    with pytest.raises(UserError, match="Another page"):
        store.claim()
    first.close()
    store.claim().close()
