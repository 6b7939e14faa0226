"""The path of an object that crosses the frame, as translations in the world."""

from __future__ import annotations

import json

import numpy as np
import torch
from PIL import Image

from ds4d.cameras import orbit_cameras
from ds4d.export import root_motion
from ds4d.export.context import ExportContext
from ds4d.run.workspace import Workspace


class Asset:
    positions = torch.tensor([0.0, 0.5, 1.0])
    cameras = orbit_cameras([0.0], size=64)
    capture_to_world = None


def context(tmp_path, path: list | None) -> ExportContext:
    workspace = Workspace(tmp_path / "run")
    workspace.record["stages"] = {"matting": {} if path is None else {"path": path}}
    (workspace / "clip").mkdir()
    Image.new("RGB", (96, 64)).save(workspace / "clip" / "0000.png")
    return ExportContext(Asset(), workspace, 2.0)


def test_the_object_moves_as_far_as_its_square_did(tmp_path):
    """Seen by the front camera, the origin moves by the pixels of the path."""
    made = context(tmp_path, [[10, 20, 32], [26, 20, 32], [42, 12, 32]])
    moved = root_motion.translations(made)
    cameras = Asset.cameras
    viewmat, K = cameras.viewmats[0].double().numpy(), cameras.Ks[0].double().numpy()
    points = np.concatenate([moved, np.ones((3, 1))], 1) @ viewmat.T
    seen = points[:, :3] @ K.T
    seen = seen[:, :2] / seen[:, 2:]
    np.testing.assert_allclose(seen - seen[0], [[0, 0], [32, 0], [64, -16]], atol=1e-4)
    assert moved[1, 2] == moved[0, 2] and moved[2, 2] > 0  # up in the world


def test_frames_between_those_of_the_clip_lie_between(tmp_path):
    moved = root_motion.translations(context(tmp_path, [[0, 0, 32], [8, 0, 32]]))
    np.testing.assert_allclose(moved[1], moved[2] / 2)


def test_the_file_has_the_times_of_the_animation(tmp_path):
    made = context(tmp_path, [[0, 0, 32], [4, 0, 32], [8, 0, 32]])
    assert list(root_motion.write(made)) == [root_motion.NAME]
    written = json.loads((made.workspace / root_motion.NAME).read_text())
    assert written["times"] == [0.0, 1.0, 2.0] and len(written["translations"]) == 3


def test_one_square_for_all_frames_is_no_path(tmp_path):
    assert list(root_motion.write(context(tmp_path, None))) == []
