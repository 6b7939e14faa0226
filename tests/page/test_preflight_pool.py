"""Preflight reports on uploads: in processes with limits, one of a visitor at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import psutil
import pytest

from ds4d.config import ClipConfig
from ds4d.errors import UserError
from page.limits import Limits
from page.preflight import pool as pool_module
from page.preflight import process
from page.preflight.pool import LEFT, PreflightPool
from tests.paths import ROOT

# Stand-ins for the process: what each does with its order.
ANSWERS = """
import json, os, sys, time
order = json.loads(sys.stdin.readline())
what = open(order["clip"]).read()
if what == "long": time.sleep(600)
if what == "die": os.kill(os.getpid(), 11)
if what == "child": os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "600"); time.sleep(600)
print(json.dumps({"sentence": what, "hint": ""}), flush=True)
"""


@pytest.fixture
def pool(monkeypatch):
    groups = set()  # of processes; each leads its own

    def started():
        process = subprocess.Popen(
            [sys.executable, "-c", ANSWERS], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, process_group=0,
        )  # fmt: skip
        groups.add(process.pid)
        return process

    monkeypatch.setattr(pool_module, "_started", started)
    made = PreflightPool(replace(Limits(), preflight_seconds=30))
    yield made
    made.close()
    assert not groups & {group for process in psutil.process_iter() if (group := _group(process))}


def _group(process: psutil.Process) -> int | None:
    """The process group of a running process."""
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return os.getpgid(process.pid) if alive else None
    except (psutil.Error, ProcessLookupError):
        return None


def clip(tmp_path, what: str, name: str = "") -> str:
    path = tmp_path / f"{name or what}.mp4"
    path.write_text(what)
    return str(path)


def sentence(pool, file, visitor="a", tab="1") -> str:
    with pytest.raises(UserError) as refused:
        pool.report(file, ClipConfig(), visitor, tab)
    return refused.value.sentence


def begun(pool, *arguments) -> tuple[threading.Thread, list]:
    """A report in a thread of its own, once its process runs, and what it raised."""
    raised = []

    def run():
        try:
            pool.report(*arguments)
        except UserError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 20
    while not any(place.process for place in pool.running.values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return thread, raised


def test_an_answer_is_kept_and_another_is_asked_for_a_changed_file(pool, tmp_path):
    file = clip(tmp_path, "first")
    assert sentence(pool, file) == sentence(pool, file) == "first"
    clip(tmp_path, "second", "first")
    os.utime(file, ns=(1, 1))
    assert sentence(pool, file) == "second"


def test_a_file_that_kills_its_process_is_a_sentence(pool, tmp_path):
    assert "cannot be looked at" in sentence(pool, clip(tmp_path, "die"))


def test_a_report_that_takes_too_long_ends_with_all_that_it_started(pool, tmp_path):
    pool.limits = replace(pool.limits, preflight_seconds=1)
    assert "takes too long" in sentence(pool, clip(tmp_path, "child"))


def test_another_clip_of_the_same_tab_and_leaving_end_a_report(pool, tmp_path):
    long = clip(tmp_path, "long")
    thread, raised = begun(pool, long, ClipConfig(), "a", "1")
    assert sentence(pool, clip(tmp_path, "next"), "a", "1") == "next"
    thread.join(20)
    assert raised == [LEFT]
    thread, raised = begun(pool, long, ClipConfig(), "a", "1")
    pool.cancel("1")
    thread.join(20)
    assert raised == [LEFT] and not pool.running


def test_a_visitor_has_one_report_and_others_do_not_wait_for_it(pool, tmp_path):
    pool.limits = replace(pool.limits, preflight_seconds=3)
    thread, _ = begun(pool, clip(tmp_path, "long"), ClipConfig(), "a", "1")
    assert sentence(pool, clip(tmp_path, "other"), "b", "2") == "other"
    pool.limits = replace(pool.limits, preflight_seconds=0.2)
    assert "Many clips" in sentence(pool, clip(tmp_path, "mine"), "a", "3")
    thread.join(20)


def test_those_for_whom_no_place_comes_soon_are_told_at_once(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "AT_ONCE", 1)
    long = clip(tmp_path, "long")
    thread, _ = begun(pool, long, ClipConfig(), "first", "0")
    others = [
        threading.Thread(target=sentence, args=(pool, long, f"other {number}", f"{number}"))
        for number in range(1, 1 + pool_module.WAITING)
    ]
    for other in others:
        other.start()
    while pool.waiting.total() < len(others):
        time.sleep(0.01)
    started = time.monotonic()
    assert "Many clips" in sentence(pool, long, "last", "9")
    assert time.monotonic() - started < pool.limits.preflight_seconds / 2
    everybody = (thread, *others)
    while any(each.is_alive() for each in everybody):  # they get the place in any order
        for tab in list(pool.running):
            pool.cancel(tab)
        time.sleep(0.01)


def test_memory_and_time_are_limited_by_the_system(tmp_path):
    """The real process, with an order for a clip and limits that are too small for it."""
    file = clip(tmp_path, "no video")
    pool = PreflightPool(replace(Limits(), preflight_gb=0.05))
    try:
        assert "cannot be looked at" in sentence(pool, file) or "memory" in sentence(pool, file)
    finally:
        pool.close()


def test_reports_come_after_the_page_and_its_runs():
    """In the page's session: Linux compares niceness of processes of one session alone."""
    begun = pool_module._started()
    try:
        assert os.getsid(begun.pid) == os.getsid(0) and os.getpgid(begun.pid) == begun.pid
        deadline = time.monotonic() + 60
        while psutil.Process(begun.pid).nice() == os.nice(0) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert psutil.Process(begun.pid).nice() == min(19, os.nice(0) + process.NICE)
    finally:
        pool_module._kill(begun)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_without_unpacking_it():
    found = process.answer(ROOT / "tests/inputs/bomb1000.gif", asdict(ClipConfig()))
    assert "lasts 100 s" in found["sentence"] and found["hint"]
    longer = process.answer(
        ROOT / "tests/inputs/bomb1000.gif", asdict(ClipConfig(max_seconds=1000.0))
    )
    assert "unpacks to too much" in longer["sentence"]
