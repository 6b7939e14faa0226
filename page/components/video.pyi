"""The player of a run's videos."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.data_classes import FileData
from gradio.events import Dependency

class Film(gr.Video):
    """A video that this Space has made: every browser plays it, so nobody has to look first.

    gr.Video starts ffprobe for each, which makes a page of eight videos wait for a second.
    """

    is_template = True  # for the browser it is a gr.Video

    def postprocess(self, value: str | Path | None) -> FileData | None:
        return FileData(path=str(value)) if value else None
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component
