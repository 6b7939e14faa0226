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

from ds4d import viewer
from page import about, api, handlers, zerogpu
from page.components import matte_editor, preflight, views_panel, webcam
from page.components.video import Film
from page.html import (
    EXAMPLES,
    FOOTER,
    NO_PREVIEW,
    PICK_EXAMPLE,
    PICK_FORGET,
    SHOW_RESULTS,
    WELCOME,
    clip_preview,
    example_cards,
    example_names,
)
from page.jobs import service
from page.jobs.service import RUNS
from page.limits import LIMITS
from page.outputs import OUTPUTS, VIDEOS
from page.progress import Progress
from page.settings import SETTINGS, Setting, changed_values, preset_choices
from page.theme import THEME

ROOT = Path(__file__).resolve().parent
REQUESTS = 64  # that may wait to be answered; runs have a queue of their own
FOLLOW_EVERY = 1.0  # seconds between two looks at a run
MESH_TYPES = [".glb", ".obj", ".ply"]
CLIP_TYPES = [".mp4", ".mov", ".webm", ".mkv", ".gif", ".webp"]
Panel = partial(gr.HTML, apply_default_css=False)
QUIET = {"show_progress": "hidden", "api_visibility": "private"}

# On the hub the page is a frame inside another page, whose address is the one that people see.
ADDRESS = """(job) => {
  const before = new URLSearchParams(location.search).get("job");
  if (job !== (before ?? "")) {
    const address = job ? `?job=${job}` : location.pathname;
    history[before ? "pushState" : "replaceState"](history.state, "", address);
  }
  if (window.parent !== window)
    window.parent.postMessage({queryString: job ? `job=${job}` : ""}, "https://huggingface.co");
}"""
JOB_ASKED_FOR = """() => {
  addEventListener("popstate", () => location.reload());
  return new URLSearchParams(location.search).get("job") ?? "";
}"""


def build() -> gr.Blocks:
    """The whole page."""
    ui = {}
    with gr.Blocks(title="DS4D", delete_cache=(3600, round(LIMITS.keep_hours * 3600))) as blocks:
        ui["view"] = gr.State()
        ui["job"] = gr.Textbox(visible="hidden", elem_id="job")
        ui["timer"] = gr.Timer(FOLLOW_EVERY, active=False)
        Panel(about.header(), js_on_load=about.CALM)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Make one"):
                examples = None
                if example_names():
                    Panel('<h2 class="step">Look at one first</h2>')
                    cards = example_cards()
                    examples = Panel(cards, js_on_load=PICK_EXAMPLE, elem_id="examples")
                    Panel('<h2 class="step">Then bring your own</h2>')
                with gr.Row(elem_id="bench"):
                    with gr.Column(scale=2, min_width=300, elem_id="controls"):
                        clip, preview, inputs = build_controls(ui)
                    with gr.Column(scale=5, min_width=320, elem_id="results"):
                        build_results(ui)
            with gr.Tab("About this Space"):
                about.build()
        Panel(FOOTER)

        api.build(clip, inputs)
        outputs = [ui[name] for name in OUTPUTS]
        mine = [ui["job"], ui["view"]]
        quick = QUIET | {"queue": False}
        asked = [ui["run"].click, ui["views"].submit]
        started = gr.on(asked, handlers.start, [clip, ui["job"], *inputs], outputs, **quick)
        started.then(None, ui["job"], None, js=ADDRESS).then(None, js=SHOW_RESULTS)
        if zerogpu.LENT:
            started.then(service.compute_here, ui["job"], None, concurrency_limit=None, **QUIET)
        ui["timer"].tick(handlers.follow, mine, outputs, **quick)
        ui["cancel"].click(handlers.cancel, mine, outputs, **quick)
        ui["finish"].click(handlers.finish, mine, outputs, **quick)
        for kind in ("gif", "webm"):
            ui[kind].click(
                partial(handlers.animate, kind=kind), mine, outputs, concurrency_id="animate",
                show_progress="minimal", show_progress_on=[ui["downloads"]],
                api_visibility="private",
            )  # fmt: skip
        empty = [clip, preview, *outputs]
        over = ui["over"].click(handlers.start_over, None, empty, **quick)
        over.then(None, ui["job"], None, js=ADDRESS)
        gone = ui["forget"].click(handlers.forget, ui["job"], empty, **quick)
        gone.then(None, ui["job"], None, js=ADDRESS)
        chosen = [preview, ui["run"]]
        clip.upload(picked, clip, chosen, **quick)
        taken = ui["camera"].submit(webcam.recorded, None, clip, **quick)
        taken.success(picked, clip, chosen, **quick)
        clip.clear(
            lambda: ("", gr.update(value="Choose a clip first", interactive=False)),
            None, chosen, **quick,
        )  # fmt: skip
        set_otherwise = [
            inputs[0].input(changed_values, inputs[0], inputs[2:-1], **quick),
            *wire_mending(ui, inputs),
        ]
        wire_preflight(ui, clip, inputs, set_otherwise)
        loaded = [clip, preview, *inputs[:-1], *outputs]
        blocks.load(handlers.attach, ui["job"], loaded, js=JOB_ASKED_FOR, **quick)
        if examples:
            shown = examples.click(handlers.show_example, None, [clip, preview, *outputs], **quick)
            shown.then(None, ui["job"], None, js=ADDRESS).then(None, js=SHOW_RESULTS)
    return blocks.queue(max_size=REQUESTS, default_concurrency_limit=8)


def picked(clip: str) -> tuple:
    """A clip is there: its preview, and the button to begin."""
    return clip_preview(clip), gr.update(value="Make it 4D", interactive=True)


def wire_preflight(ui: dict, clip: gr.File, inputs: list, set_otherwise: list) -> None:
    """A look at every new clip and part of it; what it will take with every new setting.

    Settings that a handler puts there say nothing by themselves, or a page that is loaded would ask
    once for each; so the look follows the handlers in `set_otherwise`.
    """
    part = [field(inputs, "start"), field(inputs, "end")]
    handled = ui["preflight"].input(preflight.chosen, None, part, queue=False, **QUIET)
    *settings, mesh = inputs
    look = {
        "fn": preflight.shown, "inputs": [clip, *inputs], "outputs": ui["preflight"],
        "trigger_mode": "always_last", "concurrency_limit": 2,
    }  # fmt: skip
    gr.on([clip.change, mesh.change, *(one.input for one in settings)], **look, **QUIET)
    for event in (handled, *set_otherwise):
        event.then(**look, **QUIET)


def wire_mending(ui: dict, inputs: list) -> list:
    """Mattes and views can be mended once they are there. Returns what changes settings."""
    job, paper = ui["job"], ui["editor"]
    mending = [ui["mend"], paper, ui["spread"]]
    ui["matte"].change(matte_editor.opened, job, mending, **QUIET)
    paper.select(matte_editor.turned, job, paper, **QUIET)
    paper.submit(matte_editor.keep, job, ui["spread"], **QUIET | {"show_progress": "minimal"})
    ui["grid"].change(views_panel.opened, [job, ui["grid"]], ui["views"], **QUIET)
    changed = [field(inputs, name) for name in ("exclude", "redraw", "slant", "depth")]
    return [ui["views"].input(views_panel.chosen, None, changed, queue=False, **QUIET)]


def field(inputs: list, name: str) -> gr.Component:
    """The component of one of SETTINGS; preset and seed stand before them."""
    return inputs[2 + list(SETTINGS).index(name)]


def build_controls(ui: dict) -> tuple:
    """The clip, its preview and the settings, in the order of shop.ORDER; and the buttons."""
    clip = gr.File(label="Your clip", file_types=CLIP_TYPES, elem_id="clip", height=130)
    ui["camera"] = webcam.build()
    preview = Panel(js_on_load=NO_PREVIEW)
    ui["preflight"] = preflight.build()
    preset = gr.Radio(preset_choices(), value="preview", label="Preset", elem_id="preset")
    with gr.Accordion("More settings", open=False, elem_id="more"):
        seed = gr.Number(0, precision=0, label="Seed", info="another number, another try")
        # Empty until the page is loaded: to a program that calls, empty is the preset's own.
        fields = [build_field(name, setting) for name, setting in SETTINGS.items()]
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
    ui["forget"] = Panel(js_on_load=PICK_FORGET, elem_id="forget")
    return clip, preview, [preset, seed, *fields, mesh]


def build_field(name: str, setting: Setting) -> gr.Component:
    known = {"label": setting.label, "info": setting.hint, "elem_id": f"set-{name}"}
    if setting.words:
        return gr.Textbox(**known, min_width=120)
    return gr.Number(**known, min_width=120, precision=0 if setting.whole else None)


def build_results(ui: dict) -> None:
    """The strip of stages and everything that a run makes; parts appear as they are finished."""
    # "hidden" and not False: Model3D stays blank when it joins the page together with its mesh.
    hidden = {"visible": "hidden", "interactive": False}
    loop = {**hidden, "autoplay": True, "loop": True}
    ui["notice"] = Panel(label="Notice", elem_id="notice")
    ui["strip"] = Panel(Progress().strip(), label="Stages", elem_id="strip")
    ui["welcome"] = Panel(WELCOME, label="Advice")
    ui["head"] = Panel(label="Summary", elem_id="head")
    ui["player"] = Panel(label="The object, in four dimensions", elem_id="player")
    with gr.Row():
        ui["compare"] = gr.ImageSlider(
            label="Input and render", elem_id="compare", height=300, **hidden
        )
        ui["orbit"] = Film(label=VIDEOS["orbit"], elem_id="orbit", height=300, **loop)
    with gr.Row():
        for name, label in VIDEOS.items():
            if name not in ui:
                ui[name] = Film(label=label, elem_id=name, min_width=120, height=170, **loop)
    ui["downloads"] = Panel(label="Downloads", elem_id="downloads")
    with gr.Row(visible=False) as ui["more"]:
        ui["gif"] = gr.Button("Add the orbit as a GIF", elem_id="gif")
        ui["webm"] = gr.Button("Add the orbit as a transparent webm", elem_id="webm")
    ui["live"] = Panel(label="Newest picture", elem_id="live")
    ui["insight"] = Panel(label="How it works on your clip", elem_id="insight")
    with gr.Row():
        with gr.Column(min_width=280):
            ui["grid"] = Film(label="Six views", elem_id="grid", height=320, **loop)
            ui["views"] = views_panel.build()
        ui["mesh"] = gr.Model3D(
            label="Mesh of the middle frame", elem_id="mesh", height=320, **hidden
        )
    ui["matte"] = gr.Image(
        label="Mattes", elem_id="matte", height=132, buttons=["fullscreen"], **hidden
    )
    ui["mend"], ui["editor"], ui["spread"] = matte_editor.build()


gr.set_static_paths([EXAMPLES / "clips", EXAMPLES / "results"])
demo = build()

if __name__ == "__main__":
    zerogpu.prepare()
    service.open_shop()
    demo.launch(
        theme=THEME,
        css_paths=[ROOT / "page/style.css", ROOT / "page/results.css"],
        head=viewer.head(),
        allowed_paths=[str(RUNS)],
        max_file_size=LIMITS.clip_bytes,
        footer_links=["api"],
        run_history=False,
        mcp_server=importlib.util.find_spec("mcp") is not None,
        _frontend=False,  # no look at the page from here, which a busy machine fails with its 3 s
    )
