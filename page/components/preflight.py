"""The preflight report: a timeline to choose a part of the clip, checks, and estimated costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import gradio as gr

from ds4d.config import ClipConfig, Config
from ds4d.errors import UserError
from ds4d.preflight.checks import Check
from ds4d.run.estimate import expected

from ..hardware import cores, gpu_name
from ..html import render
from ..preflight.pool import ClipReport
from ..progress import CARD_OF
from .panel import panel


def build() -> gr.HTML:
    """The panel; its `input` event carries the chosen part of the clip."""
    return panel(script="preflight", elem_id="preflight")


def contents(config: Config, report: Callable[[ClipConfig], ClipReport]) -> str:
    """The report on a clip as HTML. Raises UserError for a clip that a run would refuse.

    Args:
        report: the report on the clip for these settings.
    """
    whole = report(replace(config.clip, start=0.0, end=None))
    part = report(config.clip)
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
        thumbnails=whole.thumbnails,
        ticks=part.marks,
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
