"""A given skeleton: read with its mesh, posed to follow, and written back under its own names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from ds4d.export.animated_glb import write_morphing, write_skinned
from ds4d.export.object_mesh import write_still
from ds4d.mesh.read import load
from ds4d.moving_mesh.given import place_given, read_given
from ds4d.moving_mesh.model import Material, MovingMesh, Part, Rig
from ds4d.moving_mesh.posing import pose

BENDS = [0.0, 0.4, 0.9]  # radians


@pytest.fixture(scope="module")
def arm() -> MovingMesh:
    """A rod along z of an upper and a lower bone, which bends and moves away, and its rig."""
    rod = trimesh.creation.cylinder(0.05, 0.8, sections=8).subdivide_to_size(0.08)
    rest = np.asarray(rod.vertices)
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[0, 2, 3] = -0.4
    upper = np.clip(rest[:, 2] / 0.1 + 0.5, 0, 1)
    weights = np.stack([1 - upper, upper, 0 * upper, 0 * upper], 1)
    bones = np.tile([0, 1, 0, 0], (len(rest), 1))
    rig = Rig(("lower arm", "hand.L"), np.array([-1, 0]), poses, bones, weights)
    frames = []
    for bend in BENDS:
        bent = Rotation.from_rotvec([bend, 0, 0]).apply(rest)
        moved = (1 - upper[:, None]) * rest + upper[:, None] * bent
        frames.append(moved + [bend / 10, 0, 0])
    part = Part(0, len(rest), np.asarray(rod.faces), Material(color=(0.5, 0.2, 0.1, 1)))
    return MovingMesh(np.stack(frames), (part,), 0, rig)


def test_its_bones_follow_the_mesh(arm):
    skin = pose(arm)
    assert np.abs(skin.vertices() - arm.vertices).max() < 1e-3
    turn = Rotation.from_matrix(skin.transforms[-1, 1, :3, :3]).as_rotvec()
    assert turn == pytest.approx([BENDS[-1], 0, 0], abs=0.02)


def test_bones_keep_their_lengths(arm):
    noisy = replace(
        arm, vertices=arm.vertices + np.random.default_rng(0).normal(0, 0.01, (3, 1, 3))
    )
    poses = pose(noisy).transforms @ arm.rig.poses
    lengths = np.linalg.norm(poses[:, 1, :3, 3] - poses[:, 0, :3, 3], axis=1)
    assert lengths == pytest.approx([0.4] * 3)


def test_a_written_skeleton_is_read_back(arm, tmp_path):
    write_skinned(tmp_path / "arm.glb", arm, pose(arm), [0.0, 0.5, 1.0])
    back = read_given(tmp_path / "arm.glb")
    assert back.rig.names == arm.rig.names and back.rig.parents.tolist() == [-1, 0]
    assert np.allclose(back.rig.poses, arm.rig.poses, atol=1e-6)
    assert np.allclose(back.rig.weights, arm.rig.weights, atol=1e-6)
    assert np.allclose(back.vertices[0], arm.vertices[0], atol=1e-6)


def test_a_skeleton_is_placed_with_its_mesh(arm, tmp_path):
    write_still(tmp_path / "arm.glb", arm)
    plain, _, _ = load(tmp_path / "arm.glb")
    turn = Rotation.from_rotvec([0, 0, 0.5]).as_matrix()
    aligned = replace(plain, vertices=0.7 * plain.vertices @ plain.vertices.new_tensor(turn).T)
    placed = place_given(tmp_path / "arm.glb", aligned)
    ends = placed.rig.poses[:, 2, 3] - placed.vertices[0][:, 2].min()
    assert ends == pytest.approx([0, 0.35], abs=1e-3)
    assert np.allclose(placed.rig.poses[0, :3, :3], turn, atol=1e-4)
    write_still(tmp_path / "placed.glb", placed)
    assert np.allclose(read_given(tmp_path / "placed.glb").rig.poses, placed.rig.poses, atol=1e-5)


def test_the_pose_of_a_file_s_nodes_counts(arm, tmp_path):
    """A skinned mesh is where its bones are, whatever its own node says."""
    moved = arm.rig.poses.copy()
    moved[:, 0, 3] += 1
    path = tmp_path / "arm.glb"
    write_still(path, arm)
    import json
    import struct

    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[12:16])
    tree = json.loads(data[20 : 20 + length])
    tree["nodes"][0]["translation"] = [9, 9, 9]
    tree["nodes"][1]["translation"] = [1, 0, 0]
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    header = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON")
    path.write_bytes(header + text + rest)
    back = read_given(path)
    assert np.allclose(back.vertices[0], arm.vertices[0] + [1, 0, 0], atol=1e-6)
    assert np.allclose(back.rig.poses, moved, atol=1e-6)


def test_a_mesh_without_bones_has_no_rig(arm, tmp_path):
    write_morphing(tmp_path / "arm.glb", replace(arm, rig=None), [0.0, 0.5, 1.0])
    assert read_given(tmp_path / "arm.glb").rig is None
