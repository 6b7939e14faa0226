"""The animated glTF: closed coloured surfaces, exactly one of them seen at any time."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
import torch
import trimesh

from ds4d.export import animated_glb
from ds4d.export.context import Scene
from ds4d.export.density_mesh import LEVEL, surface
from ds4d.mesh import _srgb
from ds4d.run.workspace import Workspace
from ds4d.splatting.splats import Splats

COLOR = (0.8, 0.4, 0.1)


def balls(*places: tuple[float, float, float], sigma: float = 0.1, opacity: float = 1.0) -> Splats:
    count = len(places)
    return Splats(
        torch.tensor(places),
        torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1),
        torch.full((count, 3), sigma),
        torch.full((count,), opacity),
        torch.tensor([COLOR]).repeat(count, 1),
    )


class Asset:
    """A ball that jumps to the right."""

    positions = torch.tensor([0.0, 0.5, 1.0])

    def splats(self, position: float) -> Splats:
        return balls((position * 0.3, -0.2, 0.1))


@pytest.fixture(scope="module")
def glb(tmp_path_factory) -> tuple[dict, bytes]:
    """The tree of an animated glb of 4 seconds and its binary part; the frame of the file holds."""
    scene = Scene(Asset(), Workspace(tmp_path_factory.mktemp("run")), 4.0)
    names = list(animated_glb.write(scene))
    assert set(names) == {animated_glb.NAME}
    data = (scene.workspace / animated_glb.NAME).read_bytes()
    magic, version, length, text, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    size, kind = struct.unpack("<I4s", data[20 + text : 28 + text])
    assert kind == b"BIN\0" and size == len(data) - 28 - text and text % 4 == size % 4 == 0
    return json.loads(data[20 : 20 + text]), data[28 + text :]


def values(glb: tuple[dict, bytes], number: int) -> np.ndarray:
    """What an accessor points to, read as the specification says."""
    tree, data = glb
    accessor = tree["accessors"][number]
    view = tree["bufferViews"][accessor["bufferView"]]
    kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    assert view["byteOffset"] % 4 == 0
    count = accessor["count"] * width
    assert view["byteLength"] == count * np.dtype(kind).itemsize
    found = np.frombuffer(data, kind, count, view["byteOffset"]).reshape(-1, width)
    if "min" in accessor:
        assert found.min(0).tolist() == accessor["min"] and found.max(0).tolist() == accessor["max"]
    return found


def shown(glb: tuple[dict, bytes], time: float) -> list[int]:
    """The frames that a viewer shows at a time, by step interpolation."""
    (animation,) = glb[0]["animations"]
    seen = []
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        assert sampler["interpolation"] == "STEP" and channel["target"]["path"] == "scale"
        keys, scales = values(glb, sampler["input"])[:, 0], values(glb, sampler["output"])
        assert (np.diff(keys) > 0).all() and keys[0] == 0 and keys[-1] == 4 and len(keys) < 5
        scale = scales[np.searchsorted(keys, time, side="right") - 1]
        assert scale.tolist() in ([0, 0, 0], [1, 1, 1])
        if scale.any():
            seen.append(glb[0]["nodes"][channel["target"]["node"]]["name"])
    return seen


@pytest.mark.parametrize(
    ("time", "frame"), [(0.0, 1), (0.9, 1), (1.1, 2), (2.9, 2), (3.1, 3), (4.0, 3)]
)
def test_one_frame_is_seen_at_a_time_the_nearest(glb, time, frame):
    assert shown(glb, time) == [f"frame_{frame:04d}"]


def test_where_nothing_moves_the_middle_frame_is_seen(glb):
    root, *frames = glb[0]["nodes"]
    assert root["children"] == [1, 2, 3]
    assert [node["scale"][0] for node in frames] == [0.0, 1.0, 0.0]


def test_frames_move_in_the_axes_of_gltf(glb):
    """Right stays right, what is in front of the object faces +Z, and up is +Y."""
    for mesh, x in zip(glb[0]["meshes"], (0.0, 0.15, 0.3), strict=True):
        (primitive,) = mesh["primitives"]
        centre = values(glb, primitive["attributes"]["POSITION"]).mean(0)
        assert centre == pytest.approx((x, 0.1, 0.2), abs=0.005)


def test_vertices_have_the_colour_of_their_gaussians(glb):
    (primitive,) = glb[0]["meshes"][0]["primitives"]
    number = primitive["attributes"]["COLOR_0"]
    assert glb[0]["accessors"][number]["normalized"]
    colors = _srgb(values(glb, number) / 65535)  # glTF's are linear
    assert np.abs(colors - (*COLOR, 1.0)).max() < 0.01


def test_other_programs_read_it(glb, tmp_path):
    scene = Scene(Asset(), Workspace(tmp_path), 4.0)
    list(animated_glb.write(scene))
    shapes = trimesh.load_scene(tmp_path / animated_glb.NAME).geometry
    assert set(shapes) == {"frame_0001", "frame_0002", "frame_0003"}
    assert all(shape.is_watertight and shape.volume > 0 for shape in shapes.values())


def test_a_large_object_gets_a_coarser_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(animated_glb, "MOST_VERTICES", 300)
    cell = animated_glb._cell(balls((0, 0, 0)))
    assert len(surface(balls((0, 0, 0)), cell).vertices) == pytest.approx(300, rel=0.3)


@pytest.mark.parametrize("opacity", [0.95, 0.7])
def test_the_surface_lies_where_the_density_has_its_level(opacity):
    mesh = surface(balls((0.1, 0.0, -0.1), opacity=opacity), 0.02)
    radius = 0.1 * math.sqrt(2 * math.log(opacity / LEVEL))
    distances = (mesh.vertices - torch.tensor([0.1, 0.0, -0.1])).norm(dim=1)
    assert distances.numpy() == pytest.approx(radius, abs=0.005)


def test_turned_gaussians_are_turned():
    """A rod along x, turned by 90 degrees about z, lies along y."""
    half = math.sqrt(0.5)
    rod = Splats(
        torch.zeros(1, 3), torch.tensor([[half, 0, 0, half]]), torch.tensor([[0.2, 0.05, 0.02]]),
        torch.ones(1), torch.rand(1, 3),
    )  # fmt: skip
    reach = math.sqrt(2 * math.log(1 / LEVEL))
    extent = surface(rod, 0.01).vertices.abs().amax(0)
    assert extent.numpy() == pytest.approx([0.05 * reach, 0.2 * reach, 0.02 * reach], abs=0.005)


def test_a_hollow_shell_has_no_inner_surface():
    directions = torch.nn.functional.normalize(
        torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    shell = balls(*map(tuple, (0.3 * directions).tolist()), sigma=0.02)
    mesh = surface(shell, 0.02)
    assert mesh.vertices.norm(dim=1).min() > 0.3


def test_what_flew_away_does_not_make_the_grid_huge():
    mesh = surface(balls((0.0, 0.0, 0.0), (300.0, 0.0, 0.0)), 0.02)
    assert mesh.vertices.abs().max() < 0.2


def test_an_invisible_object_has_no_surface_and_leaves_a_frame_out(tmp_path):
    empty = surface(balls((0.0, 0.0, 0.0), opacity=0.1), 0.02)
    assert len(empty.vertices) == len(empty.faces) == 0
    full = surface(balls((0.0, 0.0, 0.0)), 0.02)
    animated_glb.write_animated_glb(tmp_path / "a.glb", [full, empty], [0.0, 2.0], 2.0, 0)
    assert set(trimesh.load_scene(tmp_path / "a.glb").geometry) == {"frame_0001"}
