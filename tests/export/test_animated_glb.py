"""The mesh that moves as glTF: one mesh in valid files, moved by bones as by morph targets."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from ds4d.export.animated_glb import write_morphing, write_skinned
from ds4d.export.usdz import write_usdz
from ds4d.mesh.io import TO_GLTF
from ds4d.moving_mesh.given import read_given
from ds4d.moving_mesh.model import Material, MovingMesh, Part
from ds4d.moving_mesh.skinning import Skin, decompose
from ds4d.moving_mesh.texture import jpeg

TIMES = [0.0, 0.5, 1.5, 2.0]
BEND = [0.0, 0.2, 0.5, 0.9]  # radians of the upper end
PATH = np.array([[0, 0, 0], [1, 0, 0.5], [2, 0, 0], [3, -1, 0.5]])  # world units of the root


@pytest.fixture(scope="module")
def arm() -> MovingMesh:
    """A textured rod along z that bends about the x axis in its middle."""
    rod = trimesh.creation.cylinder(0.05, 0.8, sections=12).subdivide_to_size(0.05)
    rest = np.asarray(rod.vertices)
    frames = []
    for angle in BEND:
        share = np.clip(rest[:, 2:] / 0.4 + 0.5, 0, 1)
        frames.append(Rotation.from_rotvec(share * [angle, 0, 0]).apply(rest))
    uv = np.stack([0.5 + rest[:, 0], 0.5 - rest[:, 2]], 1)
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32] = (200, 60, 30)
    part = Part(0, len(rest), np.asarray(rod.faces), Material(jpeg(texture), unlit=True), uv)
    return MovingMesh(np.stack(frames), (part,), rest=0)


@pytest.fixture(scope="module")
def skin(arm) -> Skin:
    return decompose(arm.surface(0), arm.vertices, 4)


@pytest.fixture(scope="module")
def files(arm, skin, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_skinned(folder / "object.glb", arm, skin, TIMES)
    write_morphing(folder / "object_morph.glb", arm, TIMES)
    write_usdz(folder / "object.usdz", arm, skin, TIMES)
    write_skinned(folder / "travels.glb", arm, skin, TIMES, PATH)
    write_morphing(folder / "travels_morph.glb", arm, TIMES, PATH)
    write_usdz(folder / "travels.usdz", arm, skin, TIMES, PATH)
    return folder


class Reader:
    """A glTF file, played as the specification says."""

    def __init__(self, path: Path):
        data = path.read_bytes()
        (length,) = struct.unpack("<I", data[12:16])
        self.tree, self.binary = json.loads(data[20 : 20 + length]), data[28 + length :]
        (self.animation,) = self.tree["animations"]
        ((self.primitive,),) = [mesh["primitives"] for mesh in self.tree["meshes"]]

    def values(self, number: int) -> np.ndarray:
        accessor = self.tree["accessors"][number]
        view = self.tree["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        found = np.frombuffer(self.binary, kind, accessor["count"] * width, view["byteOffset"])
        return found.reshape(-1, width)

    def attribute(self, name: str) -> np.ndarray:
        return self.values(self.primitive["attributes"][name])

    def keys(self, kind: str) -> dict[int, np.ndarray]:
        """Keyframes of a property by node; all have the times of the clip."""
        found = {}
        for channel in self.animation["channels"]:
            sampler = self.animation["samplers"][channel["sampler"]]
            assert sampler.get("interpolation", "LINEAR") == "LINEAR"
            assert self.values(sampler["input"])[:, 0].tolist() == TIMES
            if channel["target"]["path"] == kind:
                found[channel["target"]["node"]] = self.values(sampler["output"])
        return found

    def skinned(self, frame: int) -> np.ndarray:
        (skin,) = self.tree["skins"]
        inverse = self.values(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        places, turns = self.keys("translation"), self.keys("rotation")
        points = np.concatenate([self.attribute("POSITION"), np.ones((len(self), 1))], 1)
        moved = []
        for joint, bind in zip(skin["joints"], inverse, strict=True):
            pose = np.eye(4)
            pose[:3, :3] = Rotation.from_quat(turns[joint][frame]).as_matrix()
            pose[:3, 3] = places[joint][frame]
            moved.append(points @ (pose @ bind)[:3].T)
        joints, weights = self.attribute("JOINTS_0"), self.attribute("WEIGHTS_0")
        assert np.allclose(weights.sum(1), 1, atol=1e-5)
        chosen = np.stack(moved)[joints, np.arange(len(self))[:, None]]
        return (weights[..., None] * chosen).sum(1)

    def __len__(self) -> int:
        return len(self.attribute("POSITION"))


def test_morphs_are_exact_at_the_times_of_the_frames(files, arm):
    reader = Reader(files / "object_morph.glb")
    ways = np.stack([reader.values(t["POSITION"]) for t in reader.primitive["targets"]])
    (weights,) = reader.keys("weights").values()
    for frame, shares in enumerate(weights.reshape(len(TIMES), -1)):
        found = reader.attribute("POSITION") + np.tensordot(shares, ways, 1)
        assert np.allclose(found, arm.vertices[frame] @ TO_GLTF.T, atol=1e-6)


def test_viewers_compute_what_the_skin_says(files, arm, skin):
    reader = Reader(files / "object.glb")
    for frame, places in enumerate(skin.vertices()):
        assert np.allclose(reader.skinned(frame), places @ TO_GLTF.T, atol=1e-5)


@pytest.mark.parametrize(("name", "node"), [("travels.glb", 1), ("travels_morph.glb", 0)])
def test_a_path_moves_the_node_above_everything_that_moves(files, arm, skin, name, node):
    reader = Reader(files / name)
    places = reader.keys("translation")
    assert np.allclose(places[node], PATH @ TO_GLTF.T)
    if node:
        (bound,) = reader.tree["skins"]
        assert sorted(reader.tree["nodes"][node]["children"]) == sorted(bound["joints"])
        still = Reader(files / "object.glb").keys("translation")
        assert all(np.array_equal(places[joint], still[joint]) for joint in bound["joints"])


def test_a_path_moves_the_prim_of_a_usdz(files):
    from pxr import Usd, UsdGeom

    stage = Usd.Stage.Open(str(files / "travels.usdz"))
    (place,) = UsdGeom.Xformable(stage.GetDefaultPrim()).GetOrderedXformOps()
    found = [place.Get(key) for key in place.GetTimeSamples()]
    assert np.allclose(found, PATH @ TO_GLTF.T)


def test_bones_follow_a_mesh_that_bends(arm, skin):
    """Half a pixel of 256 is 0.002."""
    apart = np.linalg.norm(skin.vertices() - arm.vertices, axis=-1)
    assert apart.mean() < 0.002
    assert np.allclose(skin.rig.weights.sum(1), 1) and skin.rig.weights.min() >= 0


def test_neighbouring_rotations_take_the_short_way(files):
    for turns in Reader(files / "object.glb").keys("rotation").values():
        assert (turns[1:] * turns[:-1]).sum(1).min() > 0


@pytest.mark.parametrize("name", ["object.glb", "object_morph.glb"])
def test_other_programs_find_one_textured_mesh(files, name):
    (shape,) = trimesh.load_scene(files / name).geometry.values()
    assert shape.visual.material.baseColorTexture.size == (64, 64)
    assert shape.visual.uv[:, 1].min() < 0.2 and shape.visual.uv[:, 1].max() > 0.8
    tree = Reader(files / name).tree
    assert tree["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}
    assert tree["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] == 0


def test_a_written_mesh_is_read_back(files, arm):
    back = read_given(files / "object_morph.glb")
    assert np.allclose(back.vertices[0], arm.vertices[0], atol=1e-6)
    assert np.array_equal(back.faces, arm.faces)
    assert np.allclose(back.parts[0].uv, arm.parts[0].uv, atol=1e-6)


def test_a_single_frame_has_no_animation(arm, tmp_path):
    still = MovingMesh(arm.vertices[:1], arm.parts, 0)
    write_morphing(tmp_path / "still.glb", still, [0.0])
    data = (tmp_path / "still.glb").read_bytes()
    assert b"animations" not in data and b"targets" not in data


@pytest.mark.parametrize("name", ["object.usdz", "travels.usdz"])
def test_usdz_has_the_skeleton_its_keys_and_the_texture(files, arm, name):
    from pxr import Usd, UsdSkel, UsdValidation

    stage = Usd.Stage.Open(str(files / name))
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/object/skeleton/clip"))
    rate = stage.GetTimeCodesPerSecond()
    keys = animation.GetRotationsAttr().GetTimeSamples()
    assert [key / rate for key in keys] == pytest.approx(TIMES)
    mesh = stage.GetPrimAtPath("/object/part_0")
    assert len(mesh.GetAttribute("points").Get()) == arm.vertices.shape[1]
    context = UsdValidation.ValidationContext(
        UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    )
    errors = [error.GetErrorAsString() for error in context.Validate(stage)]
    assert not errors
