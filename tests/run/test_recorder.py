"""What surrounds a stage: when it is made again, and what is kept of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ds4d.config import MachineConfig
from ds4d.run.engines import Engine
from ds4d.run.events import Event
from ds4d.run.recorder import Recorder
from ds4d.run.workspace import FINISH_FLAG, Workspace


class Chain:
    """Two stages that write a file each, and how often each was made."""

    def __init__(self, root):
        self.workspace = Workspace(root)
        self.made = {"clip": 0, "matting": 0}
        self.facts = {}

    def go(self, clip="a", margin=0.1, engine=None) -> list[Event]:
        recorder = Recorder(Workspace(self.workspace.root), MachineConfig())
        clip = recorder.run("clip", (clip,), (), ["clip"], self.maker("clip"))
        stages = [*clip]
        stages += recorder.run(
            "matting", (margin,), ("clip",), ["matting"], self.maker("matting"), engine
        )
        self.workspace.reload()
        return stages

    def maker(self, name):
        def make():
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


def test_what_a_stage_said_is_kept(tmp_path):
    chain = Chain(tmp_path)
    engine = Engine("classical", "no weights here", print)
    told = chain.go(engine=engine)
    assert "classical: no weights here" in [event.message for event in told]
    record = chain.workspace.record["stages"]["matting"]
    assert record["engine"] == "classical" and record["why"] == "no weights here"
    assert record["frames"] == 2 and record["warnings"] == ["this looks odd"]
    assert record["seconds"] >= 0 and record["peak_memory_mb"] > 10
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
    flag = tmp_path / FINISH_FLAG
    flag.parent.mkdir()
    flag.touch()
    chain.go()
    assert all(event.skipped for event in chain.go())  # good enough, still
    flag.unlink()
    assert not any(event.skipped for event in chain.go())  # now the rest is wanted
