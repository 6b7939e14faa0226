"""A player for videos that every browser can play."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.data_classes import FileData


class BrowserVideo(gr.Video):
    """A video that is served as it is.

    gr.Video starts ffprobe for every video to see whether it needs conversion, which delays a page
    of eight videos by a second.
    """

    is_template = True  # in the browser it is a gr.Video

    def postprocess(self, value: str | Path | None) -> FileData | None:
        return FileData(path=str(value)) if value else None
