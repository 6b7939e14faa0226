"""Compilation ahead: a later process compiles nothing, and the work ends when a job comes."""

from __future__ import annotations

import subprocess
import sys

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


def test_a_process_after_it_compiles_nothing(case, tmp_path):
    warm_up.warm_up()
    size = ["--clip.size", "64", "--fourd.image-size", "64", "--videos.size", "64"]
    steps = ["--fourd.static-iterations", "3", "--fourd.dynamic-iterations", "3"]
    few = ["--videos.seconds", "0.5", "--export.triangles", "2000", "--export.texture", "64"]
    arguments = ["generate", str(case), "--out", str(tmp_path / "run"), *size, *steps, *few]
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
