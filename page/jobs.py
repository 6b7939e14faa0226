"""What the page does with jobs: order one, follow it from any moment, cancel it, come back to it.

Every handler answers with a value for each of OUTPUTS; `put` leaves out what does not change.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from pathlib import Path

import gradio as gr

from ds4d.errors import UserError
from ds4d.events import Event
from ds4d.workspace import FINISH_FLAG, content_key

from . import lanes, results
from .about import spoken
from .limits import LIMITS
from .panels import (
    EXAMPLES,
    FORGET,
    clip_preview,
    example_clip,
    headline,
    notice,
    preset_of,
    title_of,
)
from .queue import ROOT, Queue
from .results import animated
from .settings import SETTINGS, configure, preset_values, shown_values
from .stages import Progress, duration
from .store import EVENTS, Job, Store
from .worker import compute, explain

RUNS = Path(os.environ.get("DS4D_RUNS", Path(tempfile.gettempdir()) / "ds4d-runs")).resolve()
STORE = Store(RUNS, LIMITS)
QUEUE = Queue(STORE)
SALT = secrets.token_hex()
VIDEOS = {
    "orbit": "Once around", "front": "Front", "back": "Back", "left": "Left", "right": "Right",
    "bullet": "Frozen",
}  # fmt: skip

# What the page shows of a run: component -> the stage that makes it, and its file in the folder.
ARTIFACTS = {
    "matte": ("matting", "previews/matting.jpg"),
    "grid": ("multiview", "multiview/grid.mp4"),
    "mesh": ("mesh", "mesh.glb"),
    **{name: ("videos", f"videos/{name}.mp4") for name in VIDEOS},
}
OUTPUTS = (
    *ARTIFACTS, "compare", "player", "downloads", "notice", "welcome", "strip", "live", "head",
    "insight", "forget", "run", "cancel", "finish", "over", "more", "job", "view", "timer",
)  # fmt: skip
ORDER = ("preset", "seed", *SETTINGS)  # what stands beside the clip; a mesh of one's own comes last

log = logging.getLogger("ds4d.app")


@dataclass
class View:
    """What one tab has seen of a job."""

    job: str = ""
    queued: float = 0.0  # which pass over the stages
    offset: int = 0  # bytes of its events that were read
    progress: Progress = field(default_factory=Progress)
    shown: set[str] = field(default_factory=set)  # stages whose artifacts the page shows
    sent: dict = field(default_factory=dict)  # what the page was told last

    def news(self, values: dict) -> dict:
        """What the page does not know yet: nothing is drawn, or read aloud, a second time."""
        new = {name: value for name, value in values.items() if self.sent.get(name) != value}
        self.sent |= new
        return new

    def read(self, job: Job) -> None:
        """Take in the events since the last time."""
        with open(job.folder / EVENTS, "rb") as file:
            file.seek(self.offset)
            whole, end, _ = file.read().rpartition(b"\n")  # a line that is being written can wait
        self.offset += len(whole) + len(end)
        lines = [json.loads(line) for line in whole.splitlines()]
        record = job.stage_record() if lines else {}
        for line in lines:
            at = line.pop("at")
            picture = line.pop("picture", None)
            if "end" in line:
                self._end(line["end"], record)
            else:
                path = job.folder / picture if picture else None
                picture = path if path and path.exists() else None  # only the newest are kept
                self.progress.take(Event(**line), record, job.folder, picture, at)

    def _end(self, how: str, record: dict) -> None:
        if how == "done":
            self.progress.finish(record)
        else:
            self.progress.halt("failed" if how == "failed" else "stopped")


def put(**values) -> tuple:
    """Values for OUTPUTS; what is not named stays as it is."""
    return tuple(values.get(name, gr.skip()) for name in OUTPUTS)


def answered(handler: Callable[..., tuple]) -> Callable[..., tuple]:
    """A handler whose mistakes are told on the page, in a sentence and a hint."""

    @wraps(handler)
    def answer(*arguments, **named) -> tuple:
        try:
            return handler(*arguments, **named)
        except Exception as error:
            words = explain(error)
            told = notice(words["sentence"], words["hint"], kind="error")
            return put(notice=told, run=gr.update(interactive=True))

    return answer


def order(clip: str | None, preset: str, seed: int, *rest, job: str = "", visitor: str = "") -> Job:
    """Queue a job for a clip with values for SETTINGS and a mesh file, in this order.

    Goes on in the folder of `job` where that has the same clip, so that only what has changed is
    made again. Raises UserError for whatever cannot be, and where a limit is reached.
    """
    if clip is None:
        raise UserError("There is no clip yet.", "Upload one, or pick an example.")
    *values, mesh = rest
    config = configure(preset, seed, dict(zip(SETTINGS, values, strict=True)), mesh)
    ordered = _same_clip(job, Path(clip)) or STORE.create(Path(clip), config, visitor)
    if mesh:  # where it stays as long as the job
        copy = ordered.folder / "input" / f"mesh{Path(mesh).suffix.lower()}"
        shutil.copyfile(mesh, copy)
        config = replace(config, mesh=replace(config.mesh, file=str(copy)))
    (ordered.folder / FINISH_FLAG).unlink(missing_ok=True)
    try:
        return QUEUE.submit(replace(ordered, config=config, visitor=visitor))
    except UserError:
        if ordered.state == "new":  # it has nothing that anybody could come back to
            STORE.delete(ordered)
        raise


def _same_clip(identity: str, clip: Path) -> Job | None:
    try:
        job = STORE.find(identity)
    except UserError:
        return None
    return job if job.clip_key == content_key(clip) else None


def visitor_of(request: gr.Request | None) -> str:
    """Tells visitors apart by where they come from; their address itself is not kept."""
    headers = getattr(request, "headers", None) or {}
    client = getattr(request, "client", None)
    address = headers.get("x-forwarded-for", "").split(",")[0] or getattr(client, "host", "")
    return hashlib.sha256(f"{SALT} {address}".encode()).hexdigest()[:16]


@answered
def start(request: gr.Request, clip, job, *values) -> tuple:
    """Order a run and show it from its beginning."""
    ordered = order(clip, *values, job=job or "", visitor=visitor_of(request))
    return show(ordered, None)


@answered
def follow(identity: str, view: View | None) -> tuple:
    """What has changed since this tab has last asked."""
    if not identity:
        return put(timer=gr.update(active=False))
    try:
        job = STORE.find(identity)
    except UserError:
        return put(timer=gr.update(active=False))  # deleted: what the page shows it may keep
    return show(job, view)


def show(job: Job, view: View | None, anew: Set[str] = frozenset()) -> tuple:
    """The page's picture of a job, or what is new in it to this tab; `anew` are stages that have
    changed behind its back."""
    job.look()
    values = {}
    if view is None or (view.job, view.queued) != (job.id, job.queued):
        view = View(job.id, job.queued)
        values = cleared() | {"welcome": gr.update(visible=False), "head": "", "job": job.id}
    view.read(job)
    progress = view.progress
    fresh = {name for name in progress.stages if progress.is_done(name)} - view.shown
    view.shown |= fresh
    fresh |= anew
    values |= artifacts(job.folder, fresh) | buttons(job, progress) | words(job, progress)
    values |= {"strip": progress.strip(), "live": progress.live()}
    values |= {"timer": gr.update(active=job.active)}
    return put(**view.news(values), view=view)


def cleared() -> dict:
    hidden = gr.update(value=None, visible="hidden")
    empty = dict.fromkeys(("player", "downloads", "insight", "forget"), "")
    return {name: hidden for name in (*ARTIFACTS, "compare")} | empty


def words(job: Job, progress: Progress) -> dict:
    """What the page says about the job as a whole."""
    if job.state == "queued":
        return {"notice": waiting(job)}
    if job.state == "running":
        link = f"?job={job.id}"
        text = "Close this page if you like: its address brings you back."
        return {"notice": notice("At work.", text, link=(link, "Link to this run"))}
    if job.state == "done":
        return {"notice": "", "head": headline("Your object, in four dimensions", made(progress))}
    kind = "error" if job.state == "failed" else "info"
    return {"notice": notice(job.sentence, job.hint, kind=kind)}


def made(progress: Progress) -> str:
    """How a result came about."""
    facts = progress.stages["fourd"].facts
    stopped = ""
    if "stopped_at_step" in facts:
        step, steps = facts["stopped_at_step"], facts["of_steps"]
        stopped = f" Stopped at step {step:,} of {steps:,}, as asked."
    return f"Made here in {duration(progress.seconds)}.{stopped} {progress.engines()}"


def waiting(job: Job) -> str:
    count = len(QUEUE.ahead(job))
    seconds = QUEUE.wait(job)
    if count == 0:
        return notice("Waiting for its turn.", "It begins at once.")
    place = f"Waiting for its turn: number {count} in the queue."
    text = (
        f"It begins in about {spoken(seconds)}. Close this page if you like: its address brings "
        "you back."
    )
    return notice(place, text, link=(f"?job={job.id}", "Link to this run"))


def buttons(job: Job, progress: Progress) -> dict:
    """What can be pressed now."""
    at_4d = job.state == "running" and progress.current == "fourd"
    label = "Make it again"
    if job.state in ("cancelled", "failed") or job.finishing_early:
        label = "Go on"
    return {
        "run": gr.update(interactive=not job.active, **({} if job.active else {"value": label})),
        "cancel": gr.update(visible=job.active),
        "finish": gr.update(visible=at_4d and not job.finishing_early),
        "over": gr.update(visible=not job.active),
        "more": gr.update(visible=job.state == "done"),
        "forget": "" if job.active else FORGET,
    }


@answered
def cancel(identity: str, view: View | None) -> tuple:
    """Stop the job and answer once it has really ended."""
    return show(cancelled(STORE.find(identity)), view)


def cancelled(job: Job) -> Job:
    """The job once it has really ended."""
    job = QUEUE.cancel(job)
    while job.active:
        time.sleep(0.1)
        job = STORE.find(job.id)
    return job


@answered
def finish(identity: str, view: View | None) -> tuple:
    """Good enough: the 4D stage ends with the step it is at."""
    job = STORE.find(identity)
    job.finish_early()
    return show(job, view)


@answered
def animate(identity: str, view: View | None, kind: str) -> tuple:
    """The orbit as a gif or webm, which few want: drawn when it is asked for."""
    job = STORE.find(identity)
    if job.state != "done":
        raise UserError("This run is not finished.", "Animations are drawn of finished runs.")
    if not (job.folder / animated("orbit", kind)).exists():
        command = [sys.executable, "-m", "page.animate", str(job.folder), "orbit", kind]
        if subprocess.run(command, cwd=ROOT).returncode:
            raise UserError("The animation could not be drawn.", "Please try again.")
    return show(job, view, anew={"export"})


def compute_here(identity: str) -> None:
    """On lent GPUs the work is part of the visitor's own request, whose quota it needs."""
    if not identity:
        return
    job = STORE.find(identity)
    if job.state != "queued":
        return
    job = QUEUE.begin(job)
    work = partial(lanes.stage_by_stage, job.source, job.folder, job.config)
    compute(job, work, lambda: job.id in QUEUE.stops)
    QUEUE.settle(job)


def attach(identity: str) -> tuple:
    """A page that has just been loaded: its clip, preview and settings, and OUTPUTS.

    With the address of a job it shows that job.
    """
    if not identity:
        return gr.skip(), gr.skip(), *settings_of(None), *put()
    try:
        job = STORE.find(identity)
    except UserError as error:
        told = notice(error.sentence, error.hint, kind="error")
        return gr.skip(), gr.skip(), *settings_of(None), *put(notice=told)
    clip = str(job.source)
    return clip, clip_preview(clip), *settings_of(job), *show(job, None)


def settings_of(job: Job | None) -> list:
    """Values for ORDER: those of a job, or of a page that nobody has touched."""
    if job is None:
        return ["preview", 0, *preset_values("preview")]
    config = job.config
    return [config.preset, config.seed, *shown_values(config)]


def forget(identity: str) -> tuple:
    """Delete a run and everything in it; the page is empty afterwards."""
    try:
        QUEUE.forget(STORE.find(identity))
    except UserError as error:
        told = notice(error.sentence, error.hint, kind="error")
        return gr.skip(), gr.skip(), *put(notice=told)
    return start_over(notice("The run is deleted.", "Choose a clip to begin another one."))


def start_over(told: str = "") -> tuple:
    """An empty page; the job stays where it is."""
    return (
        None,
        "",
        *put(
            **cleared(),
            notice=told,
            welcome=gr.update(visible=True),
            strip=Progress().strip(),
            live="",
            head="",
            run=gr.update(value="Choose a clip first", interactive=False),
            cancel=gr.update(visible=False),
            finish=gr.update(visible=False),
            over=gr.update(visible=False),
            more=gr.update(visible=False),
            job="",
            view=None,
            timer=gr.update(active=False),
        ),
    )


def show_example(event: gr.EventData) -> tuple:
    """The bundled result of an example at once; its clip is ready to be run again here."""
    name = event._data["name"]
    folder = EXAMPLES / "results" / name
    progress = Progress.of_run(folder)
    text = f"Made earlier with the {preset_of(folder)} preset. {progress.engines()}"
    clip = str(example_clip(name))
    return (
        clip,
        clip_preview(clip),
        *put(
            **cleared() | artifacts(folder, set(progress.stages)),
            notice="",
            welcome=gr.update(visible=False),
            strip=progress.strip(),
            live=progress.live(),
            head=headline(title_of(name), text),
            run=gr.update(value="Run it again here", interactive=True),
            cancel=gr.update(visible=False),
            finish=gr.update(visible=False),
            over=gr.update(visible=True),
            more=gr.update(visible=False),
            job="",
            view=None,
            timer=gr.update(active=False),
        ),
    )


def artifacts(folder: Path, stages: set[str]) -> dict:
    """What these stages left in a run folder, for the components that show it."""
    shown = {
        name: gr.update(value=str(folder / path), visible=True)
        for name, (stage, path) in ARTIFACTS.items()
        if stage in stages and (folder / path).exists()
    }
    if "videos" in stages and (compared := results.comparison(folder)):
        pair, label = compared
        shown["compare"] = gr.update(value=pair, label=label, visible=True)
    if "fourd" in stages:
        shown["insight"] = results.insight(folder)
    if "export" in stages:
        shown |= {"player": results.player(folder), "downloads": results.downloads(folder)}
    return shown


def open_shop() -> None:
    """Begin to compute what is ordered, and to delete what is old."""
    RUNS.mkdir(parents=True, exist_ok=True, mode=0o700)
    QUEUE.start(serve=not lanes.LENT)
    threading.Thread(target=_sweep_hourly, daemon=True).start()


def _sweep_hourly() -> None:
    while True:
        STORE.sweep()
        time.sleep(3600)
