"""Artifacts are written as a whole, and content keys cover everything that decides them."""

import dataclasses

import pytest

from ds4d.config import PRESETS, ClipConfig
from ds4d.errors import UserError
from ds4d.run.workspace import Workspace, content_key


def test_a_block_that_fails_leaves_the_old_artifact_and_no_rest(tmp_path):
    workspace = Workspace(tmp_path)
    with workspace.replacing("mesh.glb") as path:
        path.write_text("old")
    with pytest.raises(RuntimeError):
        with workspace.replacing("mesh.glb") as path:
            path.write_text("half")
            raise RuntimeError
    assert (tmp_path / "mesh.glb").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["mesh.glb"]


def test_a_folder_is_replaced_whole(tmp_path):
    workspace = Workspace(tmp_path)
    for names in (["a", "b"], ["c"]):
        with workspace.replacing("frames") as folder:
            folder.mkdir()
            for name in names:
                (folder / name).touch()
    assert [p.name for p in (tmp_path / "frames").iterdir()] == ["c"]


def test_what_a_killed_process_left_half_written_is_swept(tmp_path):
    (tmp_path / "frames.partial-0123").mkdir()
    (tmp_path / "run.partial-4567.json").touch()
    Workspace(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stage_is_finished_only_while_its_artifacts_are_there(tmp_path):
    workspace = Workspace(tmp_path)
    (tmp_path / "points.ply").touch()
    workspace.finish("mesh", "key", ["points.ply"])
    assert Workspace(tmp_path).finished("mesh")["key"] == "key"
    assert workspace.finished("clip") is None
    (tmp_path / "points.ply").unlink()
    assert workspace.finished("mesh") is None


def test_a_broken_record_means_making_it_again_not_a_crash(tmp_path):
    (tmp_path / "run.json").write_text('{"stages": {')
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
