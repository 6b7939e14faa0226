"""The text beside the files of a zip: what each of them is, and whose licences apply."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from ..weights import CATALOGUE

# What goes into the zip, in this order, and what it is; the first that fits a name counts.
# Checkpoints and features can be made again and stay out.
FILES = {
    "fourd.safetensors": "the 4D asset itself: render, export and evaluate read it",
    "run.json": "every setting, the seed, the engine of each stage, versions, times",
    "log.txt": "what happened when",
    "mesh.glb": "the shape of the middle frame, which the optimization started from",
    "points.ply": "points on that shape",
    "videos/compare.mp4": "the input and the render from the same side, next to each other",
    "videos/bullet.mp4": "the middle frame stands still while the camera goes round",
    "videos/orbit.mp4": "time plays while the camera goes round",
    "videos/*": "time plays, seen from the side in the name",
    "previews/compare_*.png": "input and render of the middle frame, for an image slider",
    "exports/object.ds4d": "packed 4D file: all frames in a few megabytes, for the web player",
    "exports/player.html": "the web player with the object in it: open it in any browser, offline",
    "exports/moment.splat": "one moment for splat viewers (antimatter15's layout)",
    "exports/ply/*": "one frame each for splat editors such as SuperSplat (stored Y down)",
    "exports/animated.glb": "a coloured mesh for each frame, shown one after the other: Blender, "
    "three.js, Babylon.js, <model-viewer>",
    "exports/points_cache.npz": "the Gaussians of every frame as numpy arrays, Z up, front at -Y",
    "exports/import_ds4d.py": "brings points_cache.npz into Blender: blender --python "
    "import_ds4d.py -- points_cache.npz",
    "frames/*": "the cut-out input frames",
    "multiview/*": "the six views of every frame that the optimization looked at",
}
OURS = "No pretrained weights were used."
THEIRS = "Pretrained weights were used. Their licences may limit what you may do with these files:"


def readme(
    names: Sequence[str],  # of the files in the zip
    record: dict[str, Any],  # the run's
) -> str:
    """README.txt of a zip: one paragraph for each kind of file in it, and licences."""
    lines = ["A 4D object made by DS4D.", ""]
    for number in sorted({kind(name) for name in names}):
        pattern, words = list(FILES.items())[number]
        lines += [pattern, textwrap.indent(textwrap.fill(words, 88), "    ")]
    used = sorted({w for stage in record["stages"].values() for w in stage.get("weights", [])})
    lines += ["", THEIRS if used else OURS]
    lines += [f"    {CATALOGUE[name].use}: {CATALOGUE[name].licence}" for name in used]
    return "\n".join([*lines, ""])


def kind(name: str) -> int | None:
    """Which of FILES a file of a run folder is, by its place there; None for any other file."""
    return next((n for n, pattern in enumerate(FILES) if fnmatch(name, pattern)), None)
