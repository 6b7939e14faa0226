"""What this Space is and what it runs on: the header, and the tab that tells everything."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import gradio as gr

from ds4d.config import PRESETS
from ds4d.run.estimate import expected

from .files import served

ROOT = Path(__file__).resolve().parents[1]
HERO = "frog"  # of the bundled results
DOCTOR_SECONDS = 180  # the first time, kernels are compiled
ON_A_SPACE = "SPACE_ID" in os.environ
LICENCES = (
    ("This Space's code", "Apache-2.0", "do what you like"),
    ("Embedded engines", "no weights", "do what you like"),
    ("Zero123++ (six views)", "CC-BY-NC 4.0", "not for commercial use"),
    ("InstantMesh, DINOv2, rembg's IS-Net", "Apache-2.0", "do what you like"),
    ("LPIPS's VGG16", "BSD-3-Clause", "do what you like"),
    ("Zero123 XL (score distillation)", "tagged MIT by who converted it", "see its model card"),
    ("Example clips", "CC0", "do what you like"),
)


# Whoever prefers reduced motion starts videos by hand.
CALM = """
if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
  const still = (video) => {
    if (!video.autoplay || navigator.userActivation?.isActive) return;
    video.pause();
    video.currentTime = 0;
  };
  document.querySelectorAll("video").forEach(still);
  document.addEventListener("play", ({target}) => still(target), true);
}
"""


@cache
def gpu_name() -> str:
    """The GPU that computes here, or nothing; torch is not asked, it takes seconds to come."""
    if os.environ.get("SPACES_ZERO_GPU"):
        return "a lent RTX PRO 6000"
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    found = subprocess.run(
        [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True
    )
    return found.stdout.splitlines()[0].strip() if found.returncode == 0 and found.stdout else ""


def cores() -> int:
    """Of the processor that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spoken(seconds: float) -> str:
    """A length of time as people say it when they are not sure."""
    for size, name in ((3600, "hour"), (60, "minute")):
        if seconds > 1.4 * size:
            return f"{round(seconds / size)} {name}s"
        if seconds > 0.8 * size:
            return f"a {name}" if name == "minute" else f"an {name}"
    return f"{max(5, 5 * round(seconds / 5))} seconds"


def preview_seconds() -> float:
    config = PRESETS["preview"]
    return sum(cost.seconds for cost in expected(config, config.clip.frames, gpu_name(), cores()))


def header() -> str:
    """What this is, what runs here, how long it takes, and a result that turns."""
    gpu, takes = gpu_name(), spoken(preview_seconds())
    if gpu:
        facts = [
            f"runs on {gpu}",
            "pretrained networks, embedded engines where weights are missing",
        ]
    else:
        facts = [f"runs on the CPU, {cores()} cores", "embedded engines, no downloads"]
    facts.append(f"a preview takes about {takes}")
    chips = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    folder = ROOT / "examples/results" / HERO
    return (
        '<section class="intro"><div><h1>A short clip in, an object in '
        "<em>four dimensions</em> out</h1><p>DS4D turns a video of one moving object into "
        "Gaussians that you can walk around while they move, with the mattes, the views and the "
        f'mesh on the way.</p><ul aria-label="What runs here">{chips}</ul>{_without_gpu(gpu)}'
        f"</div>{_hero(folder / 'videos/orbit.mp4')}</section>"
    )


def _hero(video: Path) -> str:
    if not video.exists():
        return ""
    words = "A frog, made here from a short clip, turns around while it moves"
    return (
        f'<video class="hero" src="{served(video)}" aria-label="{words}" width="384" height="384" '
        "autoplay loop muted playsinline></video>"
    )


def _without_gpu(gpu: str) -> str:
    """What a machine without a GPU leaves out, and what to do about it."""
    if gpu:
        return (
            '<p class="limits">Zero123++, which draws the six views, has weights for '
            "<strong>non-commercial use</strong> only: so are the results.</p>"
        )
    more = (
        "Duplicate it to hardware with one, below, and the pretrained networks do."
        if ON_A_SPACE
        else "On a GPU of 16 GB or more the pretrained networks do."
    )
    return (
        '<p class="limits"><strong>No GPU here:</strong> classical engines do the work, and guess '
        f"what the clip does not show. {more}</p>"
    )


def build() -> None:
    """The tab's contents."""
    gr.HTML(_about(), apply_default_css=False)
    if ON_A_SPACE:
        gr.DuplicateButton("Duplicate this Space to hardware of your own")
    look = gr.Button("Look what runs here", elem_id="doctor-button")
    report = gr.HTML(elem_id="doctor", apply_default_css=False)
    look.click(lambda: _told("Looking: a few seconds, a minute the first time."), None, report,
               queue=False, api_visibility="private")  # fmt: skip
    look.click(doctor, None, report, concurrency_limit=1, show_progress="hidden",
               api_visibility="private")  # fmt: skip


def doctor() -> str:
    """What `python -m ds4d doctor` says, in a process of its own: the page stays quick."""
    try:
        found = subprocess.run(
            [sys.executable, "-m", "ds4d", "doctor"], cwd=ROOT, capture_output=True, text=True,
            timeout=DOCTOR_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return _told(f"No answer after {DOCTOR_SECONDS} s: the machine is busy. Try again later.")
    return f'<pre tabindex="0" aria-label="What runs here">{html.escape(found.stdout)}</pre>'


def _told(words: str) -> str:
    return f'<p role="status">{html.escape(words)}</p>'


def _about() -> str:
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(what)}</th><td>{html.escape(licence)}</td>"
        f"<td>{html.escape(use)}</td></tr>"
        for what, licence, use in LICENCES
    )
    return f"""<section class="about"><h2>What it does</h2>
<p>It cuts the object out of every frame, imagines each frame from six sides, finds the shape of the
middle frame, and then fits Gaussians that move with the clip. What tells moving from resting parts
is the method of <i>Not All Frame Features Are Equal: Video-to-4D Generation via Decoupling
Dynamic-Static Features</i> (ICCV 2025).</p>
<h2>Whose work it uses, and what you may do with it</h2>
<div class="scrolls" tabindex="0"><table><thead><tr><th scope="col">Part</th><th scope="col">Licence
</th><th scope="col">Results</th></tr></thead><tbody>{rows}</tbody></table></div>
<p>Which engines made a result stands above it and in its run.json.</p>
<h2>What runs on this machine</h2></section>"""
