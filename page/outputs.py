"""Values for the components of the page, by name, from the state of a job."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ds4d.format import duration, rough_duration
from ds4d.run.events import Event

from . import drafts, results
from .components import draft_cards
from .html import notice, render
from .jobs import event_log
from .jobs.service import Service
from .jobs.store import Job
from .progress import Progress

Values = dict[str, Any]  # name of a component -> its value, or a gr.update
CHOOSE_CLIP = gr.update(value="Choose a clip first", interactive=False)  # for the run button

# Components that show a file of the run folder: name -> (stage that makes the file, the file).
ARTIFACTS = {
    "matte": ("matting", "previews/matting.jpg"),
    "grid": ("multiview", "multiview/grid.mp4"),
    "model": ("mesh", results.MESH),
    "moving": ("export", results.MOVING),
    **{name: ("videos", file) for name, file in results.VIDEOS.items()},
}


@dataclass
class TabState:
    """The part of a job that a browser tab already shows."""

    job: str = ""
    queued: float = 0.0  # when the job was queued: it may be queued again
    offset: int = 0  # bytes of its event log that were read
    progress: Progress = field(default_factory=Progress)
    shown: set[str] = field(default_factory=set)  # stages, and "player", that the tab shows
    sent: Values = field(default_factory=dict)  # the latest values

    def changes(self, values: Values) -> Values:
        """The values that differ from those sent before: nothing is rendered twice."""
        changed = {name: value for name, value in values.items() if self.sent.get(name) != value}
        self.sent |= changed
        return changed

    def read(self, job: Job) -> None:
        """Update the progress by the events since the last time."""
        lines, self.offset = event_log.read(job.folder, self.offset)
        record = job.stage_record() if lines else {}
        for line in lines:
            if line.get("end") == "done":
                self.progress.finish(record)
            elif "end" in line:
                self.progress.halt("failed" if line["end"] == "failed" else "stopped")
            else:
                at, picture = line.pop("at"), line.pop("picture", None)
                path = job.folder / picture if picture else None
                path = path if path and path.exists() else None  # older pictures are deleted
                self.progress.update(Event(**line), record, job.folder, path, at)


def idle() -> Values:
    """The page without a job: a value for every component that depends on one."""
    hidden = gr.update(visible=False)
    return no_results() | {
        "notice": "",
        "welcome": gr.update(visible=True),
        "drafts": "",
        "strip": Progress().strip(),
        "live": "",
        "head": "",
        "run": CHOOSE_CLIP,
        "cancel": hidden,
        "finish": hidden,
        "reset": hidden,
        "animations": hidden,
        "job": "",
        "tab": None,
        "timer": gr.update(active=False),
    }


def no_results() -> Values:
    """Values that empty and hide all results."""
    hidden = gr.update(value=None, visible="hidden")
    panels = dict.fromkeys(("player", "downloads", "insight", "delete"), "")
    switch = gr.update(value=False, visible="hidden")
    return (
        dict.fromkeys((*ARTIFACTS, "compare", "moving_lines"), hidden)
        | panels
        | {"wireframe": switch}
    )


OUTPUTS = tuple(idle())


def show(
    service: Service, job: Job, tab: TabState | None, changed: Set[str] = frozenset()
) -> Values:
    """The page for a job, or what is new in it to this tab.

    Args:
        changed: stages whose artifacts have changed after the tab showed them.
    """
    job.touch()
    values: Values = {}
    if tab is None or (tab.job, tab.queued) != (job.id, job.queued):
        again = {job.wish.stage} if job.drafting else set()
        made = {
            name: facts for name, facts in drafts.record(job.folder).items() if name not in again
        }
        tab = TabState(job.id, job.queued, progress=Progress(made))
        values = no_results() | {"welcome": gr.update(visible=False), "head": "", "job": job.id}
    tab.read(job)
    progress = tab.progress
    finished = {name for name in progress.stages if progress.is_done(name)}
    if "export" in finished or progress.stages["export"].step:  # long before the moving mesh
        finished.add("player")
    finished -= tab.shown
    tab.shown |= finished
    values |= artifacts(job.folder, finished | changed)
    values |= _buttons(service, job, progress) | _messages(service, job, progress)
    cards = draft_cards.contents(job)
    values |= {
        "drafts": cards,
        "strip": progress.strip(),
        "live": "" if job.drafting and cards else progress.live(),  # they show more
        "timer": gr.update(active=job.active),
    }
    return tab.changes(values) | {"tab": tab}


def artifacts(folder: Path, stages: Set[str]) -> Values:
    """The artifacts of these stages in a run folder, for the components that show them; "player"
    stands for the first file of the export stage."""
    values = {
        name: gr.update(value=str(folder / file), visible=True)
        for name, (stage, file) in ARTIFACTS.items()
        if stage in stages and (folder / file).exists()
    }
    if "moving" in values:
        values["wireframe"] = gr.update(visible=True)
    if "videos" in stages and (comparison := results.comparison(folder)):
        pair, label = comparison
        values["compare"] = gr.update(value=pair, label=label, visible=True)
    if "fourd" in stages:
        values["insight"] = results.insight(folder)
    if "player" in stages:
        values["player"] = results.player(folder)
    if "export" in stages:
        values["downloads"] = results.downloads(folder)
    return values


def _messages(service: Service, job: Job, progress: Progress) -> Values:
    """The notice above the results, and the headline of a finished job."""
    link = (f"?job={job.id}", "Link to this run")
    leave = "You can close this page; the link brings you back."
    if job.state == "queued":
        ahead = len(service.queue.ahead(job))
        if ahead == 0:
            return {"notice": notice("Waiting to start.")}
        wait = rough_duration(service.queue.wait_seconds(job))
        text = f"It starts in about {wait}. {leave}"
        return {"notice": notice(f"Waiting: number {ahead} in the queue.", text, link=link)}
    if job.state == "running":
        return {"notice": notice("Running.", leave, link=link)}
    if job.drafting and job.state in ("done", "cancelled"):
        return {"notice": notice(*draft_cards.advice(job))}
    if job.state == "done":
        title = "Your object in four dimensions"
        return {"notice": "", "head": render("headline", title=title, text=_provenance(progress))}
    kind = "error" if job.state == "failed" else "info"
    return {"notice": notice(job.sentence, job.hint, kind=kind)}


def _provenance(progress: Progress) -> str:
    """Time and engines of a finished run."""
    facts = progress.stages["fourd"].facts
    stopped = ""
    if "stopped_at_step" in facts:
        step, steps = facts["stopped_at_step"], facts["of_steps"]
        stopped = f" Stopped early at step {step:,} of {steps:,}."
    return f"Made here in {duration(progress.seconds)}.{stopped} {progress.engines()}"


def _buttons(service: Service, job: Job, progress: Progress) -> Values:
    """The buttons that can be pressed in the job's state."""
    unfinished = job.state in ("cancelled", "failed") or job.finishing_early
    label = {} if job.active else {"value": "Continue" if unfinished else "Run again"}
    optimizing = job.active and progress.stages["fourd"].state == "running"
    if job.drafting:  # the run button belongs to the clip that is picked
        return dict.fromkeys(("finish", "animations"), gr.update(visible=False)) | {
            "cancel": gr.update(visible=job.active),
            "reset": gr.update(visible=not job.active),
            "delete": "" if job.active else delete_panel(service),
        }
    return {
        "run": gr.update(interactive=not job.active, **label),
        "cancel": gr.update(visible=job.active),
        "finish": gr.update(visible=optimizing and not job.finishing_early),
        "reset": gr.update(visible=not job.active),
        "animations": gr.update(visible=job.state == "done"),
        "delete": "" if job.active else delete_panel(service),
    }


def delete_panel(service: Service) -> str:
    return render("delete_run", keep_hours=f"{service.limits.keep_hours:g}")
