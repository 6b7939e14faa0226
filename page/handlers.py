"""Event handlers of the page.

Parameters are named after the components whose values they take, and each handler returns values
by the name of their component; components that are left out stay as they are.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path

import gradio as gr

from ds4d.errors import UserError

from .components import draft_cards, matte_editor, preflight, views_panel, webcam
from .errors import explain
from .examples import all_examples
from .html import notice, render
from .jobs.queue import ROOT
from .jobs.service import Service
from .jobs.store import Job
from .outputs import CHOOSE_CLIP, TabState, Values, artifacts, idle, show
from .preflight.pool import LEFT
from .progress import Progress
from .results import animation
from .settings import Value, configure, preset_changes, values_of
from .uploads import Clip, one_file

DEFAULTS = {"preset": "preview", "seed": 0}


def reports_errors(handler: Callable[..., Values]) -> Callable[..., Values]:
    """Show an exception of a handler as a notice, with the run button enabled."""

    @wraps(handler)
    def safe(*arguments, **named) -> Values:
        try:
            return handler(*arguments, **named)
        except Exception as error:
            return {"notice": _error_notice(error), "run": gr.update(interactive=True)}

    return safe


def _error_notice(error: Exception) -> str:
    explained = explain(error)
    return notice(explained.sentence, explained.hint, kind="error")


class Handlers:
    """The handlers of one app, around its service."""

    def __init__(self, service: Service):
        self.service = service

    def find(self, identity: str) -> Job:
        return self.service.store.find(identity)

    # --- a run ----------------------------------------------------------------------------------

    @reports_errors
    def start(self, clip, job: str, request: gr.Request, **settings: Value) -> Values:
        """Order a run and show it from its beginning."""
        visitor = self.service.visitor_of(request)
        ordered = self.service.order(clip, job=job or "", visitor=visitor, **settings)
        return show(self.service, ordered, None)

    @reports_errors
    def move(self, picture, engine: str, motion: str, job: str, request: gr.Request) -> Values:
        """Order clips of a picture and show them as they come."""
        visitor = self.service.visitor_of(request)
        order = {"engine": engine, "motion": motion or "", "job": job or "", "visitor": visitor}
        return show(self.service, self.service.move(picture, **order), None)

    @reports_errors
    def draw(self, words: str, job: str, request: gr.Request) -> Values:
        """Order pictures of words and show them as they come."""
        visitor = self.service.visitor_of(request)
        return show(
            self.service, self.service.draw(words or "", job=job or "", visitor=visitor), None
        )

    @reports_errors
    def follow(self, job: str, tab: TabState | None) -> Values:
        """Show what has changed since the tab last asked."""
        try:
            return show(self.service, self.find(job), tab)
        except UserError:  # no job, or it was deleted: the tab may keep what it shows
            return {"timer": gr.update(active=False)}

    @reports_errors
    def cancel(self, job: str, tab: TabState | None) -> Values:
        """Stop the run; returns once it has ended."""
        return show(self.service, self.service.cancel(self.find(job)), tab)

    @reports_errors
    def finish(self, job: str, tab: TabState | None) -> Values:
        """End the optimization with its current result."""
        found = self.find(job)
        found.finish_early()
        return show(self.service, found, tab)

    def add_gif(self, job: str, tab: TabState | None) -> Values:
        return self._animate(job, tab, "gif")

    def add_webm(self, job: str, tab: TabState | None) -> Values:
        return self._animate(job, tab, "webm")

    @reports_errors
    def _animate(self, job: str, tab: TabState | None, kind: str) -> Values:
        """Render the orbit as an animation, which few people want, on request."""
        found = self.find(job)
        if found.state != "done":
            raise UserError("This run is not finished.", "Animations are made of finished runs.")
        if not (found.folder / animation("orbit", kind)).exists():
            command = [sys.executable, "-m", "page.jobs.animate", str(found.folder), "orbit", kind]
            if subprocess.run(command, cwd=ROOT).returncode:
                raise UserError("The animation could not be rendered.", "Please try again.")
        return show(self.service, found, tab, changed={"export"})

    def delete(self, job: str) -> Values:
        """Delete a run with all its files, and show an empty page."""
        try:
            self.service.queue.delete(self.find(job))
        except UserError as error:
            return {"notice": _error_notice(error)}
        deleted = notice("The run was deleted.", "Choose a clip to start another one.")
        return self.reset() | {"notice": deleted}

    # --- the page -------------------------------------------------------------------------------

    def load(self, job: str) -> Values:
        """Fill a page that was just loaded: default settings, or the job in its address."""
        if not job:
            return values_of(configure(self.service.limits, **DEFAULTS))
        try:
            found = self.find(job)
        except UserError as error:
            return self.load("") | {"notice": _error_notice(error)}
        return _sources(found) | values_of(found.config) | show(self.service, found, None)

    def reset(self) -> Values:
        """Show an empty page; the job is kept."""
        empty = {"clip": None, "preview": "", "picture": None, "picture_preview": "", "words": ""}
        return empty | idle()

    def show_example(self, event: gr.EventData) -> Values:
        """Show the bundled result of an example; its clip can be run again."""
        named = [each for each in all_examples() if each.name == event._data.get("name")]
        if not named:
            raise gr.Error("There is no such example.", print_exception=False)
        example = named[0]
        progress = Progress.of_run(example.folder)
        text = f"Made earlier with the {example.preset} preset. {progress.engines()}"
        return (
            idle()
            | {"clip": str(example.clip), "preview": _clip_preview(str(example.clip))}
            | _pictured(example.picture)
            | artifacts(example.folder, {*progress.stages, "player"})
            | {
                "welcome": gr.update(visible=False),
                "strip": progress.strip(),
                "live": progress.live(),
                "head": render("headline", title=example.title, text=text),
                "run": gr.update(value="Run it again here", interactive=True),
                "reset": gr.update(visible=True),
            }
        )

    # --- the clip and its settings --------------------------------------------------------------

    def choose_clip(self, clip: Clip) -> Values:
        """Preview a new clip and enable the run button; without a clip, the reverse."""
        if clip is None:
            return {"preview": "", "run": CHOOSE_CLIP}
        run = gr.update(value="Create 4D object", interactive=True)
        return {"preview": _clip_preview(clip), "run": run}

    def choose_picture(self, picture: str | None) -> Values:
        """Preview a new picture."""
        return {"picture_preview": _clip_preview(picture) if picture else ""}

    def show_picture_tab(self) -> Values:
        return {"source": gr.update(selected="picture")}

    def pick(self, job: str, event: gr.EventData) -> Values:
        """Take a draft: a clip goes down the chain, a picture to the tab where it is moved."""
        draft = draft_cards.picked(self.find(job), event)
        if draft.is_clip:
            return {"clip": [str(draft.file)]} | self.choose_clip(str(draft.file))
        return _pictured(draft.file)

    def use_recording(self, event: gr.EventData) -> Values:
        """Take a recording of the webcam as the clip."""
        try:
            return {"clip": [webcam.recorded_clip(event)]}  # the component takes several
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def choose_preset(self, preset: str) -> Values:
        return preset_changes(preset)

    def preflight(self, clip: Clip, request: gr.Request = None, **settings: Value) -> Values:
        """Report on the clip as it is to be used."""
        if not clip:
            return {"preflight": ""}
        visitor, tab = self.service.visitor_of(request), _tab_of(request)
        try:
            file = one_file(clip, self.service.limits)
            report = partial(self.service.preflight.report, file, visitor=visitor, tab=tab)
            contents = preflight.contents(configure(self.service.limits, **settings), report)
        except Exception as error:
            if error is LEFT:
                return {}
            contents = preflight.refusal(explain(error))
        return {"preflight": contents}

    def leave(self, request: gr.Request = None) -> None:
        """End what was done for a browser tab that was closed."""
        self.service.preflight.cancel(_tab_of(request))

    def choose_part(self, event: gr.EventData) -> Values:
        return preflight.chosen_part(event)

    # --- editors --------------------------------------------------------------------------------

    def open_matte_editor(self, job: str) -> Values:
        """Show the editor of a job that has mattes; hide it otherwise."""
        if not job or "matting" not in self.find(job).stage_record():
            return {"edit_mattes": gr.update(visible=False), "editor": "", "strokes": ""}
        contents = matte_editor.contents(self.find(job))
        return {"edit_mattes": gr.update(visible=True), "editor": contents, "strokes": ""}

    def edit_frame(self, job: str, event: gr.EventData) -> Values:
        frame = matte_editor.frame_of(event)
        return {"editor": matte_editor.contents(self.find(job), frame)}

    def save_strokes(self, job: str, event: gr.EventData) -> Values:
        """Save strokes with the job and preview their effect on all frames."""
        try:
            return {"strokes": matte_editor.save_strokes(self.find(job), event)}
        except UserError as error:
            return {"strokes": _error_notice(error)}

    def open_views(self, job: str, grid: str | None) -> Values:
        """Show the panel below the six views, if there are any."""
        if not grid:
            return {"views": gr.update(value="", visible="hidden")}
        contents = views_panel.contents(self.find(job) if job else None)
        return {"views": gr.update(value=contents, visible=True)}

    def change_views(self, event: gr.EventData) -> Values:
        return views_panel.changed_settings(event)


def _sources(job: Job) -> Values:
    """The clip, the picture and the words of a job, and the tab that it was ordered in."""
    values: Values = {"words": job.wish.words}
    if job.clip:
        values |= {"clip": str(job.source), "preview": _clip_preview(str(job.source))}
    if job.picture:
        values |= _pictured(job.folder / "input" / job.picture)
    if job.wish.task != "none":
        tab = "words" if job.wish.task == "pictures" else "picture"
        values["source"] = gr.update(selected=tab)
    return values


def _pictured(picture: Path | None) -> Values:
    """The tab of pictures with this one; the tab of clips if there is none."""
    if picture is None:
        return {"source": gr.update(selected="clip"), "picture": None, "picture_preview": ""}
    shown = {"picture": str(picture), "picture_preview": _clip_preview(str(picture))}
    return {"source": gr.update(selected="picture")} | shown


def _tab_of(request: gr.Request | None) -> str:
    return getattr(request, "session_hash", None) or ""


def _clip_preview(clip: str | list[str]) -> str:
    """The clip as the browser shows it; of several pictures, the first."""
    files = sorted(map(Path, [clip] if isinstance(clip, str) else clip))
    return render("clip_preview", clip=files[0], count=len(files))
