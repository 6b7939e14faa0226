"""Layout of the page, and the events that connect its components to the handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, wraps

import gradio as gr

from ds4d.render import VIDEOS

from . import about, api, hardware
from .components import draft_cards, matte_editor, moving_mesh, preflight, sources, views_panel
from .components.browser_video import BrowserVideo
from .components.number import Number
from .components.panel import panel
from .errors import explain
from .examples import CLIPS, PICTURES, RESULTS, all_examples
from .handlers import Handlers
from .html import render
from .jobs.service import Service
from .navigation import READ_ADDRESS, SCROLL_TO_RESULTS, SCROLL_TO_RUN, WRITE_ADDRESS
from .outputs import OUTPUTS, Values
from .progress import Progress
from .settings import PARTS, SETTINGS, Setting, preset_choices

Components = dict[str, gr.components.Component | gr.blocks.BlockContext]  # by name

MAX_REQUESTS = 200  # that may wait to be answered; runs have a queue of their own
POLL_SECONDS = 1.0  # between two updates of a run
MESH_TYPES = [".glb", ".obj", ".ply"]
VIDEO_LABELS = {
    "orbit": "Orbit", "front": "Front", "back": "Back", "left": "Left", "right": "Right",
    "bullet": "Bullet time",
}  # fmt: skip
SOURCES = ("source", "clip", "picture", "picture_preview", "words")  # what a run starts from
ORDER_INPUTS = ("clip", "preset", "seed", *SETTINGS, "mesh")  # in the order of the API's parameters

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
QUICK = QUIET | {"queue": False}  # for handlers that answer at once


def create_app(service: Service) -> gr.Blocks:
    """The page and its API, on top of a service."""
    gr.set_static_paths([CLIPS, PICTURES, RESULTS])
    cache = (3600, round(service.limits.keep_hours * 3600))  # check every hour, delete after
    with gr.Blocks(title="DS4D", delete_cache=cache) as blocks:
        ui = _build(service)
        api.build(service, {name: ui[name] for name in ORDER_INPUTS})  # first: names are unique
        _connect(blocks, ui, Handlers(service))
    return blocks.queue(max_size=MAX_REQUESTS, default_concurrency_limit=8)


# --- components ---------------------------------------------------------------------------------


def _build(service: Service) -> Components:
    ui: Components = {
        "tab": gr.State(),  # a TabState
        "job": gr.Textbox(visible="hidden", elem_id="job"),
        "timer": gr.Timer(POLL_SECONDS, active=False),
    }
    panel(about.header(), script="header")
    with gr.Tabs(elem_id="tabs"):
        with gr.Tab("Create"):
            if examples := all_examples():
                panel('<h2 class="step">See an example</h2>')
                cards = render("example_cards", examples=examples)
                ui["examples"] = panel(cards, script="example_cards", elem_id="examples")
                panel('<h2 class="step">Use your own clip, picture or words</h2>')
            with gr.Row(elem_id="bench"):
                with gr.Column(scale=2, min_width=300, elem_id="controls"):
                    ui |= _build_controls()
                with gr.Column(scale=5, min_width=320, elem_id="results"):
                    ui |= _build_results()
        with gr.Tab("About"):
            about.build()
    panel(render("footer", keep_hours=f"{service.limits.keep_hours:g}"))
    return ui


def _build_controls() -> Components:
    """The clip, the settings and the buttons of a run."""
    ui: Components = {}
    ui |= sources.build()
    ui["preview"] = panel(script="clip_preview")
    ui["preflight"] = preflight.build()
    ui["preset"] = gr.Radio(preset_choices(), value="preview", label="Preset", elem_id="preset")
    with gr.Accordion("More settings", open=False, elem_id="more"):
        ui["seed"] = Number(0, precision=0, label="Seed", info="Another seed gives another result.")
        engine = "zero123plus" if hardware.runs_zero123plus() else "inflate"
        for part, title in PARTS.items():
            panel(f'<h3 class="part">{title}</h3>')
            with gr.Row(elem_classes="settings"):
                for name, setting in SETTINGS.items():
                    if setting.part == part:
                        ui[name] = _build_setting(name, setting, engine)
            if part == "mesh":
                ui["mesh"] = gr.File(
                    label="Your own mesh, optional (glb, obj, ply)",
                    file_types=MESH_TYPES, elem_id="own-mesh", height=130,
                )  # fmt: skip
    ui["run"] = gr.Button(
        "Choose a clip first", variant="primary", interactive=False, elem_id="run"
    )
    ui["finish"] = gr.Button(
        "Stop early and use the current result", visible=False, elem_id="finish"
    )
    ui["cancel"] = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
    ui["reset"] = gr.Button("Start over", visible=False, elem_id="reset")
    ui["delete"] = panel(script="delete_run", elem_id="delete")
    return ui


def _build_setting(name: str, setting: Setting, engine: str) -> gr.components.Component:
    """The control of a setting; hidden if it is filled in by an editor, or not used here.

    It has no value: in API calls, that stands for the preset's. A page fills it in when it loads.
    """
    options = {"label": setting.label, "elem_id": f"set-{name}", "info": setting.hint}
    if setting.is_list:
        return gr.Textbox(**options, visible="hidden")
    if setting.words:
        return gr.Dropdown(list(setting.choices), **options, value=None, min_width=120)
    return Number(
        **options, min_width=120, precision=0 if setting.is_integer else None,
        visible=True if setting.engine in ("", engine) else "hidden",
    )  # fmt: skip


def _build_results() -> Components:
    """The progress strip and the results; parts appear when they are finished."""
    # "hidden" and not False: Model3D stays blank if it is mounted together with its mesh.
    hidden = {"visible": "hidden", "interactive": False}
    looping = hidden | {"autoplay": True, "loop": True}
    ui: Components = {}
    ui["notice"] = panel(label="Notice", elem_id="notice")
    ui["strip"] = panel(Progress().strip(), label="Stages", elem_id="strip")
    ui["drafts"] = draft_cards.build()
    ui["welcome"] = panel(render("welcome"), label="Advice")
    ui["head"] = panel(label="Summary", elem_id="head")
    with gr.Row():
        ui["player"] = panel(label="The object in four dimensions", elem_id="player")
        ui["moving"], ui["moving_lines"], ui["wireframe"] = moving_mesh.build()
    with gr.Row():
        ui["compare"] = gr.ImageSlider(
            label="Input and render", elem_id="compare", height=300, **hidden
        )
        ui["orbit"] = BrowserVideo(
            label=VIDEO_LABELS["orbit"], elem_id="orbit", height=300, **looping
        )
    with gr.Row():
        for name in VIDEOS[1:]:
            ui[name] = BrowserVideo(
                label=VIDEO_LABELS[name], elem_id=name, min_width=120, height=170, **looping
            )
    ui["downloads"] = panel(label="Downloads", elem_id="downloads")
    with gr.Row(visible=False) as ui["animations"]:
        ui["gif"] = gr.Button("Add the orbit as a GIF", elem_id="gif")
        ui["webm"] = gr.Button("Add the orbit as a transparent WebM", elem_id="webm")
    ui["live"] = panel(label="Latest picture", elem_id="live")
    ui["insight"] = panel(label="How it works on your clip", elem_id="insight")
    with gr.Row():
        with gr.Column(min_width=280):
            ui["grid"] = BrowserVideo(label="Six views", elem_id="grid", height=320, **looping)
            ui["views"] = views_panel.build()
        ui["model"] = gr.Model3D(
            label="Mesh of the middle frame", elem_id="mesh", height=320, **hidden
        )
    ui["matte"] = gr.Image(
        label="Mattes", elem_id="matte", height=132, buttons=["fullscreen"], **hidden
    )
    ui["edit_mattes"], ui["editor"], ui["strokes"] = matte_editor.build()
    return ui


# --- events -------------------------------------------------------------------------------------


def connect(
    ui: Components,
    listener: Callable,  # an event of a component, such as button.click, or of a chain
    handler: Callable[..., Values],
    inputs: Iterable[str] = (),  # the handler's parameters
    outputs: Iterable[str] = (),  # the components whose values it may return
    **options,
) -> gr.events.Dependency:
    """Call a handler with the values of components by name; show what it returns by name."""

    @wraps(handler)
    def call(*arguments, **named):
        try:
            return {ui[name]: value for name, value in handler(*arguments, **named).items()}
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(str(explain(error)), print_exception=False) from error

    return listener(
        call,
        inputs_kwargs={name: ui[name] for name in inputs},
        outputs=[ui[name] for name in outputs],
        **options,
    )


def _connect(blocks: gr.Blocks, ui: Components, handlers: Handlers) -> None:
    on = partial(connect, ui)
    job, tab = ("job",), ("job", "tab")
    page = (*SOURCES, "preview", *OUTPUTS)

    def write_address(event: gr.events.Dependency) -> gr.events.Dependency:
        return event.then(None, ui["job"], None, js=WRITE_ADDRESS)

    run = partial(on, handler=handlers.start, inputs=(*ORDER_INPUTS, "job"), outputs=OUTPUTS)
    # The panel's event carries its settings, too: they may have changed right before.
    views_changed = on(ui["views"].submit, handlers.change_views, (), _EDITED, **QUICK)
    for started in (run(ui["run"].click, **QUICK), run(views_changed.then, **QUICK)):
        write_address(started).then(None, js=SCROLL_TO_RESULTS)
        if handlers.service.on_zerogpu:
            compute = handlers.service.compute_in_request
            started.then(compute, ui["job"], None, concurrency_limit=None, **QUIET)
    on(ui["timer"].tick, handlers.follow, tab, OUTPUTS, **QUICK)
    on(ui["cancel"].click, handlers.cancel, tab, OUTPUTS, **QUICK)
    on(ui["finish"].click, handlers.finish, tab, OUTPUTS, **QUICK)
    for name, handler in (("gif", handlers.add_gif), ("webm", handlers.add_webm)):
        on(
            ui[name].click, handler, tab, OUTPUTS, concurrency_id="animate",
            show_progress="minimal", show_progress_on=[ui["downloads"]], api_visibility="private",
        )  # fmt: skip
    write_address(on(ui["reset"].click, handlers.reset, (), page, **QUICK))
    write_address(on(ui["delete"].click, handlers.delete, job, page, **QUICK))
    loaded = ("preset", "seed", *SETTINGS, *page)
    on(blocks.load, handlers.load, job, loaded, js=READ_ADDRESS, **QUICK)
    blocks.unload(handlers.leave)
    if "examples" in ui:
        shown = on(ui["examples"].click, handlers.show_example, (), page, **QUICK)
        write_address(shown).then(None, js=SCROLL_TO_RESULTS)

    _connect_clip(on, ui, handlers)
    for drafted in _connect_drafts(on, ui, handlers):
        write_address(drafted).then(None, js=SCROLL_TO_RESULTS)
        if handlers.service.on_zerogpu:
            compute = handlers.service.compute_in_request
            drafted.then(compute, ui["job"], None, concurrency_limit=None, **QUIET)
    _connect_editors(on, ui, handlers)


_EDITED = ("exclude", "redraw", *views_panel.SLIDERS)  # settings that the views panel changes


def _connect_clip(on: Callable, ui: Components, handlers: Handlers) -> None:
    """The clip with its preview, the preset, and the preflight report."""
    chosen = ("preview", "run")
    on(ui["clip"].upload, handlers.choose_clip, ("clip",), chosen, **QUICK)
    on(ui["clip"].clear, handlers.choose_clip, ("clip",), chosen, **QUICK)
    on(ui["clip"].delete, handlers.choose_clip, ("clip",), chosen, **QUICK)
    recorded = on(ui["camera"].submit, handlers.use_recording, (), ("clip",), **QUICK)
    on(recorded.success, handlers.choose_clip, ("clip",), chosen, **QUICK)

    # Values that a handler sets trigger no report by themselves: a page that loads sets them all.
    changes = [
        on(ui["preset"].input, handlers.choose_preset, ("preset",), SETTINGS, **QUICK),
        on(ui["preflight"].input, handlers.choose_part, (), ("start", "end"), **QUICK),
        on(ui["views"].input, handlers.change_views, (), _EDITED, **QUICK),
    ]
    settings = [ui[name].input for name in ("preset", "seed", *SETTINGS)]
    inputs = partial(gr.on, [ui["clip"].change, ui["mesh"].change, *settings])
    for listener in (inputs, *(change.then for change in changes)):
        on(
            listener, handlers.preflight, ORDER_INPUTS, ("preflight",),
            trigger_mode="always_last", concurrency_limit=None,
            **QUIET,
        )  # fmt: skip


def _connect_drafts(
    on: Callable, ui: Components, handlers: Handlers
) -> tuple[gr.events.Dependency, gr.events.Dependency]:
    """The tabs for a picture and for words; the events after which drafts are made."""
    chosen = (ui["picture"].upload, ui["picture"].clear)
    on(partial(gr.on, chosen), handlers.choose_picture, ("picture",), ("picture_preview",), **QUICK)
    on(ui["to_picture"].click, handlers.show_picture_tab, (), ("source",), **QUICK)
    picked = on(ui["drafts"].submit, handlers.pick, ("job",), (*SOURCES, "preview", "run"), **QUICK)
    picked.then(None, js=SCROLL_TO_RUN)
    moving = ("picture", "engine", "motion", "job")
    return (
        on(ui["move"].click, handlers.move, moving, OUTPUTS, **QUICK),
        on(ui["draw"].click, handlers.draw, ("words", "job"), OUTPUTS, **QUICK),
    )


def _connect_editors(on: Callable, ui: Components, handlers: Handlers) -> None:
    """The editors below the mattes and the six views, which open when those are there."""
    job = ("job",)
    editor = ("edit_mattes", "editor", "strokes")
    on(ui["matte"].change, handlers.open_matte_editor, job, editor, **QUIET)
    on(ui["editor"].select, handlers.edit_frame, job, ("editor",), **QUIET)
    saving = QUIET | {"show_progress": "minimal"}
    on(ui["editor"].submit, handlers.save_strokes, job, ("strokes",), **saving)
    on(ui["grid"].change, handlers.open_views, ("job", "grid"), ("views",), **QUIET)
