"""The queue: one job after the other, whatever happens to their workers."""

from __future__ import annotations

import dataclasses
import time

import pytest

from ds4d.errors import UserError
from tests.page.jobs.conftest import ended, order


def test_jobs_are_done_one_after_the_other(store, queue):
    first, second = order(store), order(store, "done", "b")
    queue.submit(first), queue.submit(second)
    queue.start()
    done = [ended(store, job) for job in (first, second)]
    assert [job.state for job in done] == ["done", "done"]
    assert done[0].ended <= done[1].started


def test_a_failed_job_keeps_its_reason(store, queue):
    job = queue.submit(order(store, "fail"))
    queue.start()
    job = ended(store, job)
    assert (job.state, job.sentence, job.hint) == ("failed", "It has one frame.", "Film on.")


def test_a_killed_worker_is_one_plain_sentence_and_the_next_job_is_done(store, queue):
    killed, next_one = queue.submit(order(store, "die")), queue.submit(order(store))
    queue.start()
    job = ended(store, killed)
    assert job.state == "failed" and "memory" in job.sentence and job.hint
    assert ended(store, next_one).state == "done"


def test_a_clip_that_takes_too_long_to_read_is_named_as_the_reason(store, queue):
    job = queue.submit(order(store, "read"))
    queue.start()
    job = ended(store, job)
    assert job.state == "failed" and "took too long" in job.sentence and job.hint


@pytest.mark.parametrize("behavior", ["long", "deaf"])
def test_cancelling_stops_even_a_worker_that_does_not_react(store, queue, behavior):
    job = queue.submit(order(store, behavior))
    queue.start()
    while store.find(job.id).state != "running":
        time.sleep(0.02)
    queue.cancel(job)
    job = ended(store, job)
    assert job.state == "cancelled" and job.sentence == "Cancelled."


def test_a_waiting_job_knows_its_place_and_can_be_cancelled(store, queue):
    running, waiting = queue.submit(order(store, "long")), queue.submit(order(store, visitor="b"))
    assert [job.id for job in queue.ahead(waiting)] == [running.id]
    assert 10 < queue.wait_seconds(waiting) < 3600  # a model: no job has finished yet
    done = order(store, visitor="c")
    store.change(done, state="done", started=1000.0, ended=1090.0)
    assert queue.wait_seconds(waiting) == pytest.approx(90)
    assert queue.cancel(waiting).state == "cancelled"


def test_an_abandoned_job_is_stopped(store, queue):
    job = queue.submit(order(store, "long"))
    queue.limits = dataclasses.replace(queue.limits, abandon_minutes=0.02)
    queue.start()
    job = ended(store, job)
    assert job.state == "cancelled" and "nobody had this run open" in job.sentence


def test_after_a_restart_what_ran_is_stopped_and_what_waited_is_done(store, queue):
    ran, waited = order(store), queue.submit(order(store, visitor="b"))
    store.change(ran, state="running")
    queue.start()
    assert store.find(ran.id).state == "cancelled"
    assert "restarted" in store.find(ran.id).sentence
    assert ended(store, waited).state == "done"
    queue.submit(store.find(ran.id))  # it can be resumed
    assert ended(store, ran).state == "done"


def test_every_limit_is_a_sentence_with_a_hint(store, queue):
    queue.submit(order(store)), queue.submit(order(store))
    with pytest.raises(UserError, match="your runs") as third:
        queue.submit(order(store))
    queue.submit(order(store, visitor="b"))
    with pytest.raises(UserError, match="Too many runs") as fourth:
        queue.submit(order(store, visitor="c"))
    assert third.value.hint and fourth.value.hint
    with pytest.raises(UserError, match="no run at this address"):
        store.find("../../etc")


def test_only_an_inactive_run_can_be_deleted(store, queue):
    job = queue.submit(order(store))
    with pytest.raises(UserError, match="in progress"):
        queue.delete(job)
    queue.delete(queue.cancel(job))
    assert not job.folder.exists()
