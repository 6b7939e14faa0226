"""Cards of drafts, clips or pictures, of which the visitor picks one."""

from __future__ import annotations

import gradio as gr

from ds4d.errors import UserError

from .. import drafts
from ..drafts import Draft
from ..html import render
from ..jobs.store import Job
from .panel import panel

TITLES = {"clips": "Pick a clip", "pictures": "Pick a picture"}
NONE = "None is finished yet."


def build() -> gr.HTML:
    """The panel; its `submit` event carries the name of the draft that was picked."""
    return panel(script="draft_cards", label="Drafts", elem_id="drafts")


def contents(job: Job) -> str:
    """The cards of a job as HTML; empty if it makes none and has none."""
    if job.wish.task == "none":
        return ""
    found = drafts.found(job.folder, job.wish.task)
    if not found:
        return ""
    return render(
        "draft_cards",
        title=TITLES[job.wish.task],
        drafts=found,
        more=job.drafting and job.active,
        picked=job.clip,
    )


def advice(job: Job) -> tuple[str, str]:
    """A sentence and a hint for a job whose drafts are made, or were stopped."""
    if not drafts.found(job.folder, job.wish.task):
        return "Cancelled.", "Start again when you like."
    what = "clip" if job.wish.task == "clips" else "picture"
    return f"Pick a {what}.", "None is right? Start again with other words or another picture."


def picked(job: Job, event: gr.EventData) -> Draft:
    """The draft that an event names. Raises UserError if there is none."""
    draft = drafts.named(job.folder, str(event._data.get("name")))
    if draft is None:
        raise UserError("This draft is no longer there.", "Pick another one.")
    return draft
