"""A batch makes the same results as single runs, names what failed, and goes on where it was."""

import contextlib
import io
import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from ds4d import pipeline
from ds4d.batch import cluster, progress, sheet, tasks
from ds4d.batch.cluster import Cluster
from ds4d.batch.ledger import Entry
from ds4d.batch.orders import Order
from ds4d.batch.runs import Runs
from ds4d.cli import main
from ds4d.config import Config, MachineConfig
from ds4d.errors import UserError
from ds4d.run.structure import structure
from ds4d.run.workspace import Workspace
from tests.paths import ROOT

SHORT = ["--clip.frames", "3", "--fourd.static-iterations", "4", "--fourd.dynamic-iterations", "8"]
CPU = Cluster(cpus=2, gpus=0, gpu_gb=0, node_cpus=2, node_gb=10, local=True)
GPUS = Cluster(cpus=32, gpus=4, gpu_gb=140, node_cpus=16, node_gb=200, local=False)


@pytest.mark.slow
def test_a_batch_from_two_clips_to_its_sheet(tmp_path, tiny, capsys):
    clips, settings = tmp_path / "clips", [*tiny, *SHORT, "--seed", "3"]
    clips.mkdir()
    shutil.copy(ROOT / "tests/inputs/ten.gif", clips / "ten.gif")
    (clips / "bad.mp4").write_text("no clip")
    out = tmp_path / "runs"
    command = ["batch", str(clips), "--out", str(out), *settings]
    assert main(command) == 1  # one of them failed
    printed = capsys.readouterr().err
    assert "bad: clip: bad.mp4 is not a video that can be read." in printed
    assert "1 of 2 clips done, 1 failed" in printed and "Traceback" not in printed
    page = (out / "index.html").read_text()
    assert page.index("bad.mp4 is not a video") < page.index("ten/videos/orbit.mp4")
    assert json.loads((out / "batch.json").read_text())["clips"]["ten"]["seconds"]["fourd"] > 0

    record = json.loads((out / "ten/run.json").read_text())
    single, config = tmp_path / "single", structure(record["config"], Config)
    threads = torch.get_num_threads()
    try:
        tasks.set_threads(1)  # as in the batch: sums of floats depend on it
        list(pipeline.generate(clips / "ten.gif", Workspace(single), config, until="fourd"))
    finally:
        tasks.set_threads(threads)
    assert differing(out / "ten", single) == []

    capsys.readouterr()
    assert main(command) == 1  # nothing is left, so no Ray is started
    assert "--retry-failed" in capsys.readouterr().err


def differing(run: Path, other: Path) -> list[str]:
    """Names of the files and arrays of a run up to the asset that another run has otherwise."""
    images = [path.relative_to(other) for path in sorted(other.glob("*/**/*.png"))]
    names = [
        str(name) for name in images if (run / name).read_bytes() != (other / name).read_bytes()
    ]
    for file in ("features.safetensors", "fourd.safetensors"):
        made, expected = load_file(run / file), load_file(other / file)
        names += [f"{file}: {name}" for name in expected if (made[name] != expected[name]).any()]
    return names


def test_without_ray_one_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["batch", str(ROOT / "tests/inputs/ten.gif"), "--out", str(tmp_path)]) == 1
    assert "requirements-cluster.txt" in capsys.readouterr().err


def test_the_dashboard_is_told(tmp_path, monkeypatch, capsys):
    seen = contextlib.nullcontext(replace(CPU, dashboard="http://127.0.0.1:8265"))
    monkeypatch.setattr(cluster, "connected", lambda address, dashboard: seen)
    monkeypatch.setattr("ds4d.batch.work._compute", lambda *arguments: None)
    main(["batch", str(ROOT / "tests/inputs/ten.gif"), "--out", str(tmp_path), "--dashboard"])
    assert "http://127.0.0.1:8265" in capsys.readouterr().err


def test_two_batches_do_not_work_in_one_folder(tmp_path):
    with Runs(str(tmp_path)).lock(), pytest.raises(UserError, match="Another batch"):
        with Runs(str(tmp_path)).lock():
            pass


def test_gpus_do_not_wait_for_reading_and_exports():
    config = Config()
    for step in tasks.STEPS:
        asked = GPUS.resources(step, config, 1)
        assert ("num_gpus" in asked) == (step in cluster.ON_GPU), step
        assert GPUS.machine(step, config)["chosen_on"] == "cuda"
        assert "num_gpus" not in CPU.resources(step, config, 1)
        assert CPU.machine(step, config) == {"device": "cpu"}
    assert GPUS.gpu_share("features") < GPUS.gpu_share("multiview") < 0.1
    assert replace(GPUS, gpu_gb=8).gpu_share("multiview") == 1.0
    forced = replace(config, machine=MachineConfig(device="cpu"))
    assert "num_gpus" not in GPUS.resources("fourd", forced, 1)


def test_small_gpus_run_with_low_memory_on_every_machine():
    small = replace(GPUS, gpu_gb=15)
    assert {small.machine(step, Config())["low_memory"] for step in tasks.STEPS} == {True}


def test_threads_and_clips_at_a_time():
    assert (CPU.threads(500), CPU.threads(1), CPU.clips_at_once(1)) == (1, 2, 2)
    assert GPUS.clips_at_once(1) > 32
    assert CPU.resources("export", Config(), 1)["memory"] < 10e9  # of what the machine has


def test_the_line_says_what_a_person_waits_for():
    shown = progress.Progress(10, 2, out=io.StringIO())
    shown.end("a", "", "", "")
    shown.end("b", "matting", "Nothing moves.", "Take another clip.")
    line = shown.text(Counter({"fourd": 2, "clip": 1}), 1, seconds=100.0)
    assert line == (
        "3 of 10 clips · 1 failed · clip 1, fourd 2 · 1 stages repeated · 36 clips an hour · "
        "10 min left"
    )
    assert shown.out.getvalue() == "b: matting: Nothing moves. Take another clip.\n"


def test_the_sheet_shows_failures_first_and_escapes_names(tmp_path):
    runs = Runs(str(tmp_path))
    sheet.write(runs, {
        "a&b": Entry("x/a&b.mp4", state="done", seconds={"fourd": 60.0}, scores={"psnr_fg": 21.0}),
        "bad": Entry("bad.mp4", state="failed", stage="clip", sentence="<b>No clip.</b>"),
        "later": Entry("later.mp4"),
    })  # fmt: skip
    page = (tmp_path / "index.html").read_text()
    assert page.index("&lt;b&gt;No clip") < page.index("a%26b/videos/orbit.mp4")
    assert "21 dB PSNR-FG" in page and "1 min" in page and "1 not computed yet" in page


def test_errors_become_outcomes(tmp_path, monkeypatch):
    runs, order = Runs(str(tmp_path)), Order("a", str(ROOT / "tests/inputs/ten.gif"), Config())

    def fails(error):
        def work(*arguments):
            raise error

        monkeypatch.setattr(tasks, "_compute", work)
        return tasks.compute(order, runs, "clip", 1)

    assert fails(UserError("No.", "Do.")).state == "failed"
    assert fails(OSError(28, "No space left on device")).state == "again"
    assert fails(MemoryError()).state == "again"
    outcome = fails(ZeroDivisionError("division by zero"))
    assert outcome.state == "failed" and "ZeroDivisionError" in outcome.sentence
    assert "Traceback" in (tmp_path / "a/log.txt").read_text()
