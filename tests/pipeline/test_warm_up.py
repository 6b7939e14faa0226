"""Compilation ahead: a later process compiles nothing, and the work ends when a job comes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ds4d.kernels.numba import cache
from ds4d.pipeline import warm_up

COUNT = """
import numba.core.event as event
recorded = event.RecordingListener()
event.register("numba:compile", recorded)
from ds4d import cli
assert cli.main({arguments}) == 0
print([str(e.data["dispatcher"]) for _, e in recorded.buffer if e.is_start])
"""


@pytest.mark.slow
def test_a_process_after_it_compiles_nothing(case, tmp_path, tiny):
    warm_up.warm_up()
    changed = {"--fourd.plane-size", "--fourd.plane-width", "--fourd.dynamic-iterations"}
    pairs = zip(tiny[::2], tiny[1::2], strict=True)
    arguments = [word for pair in pairs if pair[0] not in changed for word in pair]
    steps = ["--fourd.static-iterations", "3", "--fourd.dynamic-iterations", "3"]
    arguments = ["generate", str(case), "--out", str(tmp_path / "run"), *arguments, *steps]
    run = subprocess.run(
        [sys.executable, "-c", COUNT.format(arguments=arguments)], capture_output=True, text=True
    )
    assert run.stdout.splitlines()[-1] == "[]", run.stdout + run.stderr


def test_it_stops_when_a_job_comes_and_begins_again(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    events = []
    monkeypatch.setattr(warm_up, "generate", lambda *_: (events.append(n) or n for n in range(9)))
    warm_up.warm_up(stopped=lambda: len(events) == 2)
    assert events == [0, 1] and not list(tmp_path.iterdir())
    warm_up.warm_up()
    warm_up.warm_up()  # is done already
    assert events == [0, 1, *range(9)]
