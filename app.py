"""The DS4D Space: layout and wiring of the page. The work is done by ds4d.pipeline."""

from __future__ import annotations

import importlib.util
import os

os.environ["NUMBA_DISABLE_CUDA"] = "1"  # numba must not start CUDA before a ZeroGPU worker forks
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # a visitor's page calls nobody else
if importlib.util.find_spec("spaces"):
    import spaces  # noqa: F401  before anything that imports torch

from functools import partial
from pathlib import Path

import gradio as gr

from page import api, jobs, lanes
from page.jobs import OUTPUTS, RUNS, VIDEOS
from page.limits import LIMITS
from page.panels import (
    EXAMPLES,
    FOOTER,
    NO_PREVIEW,
    PICK_EXAMPLE,
    SHOW_RESULTS,
    WELCOME,
    clip_preview,
    example_cards,
    example_names,
    header,
)
from page.settings import SETTINGS, preset_choices
from page.stages import Progress

ROOT = Path(__file__).resolve().parent
REQUESTS = 64  # that may wait to be answered; runs have a queue of their own
FOLLOW_EVERY = 1.0  # seconds between two looks at a run
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

# On the hub the page is a frame inside another page, whose address is the one that people see.
ADDRESS = """(job) => {
  const query = job ? `?job=${job}` : location.pathname;
  history.replaceState(history.state, "", query);
  if (window.parent !== window)
    window.parent.postMessage({queryString: job ? `job=${job}` : ""}, "https://huggingface.co");
}"""
JOB_ASKED_FOR = """() => new URLSearchParams(location.search).get("job") ?? \"\""""


def build() -> gr.Blocks:
    """The whole page."""
    ui = {}
    with gr.Blocks(title="DS4D", delete_cache=(3600, round(LIMITS.keep_hours * 3600))) as blocks:
        ui["view"] = gr.State()
        ui["job"] = gr.Textbox(visible="hidden", elem_id="job")
        ui["timer"] = gr.Timer(FOLLOW_EVERY, active=False)
        Panel(header())
        if example_names():
            Panel("<h2>Look at one first</h2>")
            examples = Panel(example_cards(), js_on_load=PICK_EXAMPLE, elem_id="examples")
            Panel("<h2>Then bring your own</h2>")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                clip, preview, inputs = build_controls(ui)
            with gr.Column(scale=5, min_width=320, elem_id="results"):
                build_results(ui)
        Panel(FOOTER)

        api.build(clip, inputs)
        outputs = [ui[name] for name in OUTPUTS]
        mine = [ui["job"], ui["view"]]
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        quick = quiet | {"queue": False}
        started = ui["run"].click(jobs.start, [clip, ui["job"], *inputs], outputs, **quick)
        started.then(None, ui["job"], None, js=ADDRESS).then(None, js=SHOW_RESULTS)
        if lanes.LENT:
            started.then(jobs.compute_here, ui["job"], None, concurrency_limit=None, **quiet)
        ui["timer"].tick(jobs.follow, mine, outputs, **quick)
        ui["cancel"].click(jobs.cancel, mine, outputs, **quick)
        ui["finish"].click(jobs.finish, mine, outputs, **quick)
        over = ui["over"].click(jobs.start_over, None, [clip, preview, *outputs], **quick)
        over.then(None, ui["job"], None, js=ADDRESS)
        chosen = [preview, ui["run"]]
        clip.upload(
            lambda path: (clip_preview(path), gr.update(value="Make it 4D", interactive=True)),
            clip, chosen, **quick,
        )  # fmt: skip
        clip.clear(
            lambda: ("", gr.update(value="Choose a clip first", interactive=False)),
            None, chosen, **quick,
        )  # fmt: skip
        inputs[0].input(jobs.preset_values, inputs[0], inputs[2:-1], **quick)
        loaded = [clip, preview, *inputs[:-1], *outputs]
        blocks.load(jobs.attach, ui["job"], loaded, js=JOB_ASKED_FOR, **quick)
        if example_names():
            shown = examples.click(jobs.show_example, None, [clip, preview, *outputs], **quick)
            shown.then(None, ui["job"], None, js=ADDRESS).then(None, js=SHOW_RESULTS)
    return blocks.queue(max_size=REQUESTS, default_concurrency_limit=8)


def build_controls(ui: dict) -> tuple:
    """The clip, its preview and the settings, in the order of jobs.ORDER; and the buttons."""
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
    ui["run"] = gr.Button(
        "Choose a clip first", variant="primary", interactive=False, elem_id="run"
    )
    ui["finish"] = gr.Button("Good enough: stop here and finish", visible=False, elem_id="finish")
    ui["cancel"] = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
    ui["over"] = gr.Button("Start over", visible=False, elem_id="over")
    return clip, preview, [preset, seed, *fields, mesh]


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
    lanes.prepare()
    jobs.open_shop()
    demo.launch(
        theme=THEME,
        css_paths=ROOT / "page/style.css",
        allowed_paths=[str(RUNS)],
        max_file_size=LIMITS.clip_bytes,
        footer_links=["api"],
        run_history=False,
        mcp_server=importlib.util.find_spec("mcp") is not None,
    )
