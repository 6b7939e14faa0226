"""Artifacts are written as a whole, nothing of anybody else's is touched, one process writes at a
time, and content keys cover everything that decides an artifact."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from ds4d.config import ClipConfig
from ds4d.errors import UserError
from ds4d.presets import PRESETS
from ds4d.run import made
from ds4d.run.workspace import Workspace, content_key, source_files
from tests.paths import ROOT


def names(folder) -> set[str]:
    """Names in a run folder, without the program's own notes."""
    return {path.name for path in folder.iterdir()} - {made.OWN}


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_block_that_fails_leaves_the_old_artifact_and_no_rest(tmp_path):
    workspace = Workspace(tmp_path)
    with workspace.replacing("mesh.glb") as path:
        path.write_text("old")
    with pytest.raises(RuntimeError):
        with workspace.replacing("mesh.glb") as path:
            path.write_text("half")
            raise RuntimeError
    assert (tmp_path / "mesh.glb").read_text() == "old"
    assert names(tmp_path) == {"mesh.glb"}


def test_a_folder_is_replaced_whole(tmp_path):
    workspace = Workspace(tmp_path)
    for names in (["a", "b"], ["c"]):
        with workspace.replacing("frames") as folder:
            folder.mkdir()
            for name in names:
                (folder / name).touch()
    assert [p.name for p in (tmp_path / "frames").iterdir()] == ["c"]


def test_what_a_killed_process_left_half_written_is_swept(tmp_path):
    code = "import os, sys; from ds4d.run.workspace import Workspace; w = Workspace(sys.argv[1])\n"
    code += "with w.lock(), w.replacing('frames') as path: path.mkdir(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT).returncode == 9
    assert any(".partial-" in name for name in names(tmp_path))
    (tmp_path / "holiday.partial-0123abcd.txt").touch()
    with Workspace(tmp_path).lock():
        assert names(tmp_path) == {"holiday.partial-0123abcd.txt"}


def test_a_stage_is_finished_only_while_its_artifacts_are_there(tmp_path):
    workspace = Workspace(tmp_path)
    (tmp_path / "points.ply").touch()
    workspace.finish("mesh", "key", ["points.ply"])
    assert Workspace(tmp_path).finished("mesh")["key"] == "key"
    assert workspace.finished("clip") is None
    (tmp_path / "points.ply").unlink()
    assert workspace.finished("mesh") is None


@pytest.mark.parametrize("broken", ['{"stages": {', "[]", '{"stages": {"clip": 3}}', "\\xff"])
def test_a_broken_record_means_making_it_again_not_a_crash(tmp_path, broken):
    Workspace(tmp_path).save()
    (tmp_path / "run.json").write_text(broken)
    assert Workspace(tmp_path).finished("clip") is None


def test_every_setting_and_every_byte_is_in_the_key(tmp_path):
    clip = tmp_path / "clip"
    clip.mkdir()
    (clip / "0.png").write_bytes(b"one")
    before = content_key(clip, ClipConfig(), 0)
    assert content_key(clip, ClipConfig(), 0) == before
    assert content_key(clip, ClipConfig(), 1) != before
    assert content_key(clip, dataclasses.replace(ClipConfig(), frames=23), 0) != before
    (clip / "0.png").write_bytes(b"two")
    assert content_key(clip, ClipConfig(), 0) != before
    assert len({content_key(preset) for preset in PRESETS.values()}) == len(PRESETS)


def test_a_folder_that_cannot_be_made_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be made"):
        Workspace(tmp_path / "file" / "run")


FOREIGN = {
    "notes": {"clip/mine.txt": "a", "frames/holiday.txt": "b"},
    "other program": {"run.json": '{"name": "theirs"}'},
    "empty stages": {"run.json": '{"stages": {}}', "multiview/0000/1.png": "x"},
    "half written": {"frames.partial-0123/x": "x"},
    "list": {"run.json": "[1, 2]"},
}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=list(FOREIGN))
def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="not empty"):
        Workspace(tmp_path)
    assert contents(tmp_path) == before


def test_a_record_that_is_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(UserError, match="not empty"):
        Workspace(tmp_path)


def test_what_an_operating_system_leaves_anywhere_does_not_count(tmp_path):
    (tmp_path / ".DS_Store").touch()
    with Workspace(tmp_path).lock():
        pass


@pytest.mark.parametrize("name", ["clip/mine.txt", "frames/zz.png", "exports/ply/a/b.ply"])
def test_a_file_that_was_put_among_ours_stops_the_next_run(tmp_path, name):
    workspace = Workspace(tmp_path)
    for folder in ("clip", "frames", "exports/ply"):
        with workspace.replacing(folder) as path:
            path.mkdir(parents=True)
            (path / "0000.png").touch()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="not a file of this run") as refused:
        with Workspace(tmp_path).lock():
            pass
    assert name in refused.value.sentence and (tmp_path / name).read_text() == "mine"


def test_no_artifact_takes_the_place_of_a_file_or_link_of_somebody_else(tmp_path):
    precious = tmp_path / "elsewhere"
    precious.mkdir()
    (precious / "0000.png").write_text("mine")
    workspace = Workspace(tmp_path / "run")
    workspace.save()
    (tmp_path / "run/mesh.glb").write_text("mine")
    (tmp_path / "run/frames").symlink_to(precious)
    for name in ("mesh.glb", "frames"):
        with pytest.raises(UserError, match="not a file of this run"):
            with workspace.replacing(name) as path:
                path.mkdir()
    workspace.remove("frames")
    assert (tmp_path / "run/mesh.glb").read_text() == "mine"
    assert (tmp_path / "run/frames/0000.png").read_text() == "mine"


def test_removal_leaves_what_is_not_ours(tmp_path):
    workspace = Workspace(tmp_path)
    with workspace.replacing("exports/animations/orbit.gif") as path:
        path.touch()
    (tmp_path / "exports/animations/mine.gif").touch()
    workspace.remove("exports/animations")
    assert [path.name for path in (tmp_path / "exports/animations").iterdir()] == ["mine.gif"]
    (tmp_path / "exports/animations/mine.gif").unlink()
    workspace.remove("exports/animations")
    assert not (tmp_path / "exports/animations").exists()


def test_a_run_of_an_earlier_version_is_ours(tmp_path):
    record = {"stages": {"clip": {"key": "k", "artifacts": ["clip"]}}, "versions": {"ds4d": "1"}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/0000.png").touch()
    workspace = Workspace(tmp_path)
    with workspace.lock(), workspace.replacing("clip") as path:
        path.mkdir()
    assert not list((tmp_path / "clip").iterdir())


def test_a_second_command_on_a_run_says_which_process_is_at_work(tmp_path):
    code = "import sys, time; from ds4d.run.workspace import Workspace\n"
    code += "with Workspace(sys.argv[1]).lock(): print(flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, tmp_path]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        first.stdout.readline()
        with pytest.raises(UserError, match=f"process {first.pid}"):
            with Workspace(tmp_path).lock():
                pass
    finally:
        first.kill()
        first.communicate()
    with Workspace(tmp_path).lock():  # what a killed process held is free
        pass


def test_run_folders_inside_a_clip_s_folder_are_no_part_of_it(tmp_path):
    (tmp_path / "0.png").write_text("one")
    before = content_key(tmp_path)
    for name in ("run", "other"):
        Workspace(tmp_path / name).save()
    assert content_key(tmp_path) == before
    (tmp_path / "more").mkdir()
    (tmp_path / "more/1.png").write_text("two")
    os.mkfifo(tmp_path / "pipe.png")
    assert {path.name for path in source_files(tmp_path)} == {"0.png", "1.png"}
