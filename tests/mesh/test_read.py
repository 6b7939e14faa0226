"""Mesh files of other programs: colours, geometry, and everything that can be wrong with a file."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from ds4d.errors import UserError
from ds4d.mesh import read
from ds4d.mesh.mesh import Mesh
from ds4d.mesh.read import load
from tests.mesh import boxes
from tests.paths import ROOT

# Colours


def checkerboard() -> Image.Image:
    """Four colours: (u, v) low-low red, high-low green, low-high blue, high-high grey 188."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[32:, :32], pixels[32:, 32:] = (255, 0, 0), (0, 255, 0)
    pixels[:32, :32], pixels[:32, 32:] = (0, 0, 255), (188, 188, 188)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def textured_square(material) -> trimesh.Trimesh:
    """Two faces that stand upright, facing the viewer of a glTF (+Z), with the whole texture."""
    corners = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
    visual = trimesh.visual.TextureVisuals(uv=corners[:, :2] / 2, material=material)
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)


def check_square(mesh: Mesh, factor=(1.0, 1.0, 1.0)) -> None:
    """Colours between corners survive although the file has four vertices only."""
    expected = {(-0.25, -0.25): (1, 0, 0), (0.25, -0.25): (0, 1, 0), (-0.25, 0.25): (0, 0, 1),
                (0.25, 0.25): (188 / 255,) * 3}  # fmt: skip
    for (x, z), color in expected.items():
        color = torch.tensor(color) * torch.tensor(factor)
        assert torch.allclose(boxes.color_at(mesh, (x, 0.0, z)), color, atol=0.01)
    assert len(mesh.faces) > 1000


def test_obj_with_a_texture(tmp_path):
    material = trimesh.visual.material.SimpleMaterial(image=checkerboard())
    textured_square(material).export(tmp_path / "square.obj")
    assert list(tmp_path.glob("*.mtl")) and list(tmp_path.glob("*.png"))
    mesh, colored, warnings = load(tmp_path / "square.obj")
    assert colored and not warnings
    check_square(mesh)


@pytest.mark.parametrize("ending", ["glb", "gltf"])
def test_gltf_with_a_texture_and_a_factor(tmp_path, ending):
    """The factor is linear: 0.5 darkens white to sRGB 188 (IEC 61966-2-1: 0.735)."""
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=checkerboard(), baseColorFactor=[0.5, 0.5, 0.5, 1.0]
    )
    if ending == "glb":
        textured_square(material).export(tmp_path / "square.glb")
    else:
        for name, data in trimesh.exchange.gltf.export_gltf(
            trimesh.Scene(textured_square(material))
        ).items():
            (tmp_path / ("square.gltf" if name.endswith("gltf") else name)).write_bytes(data)
    mesh, colored, warnings = load(tmp_path / f"square.{ending}")
    assert colored and not warnings
    assert boxes.color_at(mesh, (-0.25, 0, -0.25))[0] == pytest.approx(0.735, abs=0.005)
    assert boxes.color_at(mesh, (0.25, 0, 0.25))[0] == pytest.approx(0.537, abs=0.005)


def test_obj_with_flat_materials(tmp_path):
    (tmp_path / "flat.mtl").write_text("newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 0.5\n")
    (tmp_path / "flat.obj").write_text(
        "mtllib flat.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nv 1 0 1\nv 0 1 1\n"
        "usemtl red\nf 1 2 3\nusemtl blue\nf 4 5 6\n"
    )
    mesh, colored, warnings = load(tmp_path / "flat.obj")
    assert colored and not warnings
    front = mesh.vertices[:, 1] < 0  # z = 1 in the file is towards the viewer
    assert torch.allclose(mesh.colors[front], torch.tensor([0, 0, 0.5]), atol=0.01)
    assert torch.allclose(mesh.colors[~front], torch.tensor([1.0, 0, 0]), atol=0.01)


def test_gltf_with_flat_materials_and_transforms(tmp_path):
    """Instances of one red triangle: as it is, and moved to the right by a node."""
    material = trimesh.visual.material.PBRMaterial(baseColorFactor=[0.5, 0.0, 0.0, 1.0])
    triangle = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]],
        visual=trimesh.visual.TextureVisuals(material=material), process=False,
    )  # fmt: skip
    scene = trimesh.Scene()
    scene.add_geometry(triangle, geom_name="t", node_name="here")
    move = trimesh.transformations.translation_matrix([3, 0, 0])
    scene.graph.update("there", geometry="t", matrix=move)
    scene.export(tmp_path / "two.glb")
    mesh, colored, _ = load(tmp_path / "two.glb")
    assert colored and len(mesh.faces) == 2
    assert torch.allclose(mesh.colors, torch.tensor([0.735, 0, 0]), atol=0.005)
    x = mesh.vertices[:, 0].sort().values * 4  # it was four wide
    assert torch.allclose(x, torch.tensor([-2.0, -2, -1, 1, 1, 2]), atol=1e-5)


def test_faces_with_colours_of_their_own(tmp_path):
    (tmp_path / "faces.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
        "property float z\nelement face 2\nproperty list uchar int vertex_indices\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n"
        "0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2 255 0 0\n3 0 2 3 0 0 255\n"
    )
    mesh, colored, _ = load(tmp_path / "faces.ply")
    assert colored
    colors = mesh.colors[mesh.faces]
    assert torch.allclose(colors[0], torch.tensor([1.0, 0, 0]))
    assert torch.allclose(colors[1], torch.tensor([0, 0, 1.0]))


# Geometry


def test_a_mirroring_node_keeps_the_outside(tmp_path):
    scene = trimesh.Scene()
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    for geometry in boxes.trimesh_scene().geometry.values():
        scene.add_geometry(geometry, transform=mirror)
    scene.export(tmp_path / "mirror.glb")
    mesh, _, _ = load(tmp_path / "mirror.glb")
    assert boxes.volume(mesh) == pytest.approx(
        boxes.volume(boxes.normalized(boxes.mesh())), rel=1e-3
    )


def test_degenerate_faces_and_unused_vertices_are_removed(tmp_path):
    (tmp_path / "dirt.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0.5 0 0\nv 99 99 99\nv nan 0 0\n"
        "f 1 2 3\nf 1 4 2\nf 1 1 2\nf 1 2 6\n"
    )
    mesh, colored, _ = load(tmp_path / "dirt.obj")
    assert not colored
    assert len(mesh.faces) == 1 and len(mesh.vertices) == 3
    assert torch.isfinite(mesh.vertices).all()


# Files that cannot be used


def broken_glb() -> bytes:
    return trimesh.creation.box().export(file_type="glb")[:-300]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.stl", b"solid", "not a mesh that can be read"),
        ("a.glb", b"", "is empty"),
        ("a.glb", b"what is this", "cannot be read"),
        ("a.glb", b"glTF" + b"\0" * 40, "cannot be read"),
        ("a.glb", broken_glb(), "cannot be read"),
        ("a.gltf", b'{"asset": ', "cannot be read"),
        ("a.gltf", b'{"asset": {"version": "2.0"}, "buffers": [{"uri": "gone.bin", '
         b'"byteLength": 12}], "bufferViews": [{"buffer": 0, "byteLength": 12}]}',
         "cannot be read"),
        ("a.gltf", b'{"extensionsRequired": ["KHR_draco_mesh_compression"]}', "compressed"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "cannot be read"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "points but no faces"),
        ("a.obj", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "cannot be read|is empty"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "has no surface"),
        ("a.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 999999\n", "cannot be"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\n"
         b"property float z\nend_header\n0 0 0\n1 1 1\n", "points but no faces"),
    ],
)  # fmt: skip
def test_unusable_files_are_errors_with_a_hint(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path / name)
    assert name in caught.value.sentence and caught.value.hint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no mesh .*gone.glb"):
        load(tmp_path / "gone.glb")


def test_too_many_faces_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ds4d.mesh.read.MAX_FACES", 20)
    boxes.trimesh_scene().export(tmp_path / "large.glb")
    with pytest.raises(UserError, match="more than 20 faces"):
        load(tmp_path / "large.glb")


@pytest.mark.parametrize("victim", ["mtl", "png"])
def test_a_missing_material_or_texture_is_a_warning(tmp_path, victim):
    material = trimesh.visual.material.SimpleMaterial(image=checkerboard())
    textured_square(material).export(tmp_path / "square.obj")
    lost = next(tmp_path.glob(f"*.{victim}"))
    lost.unlink()
    mesh, _, warnings = load(tmp_path / "square.obj")
    assert len(warnings) == 1 and lost.name in warnings[0] and len(mesh.faces)


def test_vertex_colours_of_other_gltf_are_linear(tmp_path):
    """Those that trimesh did not write."""
    data = trimesh.exchange.gltf.export_gltf(boxes.trimesh_scene())
    tree = json.loads(data["model.gltf"])
    tree["asset"]["generator"] = "a modelling program"
    for name, content in (data | {"model.gltf": json.dumps(tree).encode()}).items():
        (tmp_path / name).write_bytes(content)
    mesh, _, _ = load(tmp_path / "model.gltf")
    assert mesh.colors[:, 0].max() == pytest.approx(0.955, abs=0.005)  # linear 0.9


def test_a_missing_gltf_texture_is_a_warning(tmp_path):
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=checkerboard())
    files = trimesh.exchange.gltf.export_gltf(trimesh.Scene(textured_square(material)))
    tree = json.loads(files["model.gltf"])
    tree["images"] = [{"uri": "my%20paint.png"}]
    for name, data in (files | {"model.gltf": json.dumps(tree).encode()}).items():
        (tmp_path / name).write_bytes(data)
    _, _, warnings = load(tmp_path / "model.gltf")
    assert len(warnings) == 1 and "my paint.png" in warnings[0]


# Files that a mesh refers to

INPUTS = ROOT / "tests/inputs/mesh"


@pytest.mark.parametrize("name", ["up.glb", "up.obj"])
def test_a_texture_outside_the_folder_is_named_and_its_colours_do_not_count(name):
    _, colored, warnings = load(INPUTS / "models" / name)
    assert not colored and len(warnings) == 1 and "skin.png" in warnings[0]


def test_an_answer_does_not_tell_which_files_a_machine_has():
    answers = [load(INPUTS / f"oracle_{name}.obj") for name in ("exists", "missing")]
    assert answers[0][1] is answers[1][1] is False
    texts = [
        "".join(warnings).replace("exists", "").replace("missing.obj", ".obj")
        for _, _, warnings in answers
    ]
    assert texts[0].replace("hostname", "") == texts[1].replace("nonexistent_abc", "")


@pytest.mark.parametrize("link", [True, False])
def test_nothing_outside_of_the_folder_is_read(tmp_path, link):
    (tmp_path / "secret.png").write_bytes(png(checkerboard()))
    folder = tmp_path / "mesh"
    folder.mkdir()
    (folder / "a.mtl").write_text(
        f"newmtl m\nmap_Kd {'link.png' if link else tmp_path / 'secret.png'}\n"
    )
    if link:
        (folder / "link.png").symlink_to(tmp_path / "secret.png")
    text = (INPUTS / "oracle_exists.obj").read_text().replace("/etc/hostname", "a.mtl")
    (folder / "a.obj").write_text(text)
    _, colored, warnings = load(folder / "a.obj")
    assert not colored and len(warnings) == 1


def test_a_texture_beside_the_mesh_is_found_by_a_path_of_another_machine(tmp_path):
    material = trimesh.visual.material.SimpleMaterial(image=checkerboard())
    textured_square(material).export(tmp_path / "square.obj")
    library, texture = (next(tmp_path.glob(f"*.{kind}")) for kind in ("mtl", "png"))
    for elsewhere in (r"C:\Users\me\%s", "-s 1 1 1 %s", "/home/me/%s"):
        text = f"newmtl material_0\nmap_Kd {elsewhere % texture.name}\n"
        library.write_text(text)
        mesh, colored, warnings = load(tmp_path / "square.obj")
        assert colored and not warnings
        check_square(mesh)


def test_a_texture_that_unpacks_to_gigabytes_is_refused(tmp_path):
    with pytest.raises(UserError, match="textures .* too large"):
        load(INPUTS / "texbomb.glb")
    data, length = (INPUTS / "texbomb.glb").read_bytes(), 164_340
    (tmp_path / "bomb.png").write_bytes(data[-length:])
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd bomb.png\n")
    text = (INPUTS / "oracle_exists.obj").read_text().replace("/etc/hostname", "a.mtl")
    (tmp_path / "a.obj").write_text(text)
    with pytest.raises(UserError, match="textures .* too large"):
        load(tmp_path / "a.obj")


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0", b"GIF89a", b""])
def test_an_embedded_image_of_another_format_is_never_opened(tmp_path, content):
    tree, binary = read._chunks((INPUTS / "texbomb.glb").read_bytes())
    binary = binary[:104] + content.ljust(64, b" ")
    tree["bufferViews"][3]["byteLength"] = 64
    (tmp_path / "a.glb").write_bytes(read._glb(tree, binary))
    _, colored, warnings = load(tmp_path / "a.glb")
    assert not colored and "embedded" in warnings[0]


@pytest.mark.parametrize("count", [10**12, -1, "4"])
def test_a_glb_that_promises_too_much_is_refused(tmp_path, count):
    tree, binary = read._chunks((INPUTS / "models/up.glb").read_bytes())
    tree["accessors"][0] = {"componentType": 5126, "count": count, "type": "VEC3"}
    (tmp_path / "a.glb").write_bytes(read._glb(tree, binary))
    with pytest.raises(UserError):
        load(tmp_path / "a.glb")
