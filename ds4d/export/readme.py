"""README.txt of the archive: a description of each file and the licences that apply."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from ..weights import CATALOGUE

# Patterns of the files in the archive, in order, with their descriptions; the first match counts.
# Checkpoints and features can be recomputed and are left out.
FILES = {
    "fourd.safetensors": "the 4D asset itself, read by the render, export and evaluate commands",
    "run.json": "all settings, the seed, the engine of each stage, versions and timings",
    "log.txt": "log of the run, with times",
    "mesh.glb": "mesh of the middle frame, from which the optimization started: Blender, three.js, "
    "and other programs that read glTF",
    "points.ply": "points sampled on that mesh: MeshLab, CloudCompare, Blender",
    "videos/compare.mp4": "input and render from the same camera, side by side: any video player",
    "videos/input.mp4": "the object where it crosses the clip, over the clip's faded frames: any "
    "video player",
    "videos/bullet.mp4": "the middle frame, frozen, while the camera circles the object: any video "
    "player",
    "videos/orbit.mp4": "time plays while the camera circles the object: any video player",
    "videos/*": "time plays, seen from the side that the name states: any video player",
    "previews/compare_*.png": "input and render of the middle frame, for an image slider",
    "exports/object.ds4d": "packed 4D file: all frames in a few megabytes, for the web player",
    "exports/player.html": "the web player with the object in it: open it in any browser, offline",
    "exports/object.glb": "one textured mesh that moves, with a skeleton: Blender, Unity, Unreal, "
    "Godot, three.js, Babylon.js, <model-viewer>",
    "exports/object_morph.glb": "the same mesh with a morph target per frame, the motion without "
    "the approximation by bones: Blender, three.js, Babylon.js, <model-viewer>",
    "exports/object.usdz": "the mesh with its skeleton for iPhone, iPad and Vision Pro, and for "
    "programs that read USD",
    "mesh_given.glb": "the mesh that was given, placed as the views of the middle frame show it",
    "exports/moment.splat": "one moment in antimatter15's layout: SuperSplat and other viewers of "
    ".splat files in a browser",
    "exports/moment.spz": "the same moment, compressed (Niantic's layout)",
    "exports/moment.glb": "the same moment as glTF with KHR_gaussian_splatting; readers without "
    "the extension show coloured points",
    "exports/ply/*": "one file per frame, for splat editors (stored Y down). SuperSplat plays "
    "them: drag the whole folder into its window, then press play on the timeline.",
    "exports/points_cache.npz": "the Gaussians of every frame as numpy arrays, Z up, front at -Y",
    "exports/import_ds4d.py": "imports object.glb, object_morph.glb or points_cache.npz into "
    "Blender, and writes FBX or USD: blender -b --python import_ds4d.py -- object.glb object.fbx",
    "exports/root_motion.json": "times, and the translations by which the object crossed the "
    "clip's frame: Z up, front at -Y; object.glb, object_morph.glb and object.usdz move by them",
    "frames/*": "the cut-out input frames, PNG with transparency: any image program",
    "multiview/*": "the views of every frame that the optimization used",
}
NO_WEIGHTS = "No pretrained weights were used."
WEIGHTS = "Pretrained weights were used. Their licences may restrict the use of these files:"


def readme(
    names: Sequence[str],  # of the files in the zip
    record: dict[str, Any],  # the run's
) -> str:
    """Compose README.txt: one paragraph per kind of file, then licences."""
    lines = ["A 4D object made with DS4D.", ""]
    for number in sorted({kind(name) for name in names}):
        pattern, description = list(FILES.items())[number]
        lines += [pattern, textwrap.indent(textwrap.fill(description, 88), "    ")]
    stages = record["stages"].values()
    used = sorted({name for stage in stages for name in stage.get("weights", [])})
    lines += ["", WEIGHTS if used else NO_WEIGHTS]
    lines += [f"    {CATALOGUE[name].use}: {CATALOGUE[name].licence}" for name in used]
    return "\n".join([*lines, ""])


def kind(name: str) -> int | None:
    """Index in FILES of a file of a run folder, None for a file that is not in the archive."""
    return next((n for n, pattern in enumerate(FILES) if fnmatch(name, pattern)), None)
