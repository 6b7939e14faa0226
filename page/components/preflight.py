"""The pre-flight on the page: a timeline to choose a part of the clip from, checks, and costs."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from ds4d.config import ClipConfig, Config
from ds4d.errors import UserError
from ds4d.images import checkerboard, over
from ds4d.preflight import Check, Look, look
from ds4d.run.estimate import expected

from ..about import cores, gpu_name, spoken
from ..progress import CARD_OF
from ..settings import SETTINGS, configure

LOOKS = 32  # that are remembered
THUMB_HEIGHT = 72  # pixels


def shown(clip: str | None, preset: str, seed: int, *rest) -> str:
    """The panel for what a visitor has chosen so far: values for SETTINGS, and a mesh file."""
    if not clip:
        return ""
    *values, mesh = rest
    try:
        return report(clip, configure(preset, seed, dict(zip(SETTINGS, values, strict=True)), mesh))
    except UserError as error:
        check = Check("Clip", error.sentence, fine=False, hint=error.hint)
        return f'<section class="preflight"><ul class="checks">{_item(check)}</ul></section>'


def report(clip: str, config: Config) -> str:
    """Everything that is known about a clip before it is computed, as HTML.

    Raises UserError for a clip that a run would refuse.
    """
    whole = _looked(clip, replace(config.clip, start=0.0, end=None))
    part = _looked(clip, config.clip)
    facts = [f"{whole.width} x {whole.height} pixels", f"{whole.source_frames} frames"]
    if whole.seconds:
        facts[1:1] = [f"{whole.seconds:.1f} s", f"{whole.fps:.3g} frames a second"]
    checks = "".join(_item(check) for check in sorted(part.checks, key=lambda check: check.fine))
    return (
        f'<section class="preflight" aria-label="Before you start"><h3>{html.escape(whole.name)}'
        f"</h3><p>{', '.join(facts)}</p>{timeline(whole, part, config.clip)}"
        f'<ul class="checks">{checks}</ul>{costs(config, len(part.used))}</section>'
    )


def _looked(clip: str, config: ClipConfig) -> Look:
    return _remembered(clip, Path(clip).stat().st_mtime_ns, config)


@lru_cache(LOOKS)
def _remembered(clip: str, changed: int, config: ClipConfig) -> Look:
    return look(Path(clip), config)


def _item(check: Check) -> str:
    hint = f" <i>{html.escape(check.hint)}</i>" if check.hint else ""
    mark = ("is-fine", "fine") if check.fine else ("is-doubt", "look at this")
    return (
        f'<li class="{mark[0]}"><span class="mark" role="img" aria-label="{mark[1]}"></span><p>'
        f"<b>{html.escape(check.name)}</b> {html.escape(check.sentence)}{hint}</p></li>"
    )


def timeline(whole: Look, part: Look, config: ClipConfig) -> str:
    """The clip in a row of pictures; marks where a run takes its frames; two handles."""
    pictures = "".join(f'<img alt="" src="{_thumbnail(picture)}">' for picture in whole.pictures)
    last = max(whole.source_frames - 1, 1)
    ticks = "".join(f'<i style="left:{index / last:.2%}"></i>' for index in part.used)
    strip = f'<div class="strip-of-time">{pictures}</div><div class="ticks">{ticks}</div>'
    if whole.seconds is None:
        return f'<div class="timeline">{strip}</div>'
    end = whole.seconds if config.end is None else min(config.end, whole.seconds)
    left, right = config.start / whole.seconds, end / whole.seconds
    return (
        f'<div class="timeline" style="--from:{left:.4f};--to:{right:.4f}" '
        f'data-fps="{whole.fps:.6f}">{strip}<div class="shade"></div>'
        f"{_handle('from', 'Start', config.start, whole)}{_handle('to', 'End', end, whole)}"
        f"<p><output>{config.start:.2f} s to {end:.2f} s</output> "
        f"<span>{len(part.used)} frames are used</span></p></div>"
    )


def _handle(name: str, label: str, seconds: float, whole: Look) -> str:
    """A slider over the clip's frames."""
    return (
        f'<input type="range" class="{name}" aria-label="{label}" min="0" '
        f'max="{whole.source_frames}" value="{round(seconds * whole.fps)}" '
        f'aria-valuetext="{seconds:.2f} seconds">'
    )


def _thumbnail(picture: np.ndarray) -> str:
    if picture.shape[2] == 4:
        picture = over(picture, checkerboard(*picture.shape[:2], 8))
    image = Image.fromarray(picture)
    image.thumbnail((THUMB_HEIGHT * 3, THUMB_HEIGHT))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def costs(config: Config, frames: int) -> str:
    """What the run will take, as a bar of its stages, and as words."""
    gpu = gpu_name()
    each = expected(config, frames, gpu, cores())
    total = sum(cost.seconds for cost in each)
    memory = max(cost.memory_gb for cost in each)
    where = gpu or f"{cores()} CPU cores"
    shares: dict[str, float] = {}
    for cost in each:
        shares[CARD_OF[cost.stage]] = shares.get(CARD_OF[cost.stage], 0) + cost.seconds
    bar = "".join(
        f'<i style="flex:{max(seconds / total, 0.01):.3f}"></i>' for seconds in shares.values()
    )
    rows = "".join(f"<li>{name} <b>{spoken(s)}</b></li>" for name, s in shares.items())
    return (
        f'<div class="costs"><p>About <b>{spoken(total)}</b> and <b>{memory:.1f} GB</b> of '
        f"{'its' if gpu else 'the'} memory on {html.escape(where)}, once it is its turn.</p>"
        f'<div class="bar-of-stages" aria-hidden="true">{bar}</div>'
        f"<details><summary>Stage by stage</summary><ul>{rows}</ul><p>An estimate: measured on "
        f"{'an H200' if gpu else 'two cores'}, scaled to this clip, these settings and this "
        "machine. Others who use it at the same time make it slower.</p></details></div>"
    )


def preflight(
    clip: str, preset: str = "preview", start: float | None = None, end: float | None = None
) -> dict[str, Any]:
    """Look at a clip before it is computed: what would be used, what may go wrong, what it takes.

    Args:
        clip: a video, GIF or WebP of one object.
        preset: preview, standard or paper.
        start: first moment that is used, seconds; left out: the clip's start.
        end: last moment that is used, seconds; left out: the clip's end.

    Returns:
        seconds, fps, width, height, source_frames, used (numbers of the source's frames), checks
        (name, fine, sentence, hint), costs (stage, seconds, memory_gb: estimates).
    """
    try:
        config = configure(preset, 0, {"start": start, "end": end})
        found = look(Path(clip), config.clip)
    except UserError as error:
        raise gr.Error(f"{error.sentence} {error.hint}".strip(), print_exception=False) from error
    costs = expected(config, len(found.used), gpu_name(), cores())
    return {
        "seconds": found.seconds, "fps": found.fps, "width": found.width, "height": found.height,
        "source_frames": found.source_frames, "used": found.used.tolist(),
        "checks": [asdict(check) for check in found.checks],
        "costs": [asdict(cost) for cost in costs],
    }  # fmt: skip


def chosen(event: gr.EventData) -> tuple[float, float]:
    """Start and end, seconds, where the handles were let go."""
    return round(float(event._data["start"]), 3), round(float(event._data["end"]), 3)


def build() -> gr.HTML:
    """The panel; its `input` event is a part of the clip that was chosen."""
    return gr.HTML(
        elem_id="preflight",
        js_on_load=Path(__file__).with_name("preflight.js").read_text(),
        apply_default_css=False,
    )
