"""Results of a finished run, from the files in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from ds4d import viewer
from ds4d.render import VIDEOS as VIDEO_NAMES

from .html import render, served_fresh

VIDEOS = {name: f"videos/{name}.mp4" for name in VIDEO_NAMES}  # name -> file in the run folder
ARCHIVE, ASSET, MESH = "exports/ds4d.zip", "fourd.safetensors", "mesh.glb"
PACKED, MOVING = "exports/object.ds4d", "exports/object.glb"


class Download(NamedTuple):
    """A file in the run folder that the page offers."""

    file: str
    title: str
    use: str


DOWNLOADS = (
    Download(ARCHIVE, "Everything", "all files below, every frame as ply, and a README (zip)"),
    Download("exports/player.html", "Player", "this player with the object in it; works offline"),
    Download(PACKED, "Packed 4D file", "all frames in a few megabytes, for the web player"),
    Download(
        "exports/object.glb",
        "Moving mesh",
        "textured, with a skeleton: Blender, Unity, Unreal, web",
    ),
    Download("exports/object_morph.glb", "Moving mesh, morphs", "the exact motion, without bones"),
    Download("exports/object.usdz", "Moving mesh (usdz)", "for iPhone and iPad"),
    Download("exports/moment.glb", "Splat (glTF)", "one moment, KHR_gaussian_splatting"),
    Download("exports/moment.spz", "Splat (spz)", "one moment, compressed"),
    Download("exports/moment.splat", "Splat", "one moment, for splat viewers"),
    Download("exports/points_cache.npz", "Point cache", "Gaussians of every frame as numpy arrays"),
    Download("exports/import_ds4d.py", "Blender script", "imports mesh or cache; writes FBX, USD"),
    Download(MESH, "Mesh", "the shape of the middle frame"),
    Download(ASSET, "4D asset", "input of the render and export commands"),
    Download(VIDEOS["orbit"], "Orbit", "once around while time plays (mp4)"),
    Download("videos/compare.mp4", "Comparison", "the input beside the render (mp4)"),
    Download("videos/input.mp4", "Path", "the object where it crosses your clip (mp4)"),
    Download("exports/animations/orbit.gif", "Orbit", "for messages (GIF)"),
    Download("exports/animations/orbit.webm", "Orbit", "transparent, for web pages (webm)"),
)


def player(folder: Path) -> str:
    """The 4D player of a run as HTML; empty if its packed file is missing."""
    packed, poster = folder / PACKED, folder / "previews/poster.png"
    if not packed.exists():
        return ""
    return viewer.element(
        served_fresh(packed),
        poster=served_fresh(poster) if poster.exists() else None,
        fallback=served_fresh(folder / VIDEOS["orbit"]),
        label="The object in four dimensions: drag to orbit, use the slider to move in time",
    )


def downloads(folder: Path) -> str:
    """Links to the files of a run, with their sizes, as HTML."""
    files = [(download, folder / download.file) for download in DOWNLOADS]
    return render("downloads", files=[(link, path) for link, path in files if path.exists()])


def insight(folder: Path) -> str:
    """The method's own pictures of a run (paper figure 8) as HTML; empty if there are none."""
    dynamics, scores = folder / "previews/dynamics.mp4", folder / "previews/scores.jpg"
    if not dynamics.exists() and not scores.exists():
        return ""
    return render("insight", dynamics=dynamics, scores=scores)


def comparison(folder: Path) -> tuple[tuple[str, str], str] | None:
    """Input and render of the middle frame for an image slider, and its label."""
    pair = tuple(str(folder / f"previews/compare_{name}.png") for name in ("input", "render"))
    if not all(Path(path).exists() for path in pair):
        return None
    facts = json.loads((folder / "run.json").read_text())["stages"].get("videos", {})
    psnr = f", {facts['front_psnr']:.1f} dB over all frames" if "front_psnr" in facts else ""
    return pair, f"Input and render{psnr}"


def animation(video: str, kind: str) -> str:
    """File in the run folder of an animation that is rendered on request."""
    return f"exports/animations/{video}.{kind}"
