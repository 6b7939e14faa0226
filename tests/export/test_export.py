"""The export stage: a splat file per frame and the zip, whole, complete and reproducible."""

from __future__ import annotations

import zipfile

import pytest
import torch

from ds4d import export
from ds4d.export.ply import read_ply, to_ply_axes
from ds4d.splat.splats import Splats
from ds4d.workspace import Workspace
from tests.stages import finished


class Asset:
    positions = torch.tensor([0.0, 0.25, 1.0])

    def splats(self, position: float) -> Splats:
        return Splats(
            torch.full((4, 3), position),
            torch.tensor([[1.0, 0, 0, 0]] * 4),
            torch.full((4, 3), 0.1),
            torch.full((4,), 0.5),
            torch.full((4, 3), 0.25),
        )


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
    events, paths = finished(export.run(Asset(), workspace))
    names = [path.name for path in paths]
    assert names == ["frame_0001.ply", "frame_0002.ply", "frame_0003.ply", "ds4d.zip"]
    assert all(path.exists() for path in paths)
    for path, position in zip(paths, Asset.positions.tolist(), strict=False):
        means = to_ply_axes(Asset().splats(position)).means
        torch.testing.assert_close(read_ply(path).means, means)
    assert events[-1].step == events[-1].total
    assert {event.stage for event in events} == {"export"}


def test_the_zip_holds_what_the_run_made(workspace):
    finished(export.run(Asset(), workspace))
    with zipfile.ZipFile(workspace / "exports/ds4d.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "fourd.safetensors", "run.json", "log.txt", "mesh.glb", "points.ply",
            "videos/orbit.mp4", "exports/ply/frame_0001.ply", "exports/ply/frame_0002.ply",
            "exports/ply/frame_0003.ply", "frames/0000.png", "multiview/0000/0.png",
            "multiview/grid.mp4",
        ]  # fmt: skip
        for name in archive.namelist():
            assert archive.read(name) == (workspace / name).read_bytes()


def test_the_same_run_gives_the_same_zip(workspace):
    finished(export.run(Asset(), workspace))
    first = (workspace / "exports/ds4d.zip").read_bytes()
    (workspace / "frames/0000.png").touch()
    finished(export.run(Asset(), workspace))
    assert (workspace / "exports/ds4d.zip").read_bytes() == first


def test_a_shorter_clip_leaves_no_frames_of_the_longer_one(workspace):
    finished(export.run(Asset(), workspace))
    shorter = Asset()
    shorter.positions = torch.tensor([0.0])
    finished(export.run(shorter, workspace))
    assert [path.name for path in (workspace / "exports/ply").iterdir()] == ["frame_0001.ply"]


@pytest.mark.parametrize("events", [1, 3, 5])
def test_cancelling_leaves_nothing_half_written(workspace, events):
    stage = export.run(Asset(), workspace)
    for _ in range(events):
        next(stage)
    stage.close()
    assert not list(workspace.root.rglob("*.partial-*"))
    assert not (workspace / "exports/ds4d.zip").exists()
