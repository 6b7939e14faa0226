"""A button that records a clip with the webcam; the recording is used as the browser wrote it."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from ds4d.errors import UserError

from ..html import render
from .panel import panel

SUFFIXES = (".webm", ".mp4")


def build() -> gr.HTML:
    """The button; its `submit` event carries a recording."""
    return panel(render("webcam"), script="webcam", elem_id="camera")


def recorded_clip(event: gr.EventData) -> str:
    """Path of the recording that an event carries. Raises UserError if it is not an upload."""
    path = Path(str(event._data.get("path"))).resolve()
    uploads = Path(get_upload_folder()).resolve()
    if not path.is_relative_to(uploads) or path.suffix not in SUFFIXES or not path.exists():
        raise UserError("The recording was not received.", "Please record it again.")
    return str(path)
