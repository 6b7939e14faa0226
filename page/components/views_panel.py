"""The six views: a frame slider, inconsistent views, and what to change about them."""

from __future__ import annotations

import gradio as gr

from ..html import render
from ..jobs.store import Job
from .panel import panel

SLIDERS = ("slant", "depth")  # for inflated views


def build() -> gr.HTML:
    """The panel; `input` carries changed settings, `submit` also asks for a new run."""
    return panel(script="views_panel", elem_id="views", visible="hidden")


def contents(job: Job | None) -> str:
    """The panel's HTML for a job; for a bundled result, which cannot be changed, only a slider."""
    if job is None:
        return render("views_panel", engine="", exclude="", redraw="")
    record = job.stage_record()["multiview"]
    return render(
        "views_panel",
        engine=record["engine"],
        exclude=" ".join(job.config.fourd.exclude),
        redraw=" ".join(job.config.multiview.redraw),
        flags=record.get("flags", []),
        slant=job.config.multiview.slant,
        depth=job.config.multiview.depth,
    )


def changed_settings(event: gr.EventData) -> dict[str, str | float]:
    """The settings that an event carries; sliders that were not moved are left out."""
    data = event._data
    lists = {name: str(data.get(name, "")) for name in ("exclude", "redraw")}
    return lists | {name: float(data[name]) for name in SLIDERS if data.get(name) is not None}
