"""The DS4D Space: layout and wiring of the page. The work is done by ds4d.pipeline."""

from __future__ import annotations

import importlib.util
import os

os.environ["NUMBA_DISABLE_CUDA"] = "1"  # numba must not start CUDA before a ZeroGPU worker forks
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # a visitor's page calls nobody else
if importlib.util.find_spec("spaces"):
    import spaces  # noqa: F401  before anything that imports torch

import logging
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import gradio as gr

from ds4d.config import ClipConfig
from ds4d.errors import UserError
from ds4d.workspace import Workspace, content_key
from panels import (
    EXAMPLES,
    FOOTER,
    KEEP_HOURS,
    NO_PREVIEW,
    PICK_EXAMPLE,
    SHOW_STRIP,
    WELCOME,
    clip_preview,
    example_cards,
    example_clip,
    example_names,
    header,
    headline,
    notice,
    preset_of,
    title_of,
)
from settings import SETTINGS, configure, preset_choices, preset_values
from stages import Progress, duration

ROOT = Path(__file__).resolve().parent
RUNS = Path(os.environ.get("DS4D_RUNS", Path(tempfile.gettempdir()) / "ds4d-runs")).resolve()
QUEUE_SIZE = 16  # visitors who may wait; more are told to come back
SECONDS_BETWEEN_UPDATES = 0.35
CLIP_TYPES = [".mp4", ".mov", ".webm", ".mkv", ".gif", ".webp"]
VIDEOS = {"front": "Front", "back": "Back", "left": "Left", "right": "Right", "bullet": "Frozen"}

# What the page shows of a run: component -> the stage that makes it, and its file in the folder.
ARTIFACTS = {
    "matte": ("matting", "previews/matting.jpg"),
    "grid": ("multiview", "multiview/grid.mp4"),
    "mesh": ("mesh", "mesh.glb"),
    "orbit": ("videos", "videos/orbit.mp4"),
    **{name: ("videos", f"videos/{name}.mp4") for name in VIDEOS},
    "archive": ("export", "exports/ds4d.zip"),
    "asset": ("export", "fourd.safetensors"),
    "take_orbit": ("videos", "videos/orbit.mp4"),
}
# Every handler answers with all of these, in this order; `put` leaves out what does not change.
OUTPUTS = (*ARTIFACTS, "notice", "welcome", "strip", "live", "head", "run", "cancel", "session")

log = logging.getLogger("ds4d.app")
Panel = partial(gr.HTML, apply_default_css=False)


@dataclass
class Session:
    """What one visitor's tab has going on."""

    folders: dict[str, Path] = field(default_factory=dict)  # content of a clip -> its run folder
    progress: Progress = field(default_factory=Progress)
    running: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def folder(self, clip: Path) -> Path:
        """The same clip goes on in the same folder, so only what changed is made again."""
        return self.folders.setdefault(content_key(clip), RUNS / uuid.uuid4().hex)


def put(**values) -> tuple:
    """Values for OUTPUTS; what is not named stays as it is."""
    return tuple(values.get(name, gr.skip()) for name in OUTPUTS)


def generate(
    clip: str | None,
    preset: str,
    seed: int,
    session: Session | None,
    frames: int | None = None,
    size: int | None = None,
    resolution: int | None = None,
    points: int | None = None,
    most_points: int | None = None,
    static_steps: int | None = None,
    dynamic_steps: int | None = None,
    coarse_size: int | None = None,
    fine_size: int | None = None,
    video_size: int | None = None,
    video_seconds: float | None = None,
) -> Iterator[tuple]:
    """Make a 4D asset and its videos from a short clip of one object.

    Args:
        clip: a video, GIF or WebP.
        preset: preview, standard or paper.
        seed: the only source of randomness.
        frames: and all after it: instead of the preset's value.
    """
    session = session or Session()
    session.progress = progress = Progress()
    session.ended.clear()
    session.running.set()
    try:
        if clip is None:
            raise UserError("There is no clip yet.", "Upload one, or pick an example.")
        values = {
            "frames": frames, "size": size, "resolution": resolution, "points": points,
            "most_points": most_points, "static_steps": static_steps,
            "dynamic_steps": dynamic_steps, "coarse_size": coarse_size, "fine_size": fine_size,
            "video_size": video_size, "video_seconds": video_seconds,
        }  # fmt: skip
        config = configure(preset, seed, values)
        yield put(session=session, notice="", strip=progress.strip())
        yield from follow(Path(clip), session, config)
    except UserError as error:
        progress.halt("failed")
        yield failed(progress, error.sentence, error.hint)
        raise gr.Error(str(error), visible=False, print_exception=False) from error
    except Exception as error:
        reference = uuid.uuid4().hex[:8]
        log.exception("run failed, reference %s", reference)
        progress.halt("failed")
        sentence = f"Something broke that should not (reference {reference})."
        hint = "Another clip may work; what was finished is kept."
        yield failed(progress, sentence, hint)
        raise gr.Error(f"{sentence} {hint}", visible=False, print_exception=False) from error
    finally:  # a cancelled run ends here: closing the generator stopped the stage at its last event
        progress.halt("stopped")
        session.running.clear()
        session.ended.set()


def follow(clip: Path, session: Session, config) -> Iterator[tuple]:
    """Run the pipeline and turn its events into what the page shows."""
    from ds4d import pipeline  # brings torch, which a page that only shows examples does not need

    folder, progress = session.folder(clip), session.progress
    workspace = Workspace(folder)
    shown: set[str] = set()
    updated = 0.0
    for event in pipeline.generate(clip, workspace, config):
        moved = progress.take(event, workspace.record["stages"], folder)
        if not moved and time.monotonic() - updated < SECONDS_BETWEEN_UPDATES:
            continue
        fresh = {name for name in progress.stages if progress.is_done(name)} - shown
        shown |= fresh
        yield put(strip=progress.strip(), live=progress.live(), **artifacts(folder, fresh))
        updated = time.monotonic()
    progress.finish(workspace.record["stages"])
    took = f"Made here in {duration(progress.seconds)}. {progress.engines()}"
    yield put(  # everything once more: a program that calls gets this last answer only
        **artifacts(folder, set(progress.stages)),
        strip=progress.strip(),
        live=progress.live(),
        head=headline("Your object, in four dimensions", took),
        **ready("Make it again"),
    )


def begin(session: Session | None) -> tuple:
    """Clear the page for a new run and offer to cancel it, also while it waits for its turn."""
    session = session or Session()
    session.progress = Progress()
    cleared = {name: gr.update(value=None, visible="hidden") for name in ARTIFACTS}
    return put(
        **cleared,
        notice=notice("Waiting for its turn.", "One run at a time."),
        welcome=gr.update(visible=False),
        strip=session.progress.strip(),
        live="",
        head="",
        run=gr.update(interactive=False),
        cancel=gr.update(visible=True),
        session=session,
    )


def stop(session: Session) -> tuple:
    """Answer once the run has really ended."""
    if session.running.is_set():
        session.ended.wait(timeout=60)
    text = notice("Cancelled.", "What is finished is kept: press Go on to continue from here.")
    return put(notice=text, strip=session.progress.strip(), **ready("Go on"))


def failed(progress: Progress, sentence: str, hint: str) -> tuple:
    text = notice(sentence, hint, kind="error")
    return put(notice=text, strip=progress.strip())


def ready(label: str | None = None) -> dict:
    """The buttons of a page that waits for its visitor; without a label it stays as it was."""
    run = gr.update(interactive=True) if label is None else gr.update(value=label, interactive=True)
    return {"run": run, "cancel": gr.update(visible=False)}


def show_example(event: gr.EventData) -> tuple:
    """The bundled result of an example at once; its clip is ready to be run again here."""
    name = event._data["name"]
    folder = EXAMPLES / "results" / name
    progress = Progress.of_run(folder)
    text = f"Made earlier with the {preset_of(folder)} preset. {progress.engines()}"
    shown = artifacts(folder, set(progress.stages))
    clip = str(example_clip(name))
    return clip, clip_preview(clip), *put(
        **{key: shown.get(key, gr.update(value=None, visible="hidden")) for key in ARTIFACTS},
        notice="",
        welcome=gr.update(visible=False),
        strip=progress.strip(),
        live=progress.live(),
        head=headline(title_of(name), text),
        **ready("Run it again here"),
    )


def artifacts(folder: Path, stages: set[str]) -> dict:
    """The files that these stages left in a run folder, for the components that show them."""
    return {
        name: gr.update(value=str(folder / path), visible=True)
        for name, (stage, path) in ARTIFACTS.items()
        if stage in stages and (folder / path).exists()
    }


def sweep() -> None:
    """Delete the runs in which no stage has begun or ended for KEEP_HOURS."""
    for folder in RUNS.iterdir():
        if time.time() - folder.stat().st_mtime > KEEP_HOURS * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_hourly() -> None:
    while True:
        sweep()
        time.sleep(3600)


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
            with gr.Column(scale=5, min_width=320):
                build_results(ui)
        Panel(FOOTER)

        outputs = [ui[name] for name in OUTPUTS]
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        started = ui["run"].click(begin, session, outputs, queue=False, **quiet)
        started.then(None, js=SHOW_STRIP)
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
            event(preset_values, inputs[0], inputs[2:], **quiet)
        if example_names():
            shown = examples.click(show_example, None, [clip, preview, *outputs], **quiet)
            shown.then(None, js=SHOW_STRIP)
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
    run = gr.Button("Choose a clip first", variant="primary", interactive=False, elem_id="run")
    cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
    return clip, preview, [preset, seed, *fields], run, cancel


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
    ui["matte"] = gr.Image(label="Mattes", elem_id="matte", buttons=["fullscreen"], **hidden)


gr.set_static_paths([EXAMPLES / "clips", EXAMPLES / "results"])
demo = build()

if __name__ == "__main__":
    RUNS.mkdir(parents=True, exist_ok=True, mode=0o700)
    threading.Thread(target=sweep_hourly, daemon=True).start()
    demo.launch(
        theme=THEME,
        css_paths=ROOT / "assets/style.css",
        allowed_paths=[str(RUNS)],
        max_file_size=ClipConfig.max_bytes,
        footer_links=["api"],
        run_history=False,
    )
