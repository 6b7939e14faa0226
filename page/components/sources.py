"""Sources of a run, a tab each: a clip, a picture that is moved, words that are drawn."""

from __future__ import annotations

import gradio as gr

from .. import hardware
from ..html import render
from ..uploads import PICTURES, clip_file
from . import webcam
from .panel import panel

ENGINES = {
    "puppet": "Puppet: moves the picture as it is, in six ways, within a minute",
    "wan": "Wan 2.2: new frames of any motion, by words",
    "svd": "Stable Video Diffusion: new frames (licence: Stability AI Community, with limits on "
    "commercial use)",
}
Components = dict[str, gr.components.Component | gr.blocks.BlockContext]  # by name


def build() -> Components:
    """The three tabs; what they choose is shown below them."""
    ui: Components = {}
    with gr.Tabs(elem_id="source", selected="clip") as ui["source"]:
        with gr.Tab("Clip", id="clip", render_children=True):
            ui["clip"] = clip_file(label="Your clip", elem_id="clip", height=130)
            ui["camera"] = webcam.build()
        with gr.Tab("Picture", id="picture", render_children=True):
            ui |= _build_picture()
        with gr.Tab("Words", id="words", render_children=True):
            ui |= _build_words()
    return ui


def _build_picture() -> Components:
    engines = [name for name in ENGINES if name == "puppet" or not hardware.obstacle(name)]
    several = len(engines) > 1
    ui: Components = {}
    ui["picture"] = gr.File(
        label="Your picture of one whole object", elem_id="picture", height=130,
        file_types=sorted(PICTURES),
    )  # fmt: skip
    ui["picture_preview"] = panel(script="clip_preview")
    ui["engine"] = gr.Radio(
        [(ENGINES[name], name) for name in engines], value="wan" if "wan" in engines else "puppet",
        label="How it is moved", elem_id="engine", visible=True if several else "hidden",
    )  # fmt: skip
    ui["motion"] = gr.Textbox(
        label="Motion, optional", placeholder="It turns its head and wags its tail.",
        elem_id="motion", max_length=500, visible=True if "wan" in engines else "hidden",
    )  # fmt: skip
    if not several:
        panel(render("source_note", text=hardware.obstacle("wan"), kind="picture"))
    ui["move"] = gr.Button("Show ways to move it", elem_id="move")
    return ui


def _build_words() -> Components:
    obstacle = hardware.obstacle("sdxl")
    hidden = "hidden" if obstacle else True
    ui: Components = {}
    ui["words"] = gr.Textbox(
        label="One object, in words", placeholder="a red fox in a blue coat", elem_id="words",
        max_length=500, visible=hidden,
    )  # fmt: skip
    ui["draw"] = gr.Button("Draw pictures of it", elem_id="draw", visible=hidden)
    if obstacle:
        panel(render("source_note", text=obstacle, kind="words"))
    ui["to_picture"] = gr.Button(
        "Start from a picture", elem_id="to-picture", visible=True if obstacle else "hidden"
    )
    return ui
