"""The six views on the page: a slider over time, doubtful views, and what to do about them."""

from __future__ import annotations

import html
from pathlib import Path

import gradio as gr

from ..jobs.service import STORE

VIEWS = 6
SLANTS, DEPTHS = (-45, 45), (0.4, 2.0)


def panel(identity: str) -> str:
    """What can be done about a job's views, as HTML; of a bundled result, only looked at."""
    if not identity:
        return f'<section class="views" data-exclude="">{_slider()}</section>'
    job = STORE.find(identity)
    record = job.stage_record()["multiview"]
    flagged = "".join(
        f'<li><button type="button" class="flag" data-frame="{frame + 1}" data-view="{view}">'
        f"Frame {frame + 1}, view {view}</button> {html.escape(words)}</li>"
        for frame, view, words in record.get("flags", [])
    )
    doubts = f'<p>Out of line with their neighbours:</p><ul class="flags">{flagged}</ul>'
    out = " ".join(job.config.fourd.exclude)
    toggles = "".join(
        f'<button type="button" class="leave" data-view="{view}" aria-pressed="false">{view}'
        "</button>"
        for view in range(1, VIEWS + 1)
    )
    shape, redraw = "", " ".join(job.config.multiview.redraw)
    if record["engine"] == "inflate":
        shape = _shape(job.config.multiview)
    elif record["engine"] == "zero123plus":
        shape = '<button type="button" class="redraw">Draw this frame once more</button>'
    return (
        f'<section class="views" data-exclude="{html.escape(out)}" '
        f'data-redraw="{html.escape(redraw)}">{_slider()}'
        f'<div class="toggles" role="group" aria-label="Views of this frame to leave out">'
        f"<span>Leave out of this frame</span>{toggles}</div>{doubts if flagged else ''}{shape}"
        '<p class="now"></p><button type="button" class="again" hidden>Make it again with this'
        "</button></section>"
    )


def _slider() -> str:
    return (
        '<label class="frames">Frame <output></output><input type="range" class="frame" min="1" '
        'max="2" value="1"></label>'
    )


def _shape(config) -> str:
    """Sliders for what the inflating engine guesses."""
    slant = "looked for in the clip" if config.slant is None else f"{config.slant:g} degrees"
    return (
        '<div class="shape"><p>These views are inflated from the silhouettes. If they look wrong:'
        f'</p><label>Slant <output class="slant-is">{slant}</output><input type="range" '
        f'class="slant" min="{SLANTS[0]}" max="{SLANTS[1]}" step="1" value="{config.slant or 0:g}">'
        f"<small>by how much the right side is farther away</small></label><label>Depth <output "
        f'class="depth-is">{config.depth:g}</output><input type="range" class="depth" '
        f'min="{DEPTHS[0]}" max="{DEPTHS[1]}" step="0.05" value="{config.depth:g}">'
        "<small>how thick the object is, 1 as its silhouettes say</small></label></div>"
    )


def opened(identity: str, grid: str | None) -> dict:
    """The panel, while there are views."""
    if not grid:
        return gr.update(value="", visible="hidden")
    return gr.update(value=panel(identity), visible=True)


def chosen(event: gr.EventData) -> tuple:
    """Values for the settings exclude, redraw, slant and depth; a slider that nobody moved says
    nothing."""
    sent = event._data
    return (
        str(sent.get("exclude", "")),
        str(sent.get("redraw", "")),
        *(
            gr.skip() if sent.get(name) is None else float(sent[name])
            for name in ("slant", "depth")
        ),
    )


def build() -> gr.HTML:
    """The panel; events: input (settings), submit (make it again)."""
    script = Path(__file__).with_name("views_panel.js").read_text()
    return gr.HTML(elem_id="views", visible="hidden", js_on_load=script, apply_default_css=False)
