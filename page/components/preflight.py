"""The preflight report: a timeline to choose a part of the clip, checks, and estimated costs."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import gradio as gr
import numpy as np
from PIL import Image

from ds4d.config import ClipConfig, Config
from ds4d.errors import UserError
from ds4d.images import checkerboard, over
from ds4d.preflight import Check, Report, inspect_clip
from ds4d.run.estimate import expected

from ..hardware import cores, gpu_name
from ..html import data_url, render
from ..progress import CARD_OF
from .panel import panel

CACHED_REPORTS = 32
THUMBNAIL_HEIGHT = 72  # pixels


def build() -> gr.HTML:
    """The panel; its `input` event carries the chosen part of the clip."""
    return panel(script="preflight", elem_id="preflight")


def contents(clip: str, config: Config) -> str:
    """The report on a clip as HTML. Raises UserError for a clip that a run would refuse."""
    whole = _report(clip, replace(config.clip, start=0.0, end=None))
    part = _report(clip, config.clip)
    facts = [f"{whole.width} x {whole.height} pixels", f"{whole.source_frames} frames"]
    end = None
    if whole.seconds:
        facts[1:1] = [f"{whole.seconds:.1f} s", f"{whole.fps:.3g} frames per second"]
        end = whole.seconds if config.clip.end is None else min(config.clip.end, whole.seconds)
    return render(
        "preflight",
        clip=whole,
        facts=facts,
        start=config.clip.start,
        end=end,
        thumbnails=[_thumbnail(image) for image in whole.thumbnails],
        ticks=part.used / max(whole.source_frames - 1, 1),
        checks=sorted(part.checks, key=lambda check: check.fine),
        **_costs(config, len(part.used)),
    )


def refusal(error: UserError) -> str:
    """The report on a clip that cannot be used, as HTML."""
    check = Check("Clip", error.sentence, fine=False, hint=error.hint)
    return render("preflight", clip=None, checks=[check])


def chosen_part(event: gr.EventData) -> dict[str, float]:
    """Start and end, seconds, to which the handles of the timeline were moved."""
    return {name: round(float(event._data[name]), 3) for name in ("start", "end")}


def _report(clip: str, config: ClipConfig) -> Report:
    return _cached_report(clip, Path(clip).stat().st_mtime_ns, config)


@lru_cache(CACHED_REPORTS)
def _cached_report(clip: str, modified: int, config: ClipConfig) -> Report:
    return inspect_clip(Path(clip), config)


def _thumbnail(picture: np.ndarray) -> str:
    if picture.shape[2] == 4:
        picture = over(picture, checkerboard(*picture.shape[:2], 8))
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL_HEIGHT * 3, THUMBNAIL_HEIGHT))
    return data_url(np.asarray(image), "JPEG")


def _costs(config: Config, frames: int) -> dict:
    """Estimated costs: seconds of each card of the progress strip, their sum, and memory."""
    estimate = expected(config, frames, gpu_name(), cores())
    costs: dict[str, float] = {}
    for cost in estimate:
        card = CARD_OF[cost.stage]
        costs[card] = costs.get(card, 0.0) + cost.seconds
    return {
        "costs": costs,
        "seconds": sum(costs.values()),
        "memory_gb": max(cost.memory_gb for cost in estimate),
        "gpu": gpu_name(),
        "cores": cores(),
    }
