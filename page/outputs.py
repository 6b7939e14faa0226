"""What a tab shows of a job: from its files and events to the components of the page."""

from __future__ import annotations

import json
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from ds4d.run.events import Event

from . import results
from .about import spoken
from .html import FORGET, headline, notice
from .jobs.service import QUEUE
from .jobs.store import EVENTS, Job
from .progress import Progress, duration

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
