"""Runs in object stores are read, written whole or not at all, and resumed."""

import json
from pathlib import Path
from types import SimpleNamespace

import fsspec
import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError

from ds4d.batch.hub import HubRuns
from ds4d.batch.ledger import Ledger
from ds4d.batch.orders import Order, collect
from ds4d.batch.places import open_runs
from ds4d.batch.runs import Runs
from ds4d.batch.stores import ObjectRuns, local_clip
from ds4d.batch.tasks import compute
from ds4d.config import ClipConfig, Config
from ds4d.errors import UserError
from ds4d.run.workspace import Workspace
from tests.paths import ROOT

CLIP = ROOT / "tests/inputs/ten.gif"


@pytest.fixture
def runs():
    """Runs in an empty store in memory."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    return open_runs("memory://bucket/runs")


def names(runs: ObjectRuns) -> set[str]:
    """Names of all objects below the address, without the notes of the run folders."""
    root = runs._path("")
    found = {name.removeprefix(root) for name in runs._files().find(root)}
    return {name for name in found if "/.ds4d/" not in name}


def write(runs: ObjectRuns, key: str, *files: str, fails: bool = False) -> None:
    """A stage that writes files, as a folder, under a key."""
    with runs.run("a") as folder:
        workspace = Workspace(folder)
        with workspace.lock():
            workspace.forget("clip")
            with workspace.replacing("clip") as path:
                path.mkdir()
                for name in files:
                    (path / name).write_text(key)
            if fails:
                raise UserError("No.")
            workspace.finish("clip", key, ["clip"])


def test_a_run_goes_on_where_it_was(runs):
    write(runs, "one", "x", "y")
    with runs.run("a") as folder:
        assert Workspace(folder).finished("clip")["key"] == "one"
    write(runs, "two", "y")
    assert names(runs) == {"a/clip/y", "a/run.json", "a/log.txt"} - {"a/log.txt"}
    assert runs.read("a/clip/y") == b"two"


def test_a_stage_in_the_record_is_whole_at_every_moment(runs, monkeypatch):
    write(runs, "one", "x", "y")
    seen, upload = [], ObjectRuns.upload

    def watched(self, files):
        for name, file in files.items():  # one after another, as a store does it
            upload(self, {name: file})
            record = json.loads(self.read("a/run.json"))["stages"].get("clip")
            texts = [self.read(f"a/clip/{part}") for part in ("x", "y")]
            seen.append((record and record["key"], texts))

    monkeypatch.setattr(ObjectRuns, "upload", watched)
    write(runs, "two", "x", "y")
    for key, texts in seen:
        assert key is None or texts == [key.encode()] * 2
    assert seen[-1][0] == "two" and any(key is None for key, _ in seen)


def test_a_stage_that_fails_is_not_in_the_record(runs):
    write(runs, "one", "x")
    with pytest.raises(UserError):
        write(runs, "two", "x", fails=True)
    assert json.loads(runs.read("a/run.json"))["stages"] == {}


def test_a_stage_of_the_pipeline_is_computed_once(runs):
    order = Order("a", str(CLIP), Config(clip=ClipConfig(frames=3)))
    first, again = (compute(order, runs, "clip", 1) for _ in range(2))
    assert first.state == again.state == "done" and first.record == again.record
    assert "a/clip/0002.png" in names(runs)


def test_checkpoints_are_saved_while_a_stage_is_at_work(runs, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/latest.safetensors").write_text("1")
    (tmp_path / "other").touch()
    runs.keep("a", tmp_path)
    (tmp_path / "checkpoints/latest.safetensors").write_text("2")
    runs.keep("a", tmp_path)  # too soon for another upload
    assert names(runs) == {"a/checkpoints/latest.safetensors"}
    assert runs.read("a/checkpoints/latest.safetensors") == b"1"


def test_ledger_and_clips_may_lie_there(runs):
    runs._files().pipe_file("/bucket/clips/fox.gif", CLIP.read_bytes())
    runs._files().pipe_file("/bucket/clips/list.txt", b"fox.gif\n")
    for argument in ("fox.gif", "*.gif", "list.txt"):
        (order,) = collect((f"memory://bucket/clips/{argument}",), Config(), {})
        assert order.source.endswith("bucket/clips/fox.gif")
    for argument in ("x*.gif", "no.txt"):
        with pytest.raises(UserError):
            collect((f"memory://bucket/clips/{argument}",), Config(), {})
    Ledger(runs).open([order], retry_failed=False)
    assert Ledger(runs).names() == {order.source: "fox"}
    with local_clip(order) as clip:
        assert clip.name == "fox.gif" and clip.read_bytes() == CLIP.read_bytes()


def test_names_that_lead_elsewhere_are_refused(runs):
    runs._files().store["/bucket/runs/a/../../evil"] = runs._files().open("/x", "wb")
    with pytest.raises(UserError, match="lead out"), runs.run("a"):
        pass


def test_addresses():
    assert type(open_runs("file:///tmp/runs")) is Runs
    hub = open_runs("hf://datasets/ann/clips/today")
    assert (hub.kind, hub.repo, hub.inside) == ("dataset", "ann/clips", "today")
    assert open_runs("hf://ann/clips").kind == "model"
    with pytest.raises(UserError, match="names no repository"):
        open_runs("hf://datasets/ann")
    with pytest.raises((UserError, OSError), match="nothing://x"), open_runs("nothing://x").lock():
        pass


def test_a_stage_is_one_commit_on_the_hub(monkeypatch):
    commits, answers = [], [409, None]

    class Api:
        def create_commit(self, repo, operations, commit_message, repo_type):
            if status := answers.pop(0):
                raise HfHubHTTPError("busy", response=SimpleNamespace(
                    status_code=status, headers={}, request=None, text=""
                ))  # fmt: skip
            commits.append((repo, repo_type, {op.path_in_repo for op in operations}))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(HubRuns, "pull", lambda *arguments: None)
    write(HubRuns("hf://datasets/ann/clips/today"), "one", "x")
    (commit,) = commits
    assert commit[:2] == ("ann/clips", "dataset")
    assert {"today/a/clip/x", "today/a/run.json"} <= commit[2]


def test_a_folder_has_the_same_interface(tmp_path: Path):
    runs = Runs(str(tmp_path))
    runs.write("index.html", b"1")
    assert runs.read("index.html") == b"1" and runs.read("other") is None
