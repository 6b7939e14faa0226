"""What the page does with jobs: order one, follow it from any moment, cancel it, come back to it.

Every handler answers with a value for each of showing.OUTPUTS; `put` leaves out what does not
change.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import wraps

import gradio as gr

from ds4d.errors import UserError

from .html import EXAMPLES, clip_preview, example_clip, headline, notice, preset_of, title_of
from .jobs.queue import ROOT
from .jobs.service import QUEUE, STORE, cancelled, order, settings_of, visitor_of
from .jobs.worker import explain
from .outputs import View, artifacts, cleared, put, show
from .progress import Progress
from .results import animated


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


@answered
def cancel(identity: str, view: View | None) -> tuple:
    """Stop the job and answer once it has really ended."""
    return show(cancelled(STORE.find(identity)), view)


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
