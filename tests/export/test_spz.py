"""The compressed splat file, read as its specification says, and the glTF one beside it."""

from __future__ import annotations

import gzip
import json
import struct

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from ds4d.export.ply import read_ply, write_ply
from ds4d.export.splat_glb import write_splat_glb
from ds4d.export.spz import write_spz
from ds4d.splatting.splats import Splats


@pytest.fixture
def splats() -> Splats:
    generator = torch.Generator().manual_seed(0)
    quats = torch.randn(30, 4, generator=generator)
    return Splats(
        means=torch.rand(30, 3, generator=generator) - 0.5,
        quats=quats / quats.norm(dim=1, keepdim=True),
        scales=torch.rand(30, 3, generator=generator) * 0.08 + 0.01,
        opacities=torch.rand(30, generator=generator) * 0.98 + 0.01,
        colors=torch.rand(30, 3, generator=generator),
    )


def test_values_come_back_to_the_precision_of_the_format(splats, tmp_path):
    write_spz(tmp_path / "a.spz", splats)
    data = gzip.decompress((tmp_path / "a.spz").read_bytes())
    magic, version, count, degree, fraction, _, _ = struct.unpack("<IIIBBBB", data[:16])
    assert (magic, version, count, degree) == (0x5053474E, 2, 30, 0)
    widths = [9, 1, 3, 3, 3]
    assert len(data) == 16 + 30 * sum(widths)
    starts = 16 + 30 * np.cumsum([0, *widths])
    parts = [
        np.frombuffer(data, np.uint8, 30 * width, start).reshape(30, width).astype(np.int64)
        for width, start in zip(widths, starts, strict=False)
    ]
    raw = parts[0].reshape(30, 3, 3) @ [1, 256, 65536]
    means = np.where(raw >= 2**23, raw - 2**24, raw) / 2**fraction
    flipped = splats.means.numpy() * [1, -1, -1]  # Y up instead of down
    assert np.allclose(means, flipped, atol=2**-fraction)
    assert np.allclose(parts[1][:, 0] / 255, splats.opacities, atol=0.003)
    assert np.allclose(np.exp(parts[3] / 16 - 10), splats.scales, rtol=0.04)
    turns = parts[4] / 127.5 - 1
    quats = splats.quats.numpy() * np.where(splats.quats[:, :1] < 0, -1, 1)
    assert np.allclose(turns, quats[:, 1:] * [1, -1, -1], atol=0.01)


def test_the_wide_ply_has_45_zeros_more_and_the_same_gaussians(splats, tmp_path):
    write_ply(tmp_path / "wide.ply", splats, degree=3)
    header = (tmp_path / "wide.ply").read_bytes().split(b"end_header\n")[0].decode()
    names = [line.split()[-1] for line in header.splitlines() if "property" in line]
    assert len(names) == 62 and names[9:54] == [f"f_rest_{k}" for k in range(45)]
    assert names[54] == "opacity"
    torch.testing.assert_close(read_ply(tmp_path / "wide.ply").quats, splats.quats)


def test_the_gltf_has_the_gaussians_activated_and_upright(splats, tmp_path):
    write_splat_glb(tmp_path / "a.glb", splats)
    data = (tmp_path / "a.glb").read_bytes()
    (length,) = struct.unpack("<I", data[12:16])
    tree = json.loads(data[20 : 20 + length])
    (primitive,) = tree["meshes"][0]["primitives"]
    assert primitive["mode"] == 0 and tree["extensionsUsed"] == ["KHR_gaussian_splatting"]
    assert "KHR_gaussian_splatting" in primitive["extensions"]

    def values(name: str, width: int) -> np.ndarray:
        accessor = tree["accessors"][primitive["attributes"][name]]
        start = 28 + length + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
        return np.frombuffer(data, "<f4", 30 * width, start).reshape(30, width)

    means = values("POSITION", 3)
    assert np.allclose(means, splats.means.numpy()[:, [0, 2, 1]] * [1, 1, -1], atol=1e-6)
    assert np.allclose(values("KHR_gaussian_splatting:SCALE", 3), splats.scales, atol=1e-6)
    axes = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # of glTF in those of the world
    turns = Rotation.from_quat(splats.quats.numpy()[:, [1, 2, 3, 0]]).as_matrix()
    found = Rotation.from_quat(values("KHR_gaussian_splatting:ROTATION", 4)).as_matrix()
    assert np.allclose(found, axes @ turns, atol=1e-5)
