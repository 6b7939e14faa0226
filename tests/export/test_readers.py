"""Exported files in programs of other people: Khronos' validator, three.js, Babylon.js, PlayCanvas'
splat-transform, Blender. The first four are installed by `make test`, if npm is there, or by
`npm install --prefix tests/npm`; Blender by `pip install bpy`, on the Python that its wheel is for.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from ds4d.export.animated_glb import write_morphing, write_skinned
from ds4d.export.ply import to_ply_axes, write_ply
from ds4d.export.points_cache import SOURCE as SCRIPT
from ds4d.export.spz import write_spz
from ds4d.moving_mesh.model import Material, MovingMesh, Part, Rig
from ds4d.moving_mesh.posing import pose
from ds4d.moving_mesh.skinning import decompose
from ds4d.moving_mesh.texture import jpeg
from ds4d.splatting.splats import Splats
from tests.paths import ROOT

MODULES = ROOT / "tests/npm/node_modules"
SECONDS = [0.0, 0.5, 1.5, 2.0]
SIZE = 64  # pixels of a picture in the browser
LIBRARIES = {
    "three": ["three"],
    "babylon": ["babylonjs", "babylonjs-loaders"],
}


def installed(*names: str) -> None:
    missing = [name for name in names if not (MODULES / name).is_dir()]
    if missing or shutil.which("node") is None:
        pytest.skip(
            f"not installed: {', '.join(missing) or 'node'} (npm install --prefix tests/npm)"
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A red and blue rod that bends: with bones, with morph targets, and with a given skeleton."""
    rod = trimesh.creation.cylinder(0.1, 0.8, sections=8).subdivide_to_size(0.1)
    rest = np.asarray(rod.vertices)
    upper = np.clip(rest[:, 2:] / 0.4 + 0.5, 0, 1)
    frames = [
        Rotation.from_rotvec(upper * [0, bend, 0]).apply(rest) for bend in (0.0, 0.5, 1.0, 0.3)
    ]
    uv = np.stack([0.5 + rest[:, 0], 0.5 - rest[:, 2]], 1)
    texture = np.zeros((32, 32, 3), np.uint8)
    texture[:16], texture[16:] = (200, 60, 30), (30, 60, 200)
    picture = io.BytesIO()
    Image.new("RGB", (4, 4), (128, 128, 255)).save(picture, "PNG")
    maps = (("normalTexture", picture.getvalue()),)
    material = Material(jpeg(texture), unlit=True)
    faces = np.asarray(rod.faces)
    part = Part(0, len(rest), faces, material, uv)
    moving = MovingMesh(np.stack(frames), (part,), 0)
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[0, 2, 3] = -0.4
    weights = np.hstack([1 - upper, upper, 0 * upper, 0 * upper])
    bones = np.where(weights > 0, [0, 1, 0, 0], 0)
    rig = Rig(("a", "b"), np.array([-1, 0]), poses, bones, weights)
    lit = Part(0, len(rest), faces, Material(jpeg(texture), maps, roughness=0.6), uv)
    given = MovingMesh(moving.vertices, (lit,), 0, rig)
    folder = tmp_path_factory.mktemp("files")
    write_skinned(
        folder / "object.glb", moving, decompose(moving.surface(0), moving.vertices, 4), SECONDS
    )
    write_morphing(folder / "object_morph.glb", moving, SECONDS)
    write_skinned(folder / "given.glb", given, pose(given), SECONDS)
    return folder


def test_the_validator_of_khronos_finds_nothing(files):
    installed("gltf-validator")
    script = (
        "const v = require('gltf-validator'), fs = require('fs');"
        "Promise.all(process.argv.slice(1).map(f => v.validateBytes(new Uint8Array("
        "fs.readFileSync(f))))).then(r => console.log(JSON.stringify(r.map(x => "
        "[...new Set(x.issues.messages.filter(m => m.severity < 2).map(m => m.code))]))))"
    )
    paths = [str(path) for path in sorted(files.glob("*.glb"))]
    ran = subprocess.run(
        ["node", "-e", script, *paths],
        capture_output=True, text=True, cwd=MODULES.parent,
    )  # fmt: skip
    # Programs make the tangents of normal maps themselves, from the texture coordinates.
    (given, *others), tangents = json.loads(ran.stdout), "MESH_PRIMITIVE_GENERATED_TANGENT_SPACE"
    assert given == [tangents] and others == [[], []]


PAGES = {
    "three": """
<script type="importmap">{"imports": {"three": "/three/build/three.module.js",
  "three/addons/": "/three/examples/jsm/"}}</script>
<script type="module">
import * as THREE from "three";
import {GLTFLoader} from "three/addons/loaders/GLTFLoader.js";
const renderer = new THREE.WebGLRenderer({preserveDrawingBuffer: true});
renderer.setSize(SIZE, SIZE);
const camera = new THREE.PerspectiveCamera(40, 1, 0.1, 10);
camera.position.z = 2;
const scene = new THREE.Scene();
new GLTFLoader().load("/files/NAME", gltf => {
  scene.add(gltf.scene, new THREE.AmbientLight(0xffffff, 3));
  const mixer = new THREE.AnimationMixer(gltf.scene);
  for (const clip of gltf.animations) mixer.clipAction(clip).play();
  window.at = seconds => {
    mixer.setTime(seconds);
    renderer.render(scene, camera);
    return [renderer.info.render.calls, renderer.domElement.toDataURL()];
  };
});
</script>""",
    "babylon": """
<script src="/babylonjs/babylon.js"></script>
<script src="/babylonjs-loaders/babylonjs.loaders.min.js"></script>
<canvas id="c" width="SIZE" height="SIZE" style="width: SIZEpx; height: SIZEpx"></canvas>
<script>
const engine = new BABYLON.Engine(document.getElementById("c"), false,
  {preserveDrawingBuffer: true});
const scene = new BABYLON.Scene(engine);
const camera = new BABYLON.FreeCamera("c", new BABYLON.Vector3(0, 0, 2), scene);
camera.setTarget(BABYLON.Vector3.Zero());
new BABYLON.HemisphericLight("l", new BABYLON.Vector3(0, 1, 0), scene);
BABYLON.SceneLoader.Append("/files/", "NAME", scene, () => scene.executeWhenReady(() => {
  const group = scene.animationGroups[0], length = group.to - group.from;
  group.start(true);
  group.pause();
  window.at = seconds => {
    const share = seconds / DURATION;
    group.goToFrame(group.from + (share - Math.floor(share)) * length);
    scene.render();
    scene.render();
    return [scene.getActiveMeshes().data.slice(0, scene.getActiveMeshes().length)
      .filter(mesh => mesh.getTotalVertices() > 0).length, engine.getRenderingCanvas().toDataURL()];
  };
}));
</script>""",
}


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("three", "object.glb"), ("three", "object_morph.glb"), ("three", "given.glb"),
        ("babylon", "object.glb"), ("babylon", "object_morph.glb"),
    ],
)  # fmt: skip
def test_viewers_show_one_mesh_that_moves_and_loops(files, chromium, library, name):
    installed(*LIBRARIES[library])
    html = PAGES[library].replace("NAME", name).replace("SIZE", str(SIZE))
    html = html.replace("DURATION", str(SECONDS[-1]))

    def answer(route):
        path = route.request.url.partition("//")[2].partition("/")[2].partition("?")[0]
        if path == "":
            route.fulfill(body=html, content_type="text/html")
        else:
            file = files / path.removeprefix("files/") if path[:6] == "files/" else MODULES / path
            route.fulfill(path=file) if file.is_file() else route.fulfill(status=404)

    page = chromium.new_page()
    try:
        page.route("**/*", answer)
        page.goto("http://localhost/")
        page.wait_for_function("window.at", timeout=60_000)
        shown = [page.evaluate("s => window.at(s)", s) for s in (0.2, 1.2, 1.8, 2.2, 3.2, 3.8)]
    finally:
        page.close()
    assert [count for count, _ in shown] == [1] * 6
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))
        for _, url in shown
    ]
    first, second = (np.stack(loop).astype(int) for loop in (pictures[:3], pictures[3:]))
    assert np.abs(first - second).mean() < 1
    assert np.abs(first[0] - first[1]).mean() > 1
    red, blue = ((first[0] @ color) > 60 for color in ([1, -1, -0.5], [-0.5, -1, 1]))
    assert red.sum() > 20 and blue.sum() > 20


BLENDER = """
import json, runpy, sys
script, source, target = sys.argv[1:]
sys.argv = [script, "--", source, target]
runpy.run_path(script, run_name="__main__")
import bpy
mesh = next(thing for thing in bpy.data.objects if thing.type == "MESH" and thing.data.materials)
nodes = mesh.data.materials[0].node_tree.nodes
print(json.dumps({
    "vertices": len(mesh.data.vertices),
    "bones": sum(len(rig.bones) for rig in bpy.data.armatures),
    "shapes": len(mesh.data.shape_keys.key_blocks) if mesh.data.shape_keys else 0,
    "texture": [list(node.image.size) for node in nodes if node.type == "TEX_IMAGE"],
    "end": bpy.context.scene.frame_end,
}))
"""


@pytest.mark.parametrize("name", ["object", "object_morph"])
def test_blender_imports_the_mesh_with_its_texture_and_writes_fbx(files, tmp_path, name):
    if importlib.util.find_spec("bpy") is None:
        pytest.skip("bpy is not installed (pip install bpy)")
    target = tmp_path / "object.fbx"
    ran = subprocess.run(
        [sys.executable, "-c", BLENDER, SCRIPT, files / f"{name}.glb", target],
        capture_output=True, text=True,
    )  # fmt: skip
    if ran.returncode:
        pytest.fail(ran.stdout + ran.stderr)
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["texture"] == [[32, 32]] and found["end"] == round(SECONDS[-1] * 24)
    assert (found["bones"] > 1) == (name == "object")
    assert found["shapes"] == (0 if name == "object" else len(SECONDS))
    assert target.stat().st_size > 10_000


def test_splat_transform_finds_the_same_gaussians(tmp_path):
    installed("@playcanvas/splat-transform")
    generator = torch.Generator().manual_seed(0)
    quats = torch.randn(50, 4, generator=generator)
    splats = Splats(
        torch.randn(50, 3, generator=generator) / 4, quats / quats.norm(dim=1, keepdim=True),
        0.02 + 0.05 * torch.rand(50, 3, generator=generator),
        0.1 + 0.8 * torch.rand(50, generator=generator), torch.rand(50, 3, generator=generator),
    )  # fmt: skip
    write_ply(tmp_path / "a.ply", to_ply_axes(splats))
    write_spz(tmp_path / "b.spz", to_ply_axes(splats))
    found = {}
    for name in ("a.ply", "b.spz"):
        tool = MODULES / "@playcanvas/splat-transform/bin/cli.mjs"
        out = tmp_path / f"{name}.csv"
        ran = subprocess.run(
            ["node", str(tool), str(tmp_path / name), str(out)], capture_output=True, text=True
        )
        if not out.exists():
            pytest.fail(ran.stdout + ran.stderr)
        found[name] = np.genfromtxt(out, delimiter=",", names=True)
    ply, spz = found.values()
    # Both as the files have them: Y is down in .ply files and up in .spz files.
    for name, sign in (("x", 1), ("y", -1), ("z", -1)):
        assert np.allclose(ply[name], sign * spz[name], atol=1e-4), name
    for name, tolerance in (("scale_0", 0.04), ("opacity", 0.05), ("f_dc_0", 0.03)):
        assert np.allclose(ply[name], spz[name], atol=tolerance), name
