"""What a finished run has to show and to give away, from the files in its folder."""

from __future__ import annotations

import html
import json
from pathlib import Path

from ds4d import viewer

from .files import served, served_anew

# File in the run folder, its name on the page, and what it is good for.
DOWNLOADS = (
    ("exports/ds4d.zip", "Everything", "all files below, every frame as ply, and a README (zip)"),
    (
        "exports/player.html",
        "Player",
        "this player with the object in it; works offline",
    ),
    ("exports/object.ds4d", "Packed 4D file", "all frames in a few megabytes, for the web player"),
    ("exports/animated.glb", "Animated mesh", "for Blender, three.js, Babylon.js, model-viewer"),
    ("exports/moment.splat", "Splat", "one moment for splat viewers"),
    ("exports/points_cache.npz", "Points cache", "the Gaussians of every frame, as numpy arrays"),
    ("exports/import_ds4d.py", "Blender script", "brings the points cache into Blender"),
    ("mesh.glb", "Mesh", "the shape of the middle frame"),
    ("fourd.safetensors", "4D asset", "what the command line renders and exports from"),
    ("videos/orbit.mp4", "Orbit", "once around while time plays (mp4)"),
    ("videos/compare.mp4", "Comparison", "the input beside the render (mp4)"),
    ("exports/animations/orbit.gif", "Orbit", "for messages (GIF)"),
    ("exports/animations/orbit.webm", "Orbit", "transparent, for web pages (webm)"),
)
ZIP_FIRST = "exports/ds4d.zip"


def player(folder: Path) -> str:
    """The 4D player of a run, or nothing where its packed file is not there (any more)."""
    packed, orbit = folder / "exports/object.ds4d", folder / "videos/orbit.mp4"
    if not packed.exists():
        return ""
    label = "The object in four dimensions: drag to walk around it, the slider moves time"
    poster = folder / "previews/poster.png"
    return viewer.element(
        served_anew(packed),
        poster=served_anew(poster) if poster.exists() else None,
        fallback=served_anew(orbit),
        label=label,
    )


def downloads(folder: Path) -> str:
    """Links to every file that a person may want, with its size."""
    items = ""
    for name, title, words in DOWNLOADS:
        path = folder / name
        if path.exists():
            first = ' class="is-first"' if name == ZIP_FIRST else ""
            items += (
                f'<li{first}><a href="{served(path)}" download="{path.name}">'
                f"<b>{title}</b><span>{html.escape(words)}</span>"
                f"<i>{_size(path.stat().st_size)}</i></a></li>"
            )
    return f'<section class="downloads"><h3>Take it with you</h3><ul>{items}</ul></section>'


def insight(folder: Path) -> str:
    """What the method looked at in this clip (paper figure 8), where its pictures are there."""
    dynamics, scores = folder / "previews/dynamics.mp4", folder / "previews/scores.jpg"
    figures = ""
    if dynamics.exists():
        figures += _figure(
            f'<video src="{served_anew(dynamics)}" aria-label="Heat maps of what moves, over every '
            'view" autoplay loop muted playsinline></video>',
            "What moves: how much of each part's feature is left once what it shares with the "
            "middle frame and with all frames is taken away.",
        )
    if scores.exists():
        figures += _figure(
            f'<div class="scrolls" tabindex="0"><img src="{served_anew(scores)}" alt="The views of '
            'one moment, and below each the Gaussians in the colours of its weights"></div>',
            "Which view each Gaussian learns from: the views of one moment, and below each the "
            "weight that its features have; what it does not see is grey.",
        )
    if not figures:
        return ""
    return (
        f'<details class="insight"><summary>How it works on your clip</summary>{figures}</details>'
    )


def _figure(picture: str, words: str) -> str:
    return f"<figure>{picture}<figcaption>{words}</figcaption></figure>"


def comparison(folder: Path) -> tuple[tuple[str, str], str] | None:
    """The input and the render of the middle frame for an image slider, and its label."""
    pair = tuple(str(folder / f"previews/compare_{name}.png") for name in ("input", "render"))
    if not all(Path(path).exists() for path in pair):
        return None
    facts = json.loads((folder / "run.json").read_text())["stages"].get("videos", {})
    psnr = f", {facts['front_psnr']:.1f} dB over all frames" if "front_psnr" in facts else ""
    return pair, f"Input and render{psnr}"


def animated(video: str, kind: str) -> str:
    """Where in a run folder an animation is that was asked for."""
    return f"exports/animations/{video}.{kind}"


def _size(count: int) -> str:
    """Bytes as a person says them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
