"""The export stage: a splat file per frame and the zip, whole, complete and reproducible."""

from __future__ import annotations

import dataclasses
import zipfile

import pytest
import torch

from ds4d import export
from ds4d.cameras import orbit_cameras
from ds4d.config import ExportConfig
from ds4d.errors import UserError
from ds4d.export.ply import read_ply, to_ply_axes
from ds4d.moving_mesh import surface, tracking
from ds4d.run.workspace import Workspace
from ds4d.splatting.splats import Splats
from tests.stages import finished


class Asset:
    positions = torch.tensor([0.0, 0.25, 1.0])
    cameras = orbit_cameras([0.0], size=16)
    capture_to_world = None

    def splats(self, position: float) -> Splats:
        return Splats(
            torch.full((4, 3), position),
            torch.tensor([[1.0, 0, 0, 0]] * 4),
            torch.full((4, 3), 0.1),
            torch.full((4,), 0.5),
            torch.full((4, 3), 0.25),
        )


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """A moving mesh of few triangles, which takes a moment instead of seconds."""
    monkeypatch.setattr(surface, "CELLS", 25)
    monkeypatch.setattr(export, "ExportConfig", lambda: ExportConfig(texture=64, bones=1))
    monkeypatch.setattr(tracking, "LONGEST_EDGE", 0.2)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A run folder with one file of every kind, and some that do not belong in the zip."""
    workspace = Workspace(tmp_path / "run")
    workspace.save()
    workspace.log("a line")
    for name in (
        "fourd.safetensors", "mesh.glb", "points.ply", "videos/orbit.mp4", "frames/0000.png",
        "multiview/0000/0.png", "multiview/grid.mp4", "features.safetensors",
        "checkpoints/100.safetensors", "evaluation/fox/orbit/0000.png",
    ):  # fmt: skip
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 50)
    return workspace


def test_each_training_frame_becomes_a_splat_file(workspace):
    events, paths = finished(export.run(Asset(), workspace, 2.0, ["ply"]))
    assert [path.name for path in paths] == ["frame_0001.ply", "frame_0002.ply", "frame_0003.ply"]
    for path, position in zip(paths, Asset.positions.tolist(), strict=True):
        means = to_ply_axes(Asset().splats(position)).means
        torch.testing.assert_close(read_ply(path).means, means)
    assert events[-1].step == events[-1].total
    assert {event.stage for event in events} == {"export"}


def test_only_the_formats_that_were_asked_for_are_written(workspace):
    _, paths = finished(export.run(Asset(), workspace, 2.0, ["splat"]))
    names = {"moment.splat", "moment.spz", "moment.glb"}
    assert {path.name for path in paths} == names
    assert {path.name for path in (workspace / "exports").iterdir()} == names


def test_all_that_is_said_to_be_written_is_there_and_the_zip_is_last(workspace):
    _, paths = finished(export.run(Asset(), workspace, 2.0))
    assert len(set(paths)) == len(paths) and all(path.exists() for path in paths)
    assert paths[-1].name == "ds4d.zip"


def test_an_object_without_a_surface_gets_all_other_files_and_a_word(workspace):
    class Faint(Asset):
        def splats(self, position: float) -> Splats:
            return dataclasses.replace(super().splats(position), opacities=torch.full((4,), 0.05))

    events, paths = finished(export.run(Faint(), workspace, 2.0))
    assert any(event.warning and "no surface" in event.message for event in events)
    names = {path.name for path in paths}
    assert "ds4d.zip" in names and "object.glb" not in names


def test_the_old_flip_book_goes_when_the_moving_mesh_comes(workspace):
    with workspace.replacing("exports/animated.glb") as path:
        path.write_bytes(b"of an earlier version")
    finished(export.run(Asset(), workspace, 2.0, ["glb"]))
    names = {path.name for path in (workspace / "exports").iterdir()}
    assert names == {"object.glb", "object_morph.glb", "object.usdz"}


def test_a_moment_outside_of_the_clip_is_the_users_mistake(workspace):
    with pytest.raises(UserError, match="outside the clip"):
        finished(export.run(Asset(), workspace, 2.0, ["splat"], moment=1.5))


def test_the_zip_holds_what_the_run_made_and_explains_it(workspace):
    _, paths = finished(export.run(Asset(), workspace, 2.0))
    made = {path.relative_to(workspace.root).as_posix() for path in paths[:-1]}
    brought = {
        "fourd.safetensors", "run.json", "log.txt", "mesh.glb", "points.ply", "videos/orbit.mp4",
        "frames/0000.png", "multiview/0000/0.png", "multiview/grid.mp4",
    }  # fmt: skip
    with zipfile.ZipFile(workspace / "exports/ds4d.zip") as archive:
        assert archive.testzip() is None
        first, *names = archive.namelist()
        assert first == "README.txt" and names[0] == "fourd.safetensors"
        assert set(names) == made | brought and len(set(names)) == len(names)
        for name in names:
            assert archive.read(name) == (workspace / name).read_bytes()
        text = archive.read("README.txt").decode()
    for name in ("moment.splat", "exports/ply/*", "frames/*", "run.json"):
        assert name in text
    assert "compare.mp4" not in text  # there is none
    assert "No pretrained weights were used" in text


def test_the_zip_names_the_licences_of_the_weights_that_were_used(workspace):
    workspace.record["stages"]["multiview"] = {"weights": ["zero123plus-v1.2"]}
    finished(export.run(Asset(), workspace, 2.0, ["zip"]))
    with zipfile.ZipFile(workspace / "exports/ds4d.zip") as archive:
        text = archive.read("README.txt").decode()
    assert "CC-BY-NC 4.0" in text and "No pretrained weights" not in text


def test_the_same_run_gives_the_same_zip(workspace):
    """Except for the usdz file, whose library orders its table of words by address."""
    contents = []
    for _ in range(2):
        finished(export.run(Asset(), workspace, 2.0))
        (workspace / "frames/0000.png").touch()
        with zipfile.ZipFile(workspace / "exports/ds4d.zip") as archive:
            entries = [entry for entry in archive.infolist() if "usdz" not in entry.filename]
            contents.append([(entry.filename, entry.date_time, entry.CRC) for entry in entries])
    assert contents[0] == contents[1]


def test_a_shorter_clip_leaves_no_frames_of_the_longer_one(workspace):
    finished(export.run(Asset(), workspace, 2.0))
    shorter = Asset()
    shorter.positions = torch.tensor([0.0])
    finished(export.run(shorter, workspace, 2.0))
    assert [path.name for path in (workspace / "exports/ply").iterdir()] == ["frame_0001.ply"]


@pytest.mark.parametrize("events", [1, 3, 5])
def test_cancelling_leaves_nothing_half_written(workspace, events):
    stage = export.run(Asset(), workspace, 2.0)
    for _ in range(events):
        next(stage)
    stage.close()
    assert not list(workspace.root.rglob("*.partial-*"))
    assert not (workspace / "exports/ds4d.zip").exists()
