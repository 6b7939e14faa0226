"""A clip from the camera, on computers too: the browser records, and nothing is converted."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

SUFFIXES = (".webm", ".mp4")
BUTTON = (
    '<div class="camera"><button type="button">Record with the camera</button>'
    '<video muted playsinline hidden aria-label="What the camera sees"></video>'
    '<p role="status"></p></div>'
)


def build() -> gr.HTML:
    """The button; its `submit` event comes with a recording."""
    script = Path(__file__).with_name("webcam.js").read_text()
    return gr.HTML(BUTTON, elem_id="camera", js_on_load=script, apply_default_css=False)


def recorded(event: gr.EventData) -> str:
    """The path of a recording; nothing but an upload is taken."""
    path = Path(str(event._data.get("path"))).resolve()
    uploads = Path(get_upload_folder()).resolve()
    if not path.is_relative_to(uploads) or path.suffix not in SUFFIXES or not path.exists():
        words = "The recording has not arrived. Please record it again."
        raise gr.Error(words, print_exception=False)
    return str(path)
