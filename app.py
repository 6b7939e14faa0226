"""The DS4D Space: layout and wiring of the page. The work is done by ds4d.pipeline."""

from __future__ import annotations

import importlib.util
import os

os.environ["NUMBA_DISABLE_CUDA"] = "1"  # numba must not start CUDA before a ZeroGPU worker forks
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # a visitor's page calls nobody else
if importlib.util.find_spec("spaces"):
    import spaces  # noqa: F401  before anything that imports torch

import threading
from functools import partial
from pathlib import Path

import gradio as gr

from ds4d.config import ClipConfig
from page.jobs import (
    OUTPUTS,
    RUNS,
    VIDEOS,
    begin,
    generate,
    put,
    ready,
    show_example,
    stop,
    sweep_hourly,
)
from page.lanes import prepare
from page.panels import (
    EXAMPLES,
    FOOTER,
    KEEP_HOURS,
    NO_PREVIEW,
    PICK_EXAMPLE,
    SHOW_RESULTS,
    WELCOME,
    clip_preview,
    example_cards,
    example_names,
    header,
)
from page.settings import SETTINGS, preset_choices, preset_values
from page.stages import Progress

ROOT = Path(__file__).resolve().parent
QUEUE_SIZE = 16  # visitors who may wait; more are told to come back
MESH_TYPES = [".glb", ".obj", ".ply"]
CLIP_TYPES = [".mp4", ".mov", ".webm", ".mkv", ".gif", ".webp"]
Panel = partial(gr.HTML, apply_default_css=False)
THEME = gr.themes.Base(
    primary_hue=gr.themes.Color(
        "#fff3ee", "#ffe1d5", "#ffc3ac", "#ff9f7c", "#fb7d52", "#ef5f2f",
        "#d64a1c", "#b03a15", "#8d3116", "#732b16", "#3f1408",
    ),
    neutral_hue="stone",
    radius_size="lg",
    font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
    font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
).set(
    body_background_fill="#fbfaf7", body_background_fill_dark="#14161b",
    block_background_fill="#ffffff", block_background_fill_dark="#1d2027",
    block_label_background_fill="#ffffff", block_label_background_fill_dark="#1d2027",
    background_fill_secondary="#f4f2ed", background_fill_secondary_dark="#1d2027",
    border_color_primary="#e4e1da", border_color_primary_dark="#32363f",
    block_radius="14px", block_border_width="1px", button_large_radius="14px",
    input_background_fill="#f4f2ed", input_background_fill_dark="#14161b",
    checkbox_label_background_fill="#ffffff", checkbox_label_background_fill_dark="#1d2027",
    checkbox_label_background_fill_hover="#f4f2ed",
    checkbox_label_background_fill_hover_dark="#2a2e37",
    checkbox_label_background_fill_selected="#fdebe3",
    checkbox_label_background_fill_selected_dark="#38231b",
    checkbox_label_border_width="1px", checkbox_label_text_weight="400",
    button_secondary_background_fill="#ece9e2", button_secondary_background_fill_dark="#2a2e37",
    button_primary_background_fill="#e4562a", button_primary_background_fill_dark="#e4562a",
    button_primary_background_fill_hover="#cf4519",
    button_primary_background_fill_hover_dark="#ff7a4d",
)  # fmt: skip


def build() -> gr.Blocks:
    """The whole page."""
    ui = {}
    with gr.Blocks(title="DS4D", delete_cache=(3600, KEEP_HOURS * 3600)) as blocks:
        session = ui["session"] = gr.State()
        Panel(header())
        if example_names():
            Panel("<h2>Look at one first</h2>")
            examples = Panel(example_cards(), js_on_load=PICK_EXAMPLE, elem_id="examples")
            Panel("<h2>Then bring your own</h2>")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                clip, preview, inputs, ui["run"], ui["cancel"] = build_controls()
            with gr.Column(scale=5, min_width=320, elem_id="results"):
                build_results(ui)
        Panel(FOOTER)

        outputs = [ui[name] for name in OUTPUTS]
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        started = ui["run"].click(begin, session, outputs, queue=False, **quiet)
        started.then(None, js=SHOW_RESULTS)
        job = started.then(
            generate,
            [clip, *inputs[:2], session, *inputs[2:]],
            outputs,
            api_name="generate",
            concurrency_limit=1,
            show_progress="minimal",
            show_progress_on=[ui["notice"]],
        )
        job.failure(lambda: put(**ready()), None, outputs, **quiet)
        cancelled = ui["cancel"].click(None, cancels=[job])
        cancelled.then(stop, session, outputs, **quiet)
        chosen = [preview, ui["run"]]
        clip.upload(
            lambda path: (clip_preview(path), gr.update(value="Make it 4D", interactive=True)),
            clip, chosen, **quiet,
        )  # fmt: skip
        clip.clear(
            lambda: ("", gr.update(value="Choose a clip first", interactive=False)),
            None, chosen, **quiet,
        )  # fmt: skip
        for event in (blocks.load, inputs[0].change):
            event(preset_values, inputs[0], inputs[2:-1], **quiet)
        if example_names():
            shown = examples.click(show_example, None, [clip, preview, *outputs], **quiet)
            shown.then(None, js=SHOW_RESULTS)
    return blocks.queue(max_size=QUEUE_SIZE, default_concurrency_limit=8)


def build_controls() -> tuple:
    """The clip and the settings; the components that `generate` reads, and the two buttons."""
    clip = gr.File(label="Your clip", file_types=CLIP_TYPES, elem_id="clip", height=130)
    preview = Panel(js_on_load=NO_PREVIEW)
    preset = gr.Radio(preset_choices(), value="preview", label="Preset", elem_id="preset")
    with gr.Accordion("More settings", open=False, elem_id="more"):
        seed = gr.Number(0, precision=0, label="Seed", info="another number, another try")
        fields = [
            # Empty until the page is loaded: to a program that calls, empty is the preset's own.
            gr.Number(
                label=setting.label, info=setting.hint, elem_id=f"set-{name}", min_width=120,
                precision=0 if setting.whole else None,
            )
            for name, setting in SETTINGS.items()
        ]  # fmt: skip
        mesh = gr.File(
            label="A mesh of the object, if you have one (glb, obj, ply)", file_types=MESH_TYPES,
            elem_id="own-mesh", height=100,
        )  # fmt: skip
    run = gr.Button("Choose a clip first", variant="primary", interactive=False, elem_id="run")
    cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
    return clip, preview, [preset, seed, *fields, mesh], run, cancel


def build_results(ui: dict) -> None:
    """The strip of stages and everything that a run makes; parts appear as they are finished."""
    # "hidden" and not False: Model3D stays blank when it joins the page together with its mesh.
    hidden = {"visible": "hidden", "interactive": False}
    loop = {**hidden, "autoplay": True, "loop": True}
    ui["notice"] = Panel(label="Notice", elem_id="notice")
    ui["strip"] = Panel(Progress().strip(), label="Stages", elem_id="strip")
    ui["welcome"] = Panel(WELCOME, label="Advice")
    ui["head"] = Panel(label="Summary", elem_id="head")
    around = "Once around while time plays"
    ui["orbit"] = gr.Video(label=around, elem_id="orbit", height=460, **loop)
    with gr.Row():
        for name, label in VIDEOS.items():
            ui[name] = gr.Video(label=label, elem_id=name, min_width=120, height=170, **loop)
    with gr.Row():
        ui["archive"] = gr.DownloadButton("Everything (zip)", visible="hidden", variant="primary")
        ui["asset"] = gr.DownloadButton("4D asset (safetensors)", visible="hidden")
        ui["take_orbit"] = gr.DownloadButton("Orbit video (mp4)", visible="hidden")
    ui["live"] = Panel(label="Newest picture", elem_id="live")
    with gr.Row():
        ui["grid"] = gr.Video(label="Six views", elem_id="grid", height=320, **loop)
        ui["mesh"] = gr.Model3D(
            label="Mesh of the middle frame", elem_id="mesh", height=320, **hidden
        )
    ui["matte"] = gr.Image(
        label="Mattes", elem_id="matte", height=132, buttons=["fullscreen"], **hidden
    )


gr.set_static_paths([EXAMPLES / "clips", EXAMPLES / "results"])
demo = build()

if __name__ == "__main__":
    prepare()
    RUNS.mkdir(parents=True, exist_ok=True, mode=0o700)
    threading.Thread(target=sweep_hourly, daemon=True).start()
    demo.launch(
        theme=THEME,
        css_paths=ROOT / "page/style.css",
        allowed_paths=[str(RUNS)],
        max_file_size=ClipConfig.max_bytes,
        footer_links=["api"],
        run_history=False,
    )
