"""The header, and the tab about this Space: method, licences, system status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gradio as gr

from ds4d.config import MachineConfig
from ds4d.format import rough_duration
from ds4d.presets import PRESETS
from ds4d.run.engines import not_commercial
from ds4d.run.estimate import expected
from ds4d.weights import CATALOGUE

from .components.panel import panel
from .examples import Example
from .hardware import cores, gpu_name
from .html import render

ROOT = Path(__file__).resolve().parents[1]
HERO = Example("frog")
DOCTOR_SECONDS = 180  # the first time, kernels are compiled


def on_space() -> bool:
    return "SPACE_ID" in os.environ


def header() -> str:
    """Title, hardware, expected duration and a turning result, as HTML."""
    gpu, preview = gpu_name(), PRESETS["preview"]
    estimate = expected(preview, preview.clip.frames, gpu, cores())
    seconds = sum(cost.seconds for cost in estimate)
    if gpu:
        facts = [f"runs on {gpu}", "pretrained networks where weights are available"]
    else:
        facts = [f"runs on the CPU, {cores()} cores", "embedded engines and a small depth network"]
    commercial = MachineConfig().commercial
    if commercial:
        facts.append("only weights that allow commercial use")
    facts.append(f"a preview takes about {rough_duration(seconds)}")
    hero = HERO.folder / "videos/orbit.mp4"
    return render(
        "header", facts=facts, gpu=gpu, commercial=commercial, on_space=on_space(), hero=hero
    )


def licences() -> dict[str, list[str]]:
    """The parts of this Space and the weights that it can use, by their licence."""
    parts = {"Apache-2.0": ["the code and the embedded engines"], "CC0": ["example clips"]}
    parts["TOST-1.0 (Apache-2.0 but for trademarks)"] = ["usd-core, which writes usdz files"]
    for weights in CATALOGUE.values():
        if not not_commercial((weights.name,), MachineConfig()):
            parts.setdefault(weights.licence, []).append(weights.use)
    return parts


def left_out() -> dict[str, str]:
    """Weights that this Space does not use, with the reasons, where it is for commercial use."""
    found = (not_commercial((name,), MachineConfig()) for name in CATALOGUE)
    return {CATALOGUE[name].use: reason for name, reason in filter(None, found)}


def build() -> None:
    """Add the contents of the tab to the page that is being built."""
    panel(render("about", licences=licences(), left_out=left_out()))
    if on_space():
        gr.DuplicateButton("Duplicate this Space to your own hardware")
    button = gr.Button("System status", elem_id="doctor-button")
    report = panel(elem_id="doctor")
    private = {"api_visibility": "private"}
    checking = render("status", text="Checking: a few seconds, up to a minute the first time.")
    button.click(lambda: checking, None, report, queue=False, **private)
    button.click(doctor, None, report, concurrency_limit=1, show_progress="hidden", **private)


def doctor() -> str:
    """The report of `python -m ds4d doctor`, run as a process of its own, as HTML."""
    command = [sys.executable, "-m", "ds4d", "doctor"]
    try:
        process = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=DOCTOR_SECONDS
        )
    except subprocess.TimeoutExpired:
        text = f"No answer after {DOCTOR_SECONDS} s: the machine is busy. Please try again later."
        return render("status", text=text)
    return render("report", text=process.stdout)
