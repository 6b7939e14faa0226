"""Ground truth in the layout of Consistent4D's test set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d.cameras import orbit_cameras, project
from ds4d.cli import main
from ds4d.errors import UserError
from ds4d.evaluation import consistent4d, protocol
from ds4d.run.workspace import Workspace

OLD = Path(__file__).parents[1] / "run/old_runs"


@pytest.fixture
def case(tmp_path) -> Path:
    """Four views of twelve images, named without zeros in front."""
    for view in range(4):
        folder = tmp_path / "case" / f"eval_{view}"
        folder.mkdir(parents=True)
        for frame in range(12):
            image = np.zeros((40, 40, 4), np.uint8)
            image[10:30, 5 + frame : 25 + frame] = 255
            iio.imwrite(folder / f"{frame}.png", image)
    return tmp_path / "case"


def test_images_are_in_the_order_of_time(case):
    shots = protocol.case_shots(case)
    assert len(shots) == 48
    first = [shot for shot in shots if shot.name.startswith("eval_0/")]
    assert [shot.name for shot in first][1:3] == ["eval_0/1.png", "eval_0/2.png"]
    np.testing.assert_allclose([shot.position for shot in first], np.arange(12) / 11)


def test_cameras_stand_where_the_published_ones_do():
    azimuths = torch.tensor(consistent4d.AZIMUTHS).deg2rad()
    centres = consistent4d.cameras(40).centres()
    radius = float(centres.norm(dim=1)[0])
    assert radius == pytest.approx(0.5 / np.tan(np.radians(49.1 / 2)), rel=1e-5)
    expected = radius * torch.stack([azimuths.sin(), -azimuths.cos(), 0 * azimuths], 1)
    torch.testing.assert_close(centres, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("crop", [(0, 0, 100), (20, 30, 50), (-10, 5, 120)])
def test_the_cropped_square_is_the_world_of_the_run(crop):
    """The corners of the run's world appear at the square's corners in the camera's front image."""
    way = consistent4d.of_crop(crop, 100, 100)
    radius = 0.5 / np.tan(np.radians(49.1 / 2))
    front = orbit_cameras([0.0], size=100, radius=radius, fov_deg=49.1)
    corners = torch.tensor([[-0.5, 0, 0.5], [0.5, 0, -0.5]])
    pixels, _ = project(corners, way.cameras(front))
    left, top, side = crop
    expected = torch.tensor([[left, top], [left + side, top + side]], dtype=torch.float32)
    torch.testing.assert_close(pixels.reshape(2, 2), expected, atol=1e-2, rtol=0)


def test_a_run_is_evaluated(case, tmp_path, capsys):
    run = shutil.copytree(OLD / "disc_run", tmp_path / "run")
    assert main(["evaluate", str(run), str(case), "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["heldout"]["per_view"]) == {f"eval_{view}" for view in range(4)}
    assert found["heldout"]["images"] == 48 and 0 <= found["heldout"]["mask_iou"] <= 1
    assert (run / "evaluation/case/eval_3/11.png").exists()


def test_a_square_that_is_not_known_or_moves_is_refused(tmp_path):
    run = shutil.copytree(OLD / "disc_run", tmp_path / "run")
    workspace = Workspace(run)
    assert consistent4d.placement(workspace).scale > 0
    workspace.record["stages"]["matting"]["path"] = [[0, 0, 10]]
    with pytest.raises(UserError, match="square moves"):
        consistent4d.placement(workspace)
    del workspace.record["stages"]["matting"]["path"]
    del workspace.record["stages"]["matting"]["crop"]
    with pytest.raises(UserError, match="how its clip was cropped"):
        consistent4d.placement(workspace)
