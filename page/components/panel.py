"""Panels: HTML of the page's own, with a script beside it."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent


def panel(value: str = "", *, script: str = "", **options) -> gr.HTML:
    """An HTML component; `script` names the file in page/components that runs when it is loaded."""
    javascript = (FOLDER / f"{script}.js").read_text() if script else None
    return gr.HTML(value, js_on_load=javascript, apply_default_css=False, **options)
