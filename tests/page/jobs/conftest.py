"""Jobs whose worker is a stand-in that does what the text of their clip says."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from ds4d.presets import PRESETS
from page.jobs import queue as queue_module
from page.jobs.queue import Queue
from page.jobs.store import Job, Store
from page.limits import Limits

# Reads its job as the real worker does, without the seconds that importing torch takes.
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
if what == "read": os.kill(os.getpid(), 24)  # SIGXCPU
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
def queue(store, monkeypatch):
    def stand_in(lane):
        return subprocess.Popen([sys.executable, "-c", STAND_IN], stdin=subprocess.PIPE, text=True)

    monkeypatch.setattr(queue_module, "_new_worker", stand_in)
    monkeypatch.setattr(queue_module, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(queue_module, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(queue_module, "GRACE", 0.3)
    return Queue(store)


def order(store: Store, behavior: str = "done", visitor: str = "a") -> Job:
    """A new job; `behavior` is what its worker does: done, fail, die, read, long or deaf."""
    clip = store.root.parent / f"{behavior}.mp4"
    clip.write_text(behavior)
    return store.create(clip, PRESETS["preview"], visitor)


def ended(store: Store, job: Job) -> Job:
    """The job once it is no longer active."""
    deadline = time.monotonic() + 30
    while store.find(job.id).active:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return store.find(job.id)
