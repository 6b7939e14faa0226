"""Splat files: the standard layout, what comes back, and which side is up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ds4d.cameras import RADIUS, Cameras, orbit_cameras
from ds4d.errors import UserError
from ds4d.export import ply
from ds4d.splatting.splats import Splats, render

STANDARD = (
    "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
)


@pytest.fixture
def splats() -> Splats:
    generator = torch.Generator().manual_seed(0)
    quats = torch.randn(50, 4, generator=generator)
    return Splats(
        means=torch.rand(50, 3, generator=generator) * 0.6 - 0.3,
        quats=quats / quats.norm(dim=1, keepdim=True),
        scales=torch.rand(50, 3, generator=generator) * 0.08 + 0.01,
        opacities=torch.rand(50, generator=generator) * 0.98 + 0.01,
        colors=torch.rand(50, 3, generator=generator),
    )


def test_header_is_the_standard_one(splats, tmp_path):
    ply.write_ply(tmp_path / "a.ply", splats)
    header, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", "element vertex 50"]
    assert lines[3:] == [f"property float {name}" for name in STANDARD.split()]
    assert len(body) == 50 * 17 * 4


def test_values_are_stored_before_their_activation(splats, tmp_path):
    ply.write_ply(tmp_path / "a.ply", splats)
    body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)[1]
    rows = np.frombuffer(body, np.dtype([(name, "<f4") for name in STANDARD.split()]))
    first = rows[0]
    assert first["x"] == splats.means[0, 0] and first["nx"] == 0
    assert 0.5 + first["f_dc_1"] / math.sqrt(4 * math.pi) == pytest.approx(
        float(splats.colors[0, 1]), abs=1e-6
    )
    assert 1 / (1 + math.exp(-first["opacity"])) == pytest.approx(float(splats.opacities[0]))
    assert math.exp(first["scale_2"]) == pytest.approx(float(splats.scales[0, 2]))
    assert first["rot_0"] == splats.quats[0, 0]


def test_what_is_written_comes_back(splats, tmp_path):
    ply.write_ply(tmp_path / "a.ply", splats)
    back = ply.read_ply(tmp_path / "a.ply")
    for name in ("means", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(back, name), getattr(splats, name), atol=1e-6, rtol=1e-5)


def test_limits_stay_finite(splats, tmp_path):
    splats.opacities[:2] = torch.tensor([0.0, 1.0])
    splats.scales[0] = 0.0
    ply.write_ply(tmp_path / "a.ply", splats)
    body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)[1]
    assert np.isfinite(np.frombuffer(body, "<f4")).all()
    opacities = ply.read_ply(tmp_path / "a.ply").opacities
    torch.testing.assert_close(opacities[:2], torch.tensor([0.0, 1.0]), atol=1e-5, rtol=0)


def test_other_files_and_cut_off_files_are_refused(splats, tmp_path):
    ply.write_ply(tmp_path / "whole.ply", splats)
    whole = (tmp_path / "whole.ply").read_bytes()
    for broken in (whole[:-5], whole[:40], b"", b"ply\nformat ascii 1.0\n"):
        (tmp_path / "broken.ply").write_bytes(broken)
        with pytest.raises(UserError):
            ply.read_ply(tmp_path / "broken.ply")


def test_an_editor_shows_the_front_upright_and_not_mirrored(splats):
    """Editors turn a file by 180 degrees about z; then +y is up, and we look from +z."""
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    turned = ply.to_ply_axes(splats)
    # Camera on the +z axis of the editor: x right, y down = -y, forward = -z.
    viewmat = torch.eye(4)
    viewmat[:3, :3] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ half_turn
    viewmat[2, 3] = RADIUS
    front = orbit_cameras([0.0], size=64)
    editor = Cameras(viewmat[None], front.Ks, 64, 64)
    expected, seen = render(splats, front)[0], render(turned, editor)[0]
    assert expected.std() > 0.05
    torch.testing.assert_close(seen, expected, atol=2e-4, rtol=0)


def test_turning_is_a_proper_rotation():
    rotation = ply.PLY_FROM_WORLD
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3))
    assert torch.linalg.det(rotation) == pytest.approx(1)
    torch.testing.assert_close(rotation @ torch.tensor([0.0, 0, 1]), torch.tensor([0.0, -1, 0]))
