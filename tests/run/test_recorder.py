"""The recorder: stages that are made again or skipped, and the facts that are kept of them."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from ds4d.config import MachineConfig
from ds4d.run import early_stop
from ds4d.run.engines import Engine
from ds4d.run.events import Event
from ds4d.run.recorder import Recorder
from ds4d.run.workspace import Workspace


class Chain:
    """Two stages that write a file each, and how often each was made."""

    def __init__(self, root):
        self.workspace = Workspace(root, ours=True)
        self.made = {"clip": 0, "matting": 0}
        self.facts, self.chosen = {}, 0

    def choose(self, engine):
        self.chosen += 1
        return engine

    def go(self, clip="a", margin=0.1, engine=None, former=None, weights="") -> list[Event]:
        machine = MachineConfig(device="cpu", weights=weights)
        recorder = Recorder(Workspace(self.workspace.root, ours=True), machine)
        clip = recorder.run("clip", (clip,), (), ["clip"], self.maker("clip"))
        stages = [*clip]
        stages += recorder.run(
            "matting", (margin,), ("clip",), ["matting"], self.maker("matting"),
            None if engine is None else partial(self.choose, engine), former_inputs=former,
        )  # fmt: skip
        self.workspace = Workspace(self.workspace.root)
        return stages

    def maker(self, name):
        def make(*_):
            self.made[name] += 1
            yield Event(name, 0, 2, "begins", np.zeros((4, 4, 3), np.uint8), {"loss": 2.0})
            yield Event(name, 1, 2, "this looks odd", warning=True)
            yield Event(name, 2, 2, "", np.full((4, 4, 3), 255, np.uint8), {"loss": 1.0})
            (self.workspace / name).write_text("made")
            return {"frames": 2, **self.facts}

        return make


def test_only_what_a_change_reaches_is_made_again(tmp_path):
    chain = Chain(tmp_path)
    chain.go()
    assert chain.made == {"clip": 1, "matting": 1}
    assert [event.skipped for event in chain.go()] == [True, True]
    chain.go(margin=0.2)
    assert chain.made == {"clip": 1, "matting": 2}
    chain.go(clip="b", margin=0.2)
    assert chain.made == {"clip": 2, "matting": 3}
    chain.go(clip="b", margin=0.2, engine=Engine("other", "asked for", print))
    assert chain.made == {"clip": 2, "matting": 4}
    (tmp_path / "matting").unlink()
    chain.go(clip="b", margin=0.2, engine=Engine("other", "asked for", print))
    assert chain.made == {"clip": 2, "matting": 5}


def test_facts_warnings_and_metrics_of_a_stage_are_kept(tmp_path):
    chain = Chain(tmp_path)
    engine = Engine("classical", "no weights here", print)
    events = chain.go(engine=engine)
    assert "classical: no weights here" in [event.message for event in events]
    record = chain.workspace.record["stages"]["matting"]
    assert record["engine"] == "classical" and record["why"] == "no weights here"
    assert record["frames"] == 2 and record["warnings"] == ["this looks odd"]
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 10
    assert record["processor_seconds"] >= 0
    rows = json.loads((tmp_path / "previews/matting.json").read_text())
    assert rows == [{"step": 0, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    assert (tmp_path / "previews/matting.jpg").exists()
    assert '"classical"' in (tmp_path / "log.txt").read_text()


def test_a_stage_that_breaks_off_is_not_done(tmp_path):
    chain = Chain(tmp_path)
    chain.go()
    recorder = Recorder(chain.workspace, MachineConfig())
    half_way = recorder.run("clip", ("c",), (), ["clip"], chain.maker("clip"))
    next(half_way)
    half_way.close()
    assert "clip" not in Workspace(tmp_path).record["stages"]

    def fails():
        yield Event("clip")
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        list(recorder.run("clip", ("c",), (), ["clip"], fails))
    assert "clip" not in Workspace(tmp_path).record["stages"]


def test_a_stage_that_was_stopped_early_is_done_while_that_is_asked_for(tmp_path):
    chain = Chain(tmp_path)
    chain.facts = {"stopped_at_step": 40}
    early_stop.request(tmp_path)
    chain.go()
    assert all(event.skipped for event in chain.go())  # good enough, still
    early_stop.withdraw(tmp_path)
    assert not any(event.skipped for event in chain.go())  # now the rest is wanted


def test_a_current_stage_keeps_its_engine_without_choosing_again(tmp_path):
    chain = Chain(tmp_path)
    chain.go(engine=Engine("classical", "the hub cannot be reached", print))
    assert chain.chosen == 1
    assert all(event.skipped for event in chain.go(engine=Engine("rembg", "it can", print)))
    assert chain.chosen == 1


def test_an_engine_is_chosen_anew_when_the_conditions_change(tmp_path):
    chain, folder = Chain(tmp_path / "run"), tmp_path / "weights"
    folder.mkdir()
    embedded, learned = (Engine(name, "auto", print) for name in ("classical", "rembg"))
    chain.go(engine=embedded, weights=str(folder))
    chain.go(engine=embedded, weights=str(folder))
    assert chain.made["matting"] == 1 and chain.chosen == 1
    (folder / "model.onnx").write_bytes(b"weights")
    chain.go(engine=learned, weights=str(folder))
    assert chain.made["matting"] == 2 and chain.chosen == 2
    assert chain.workspace.record["stages"]["matting"]["engine"] == "rembg"


def test_runs_of_former_versions_are_recognized_and_stay_so(tmp_path):
    chain = Chain(tmp_path)
    chain.go(margin=0.1)  # as an earlier version stated its inputs
    assert all(event.skipped for event in chain.go(margin="0.10", former=(0.1,)))
    assert all(event.skipped for event in chain.go(margin="0.10", former=(0.1,)))
    assert chain.made == {"clip": 1, "matting": 1}
    chain.go(margin="0.20", former=(0.2,))
    assert chain.made == {"clip": 1, "matting": 2}


def test_an_engine_that_did_not_name_its_weights_is_recognized_until_they_change(tmp_path):
    chain, folder = Chain(tmp_path / "run"), tmp_path / "weights"
    folder.mkdir()

    def made(*made_from, **options) -> int:
        """Number of times that the stage was made; the engine is chosen anew."""
        (folder / "file").write_bytes(bytes(1 + len(list(folder.iterdir())) + chain.chosen))
        chain.go(engine=Engine("inflate", "auto", print, made_from, **options), weights=str(folder))
        return chain.made["matting"]

    assert made() == 1
    assert made("weights a", formerly_from=()) == 1
    assert made("weights a") == 2 and made("weights a") == 2 and made("weights b") == 3
