"""The API for programs: /preflight, /generate, /status, /result and /cancel.

Each endpoint answers with one JSON object. gradio_client downloads the files in it; other programs
find their addresses under "url".
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import wraps
from typing import Any

import gradio as gr

from ds4d.errors import UserError
from ds4d.run.estimate import expected

from . import results
from .errors import explain
from .hardware import cores, gpu_name
from .jobs.service import Service
from .jobs.store import Job
from .outputs import TabState
from .settings import SETTINGS, Value, configure
from .uploads import Clip, one_file

POLL_SECONDS = 0.5
FILES = {  # name of a result -> file in the job's folder
    "archive": results.ARCHIVE,
    "asset": results.ASSET,
    "mesh": results.MESH,
    **results.VIDEOS,
}
PREFLIGHT_INPUTS = ("clip", "preset", "start", "end")


def build(service: Service, inputs: dict[str, gr.components.Component]) -> None:
    """Add the endpoints to the page that is being built.

    Args:
        inputs: the components that stand for the parameters of /generate, by name.
    """
    api = Api(service)
    job = gr.Textbox(label="Job", visible=False)
    answer = gr.JSON(label="Answer", visible=False)

    def add(endpoint: Callable, parameters: dict, **options) -> None:
        gr.on(
            [], _endpoint(endpoint), inputs_kwargs=parameters, outputs=answer,
            api_name=endpoint.__name__, **options,
        )  # fmt: skip

    for endpoint in (api.status, api.result, api.cancel):
        add(endpoint, {"job": job}, queue=False)
    add(
        api.preflight, {name: inputs[name] for name in PREFLIGHT_INPUTS},
        concurrency_limit=None,
    )  # fmt: skip
    add(api.generate, inputs, concurrency_limit=None)


class Api:
    """The endpoints of one app, around its service."""

    def __init__(self, service: Service):
        self.service = service

    def preflight(
        self,
        clip: Clip,
        preset: str = "preview",
        start: float | None = None,
        end: float | None = None,
        request: gr.Request = None,
    ) -> dict[str, Any]:
        """Check a clip before a run: the frames it would use, possible problems, expected costs.

        Args:
            clip: a video, an animated image, a zip of pictures, or several pictures of one object.
            preset: preview, standard or paper.
            start: first moment to use, seconds; default: the clip's start.
            end: last moment to use, seconds; default: the clip's end.

        Returns:
            seconds, fps, width, height, source_frames, used (numbers of the source's frames),
            checks (name, fine, sentence, hint), costs (stage, seconds, memory_gb: estimates).
        """
        config = configure(self.service.limits, preset, start=start, end=end)
        file, visitor = one_file(clip, self.service.limits), self.service.visitor_of(request)
        if file is None:
            raise UserError("There is no clip.", "Send one.")
        report = self.service.preflight.report(file, config.clip, visitor)
        costs = expected(config, len(report.used), gpu_name(), cores())
        return {
            "seconds": report.seconds,
            "fps": report.fps,
            "width": report.width,
            "height": report.height,
            "source_frames": report.source_frames,
            "used": list(report.used),
            "checks": [asdict(check) for check in report.checks],
            "costs": [asdict(cost) for cost in costs],
        }

    def generate(
        self,
        clip: Clip,
        preset: str = "preview",
        seed: int = 0,
        request: gr.Request = None,
        **settings: Value,
    ) -> Iterator[dict[str, Any]]:
        """Make a 4D asset and its videos from a short clip of one object.

        Streams the job's id and address at once, then its progress, and at the end its files. The
        job continues if the caller disconnects; /status, /result and /cancel take its id. Settings
        that are left out are the preset's.

        Args:
            clip: a video, an animated image, a zip of pictures, or several pictures of one object.
            preset: preview, standard or paper.
            seed: the only source of randomness.
            {settings}
            mesh: the object's shape from elsewhere (glb, obj or ply), which is fitted to the views.

        Returns:
            job, address, state, and when it is done: seconds, engines, warnings, files.
        """
        visitor = self.service.visitor_of(request)
        job = self.service.order(clip, visitor=visitor, preset=preset, seed=seed, **settings)
        yield _status(self.service, job, request)
        if self.service.on_zerogpu:
            self.service.compute_in_request(job.id)
        while job.active:
            time.sleep(POLL_SECONDS)
            job = self.service.store.find(job.id)
            job.touch()
            if job.active:
                yield _status(self.service, job, request)
        yield _result(job, request)

    def status(self, job: str, request: gr.Request = None) -> dict[str, Any]:
        """Progress of a job.

        Args:
            job: its id, as returned by /generate.

        Returns:
            job, address, state (queued, running, done, failed or cancelled), and depending on it:
            ahead (jobs before it), wait (estimated seconds), stage, step, total, metrics, sentence,
            hint.
        """
        found = self.service.store.find(job)
        found.touch()
        return _status(self.service, found, request)

    def result(self, job: str, request: gr.Request = None) -> dict[str, Any]:
        """Results of a finished job: videos, mesh, the 4D asset, and a zip of everything.

        Args:
            job: its id, as returned by /generate.

        Returns:
            job, address, state, seconds (of each stage), engines, warnings, files.
        """
        return _result(self.service.store.find(job), request)

    def cancel(self, job: str, request: gr.Request = None) -> dict[str, Any]:
        """Stop a queued or running job; its finished stages are kept.

        Args:
            job: its id, as returned by /generate.

        Returns:
            job, address, state.
        """
        found = self.service.cancel(self.service.store.find(job))
        return _status(self.service, found, request)


def _endpoint(endpoint: Callable) -> Callable:
    """An endpoint as Gradio takes it: its `**settings` are spelled out in signature and docstring,
    and errors are raised as gr.Error."""
    if inspect.isgeneratorfunction(endpoint):

        @wraps(endpoint)
        def call(*arguments, **named):
            try:
                yield from endpoint(*arguments, **named)
            except Exception as error:
                raise _raised(error) from error
    else:

        @wraps(endpoint)
        def call(*arguments, **named):
            try:
                return endpoint(*arguments, **named)
            except Exception as error:
                raise _raised(error) from error

    signature = inspect.signature(endpoint)
    parameters = list(signature.parameters.values())
    if parameters[-1].kind is inspect.Parameter.VAR_KEYWORD:
        optional = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
            for name in (*SETTINGS, "mesh")
        ]
        call.__signature__ = signature.replace(parameters=parameters[:-1] + optional)
        lines = [f"{name}: {setting.hint}" for name, setting in SETTINGS.items()]
        call.__doc__ = endpoint.__doc__.replace("{settings}", ("\n" + 12 * " ").join(lines))
    return call


def _raised(error: Exception) -> gr.Error:
    return gr.Error(str(explain(error)), print_exception=False)


def _status(service: Service, job: Job, request: gr.Request | None) -> dict[str, Any]:
    answer = {"job": job.id, "address": address(job, request), "state": job.state}
    if job.sentence:
        answer |= {"sentence": job.sentence, "hint": job.hint}
    if job.state == "queued":
        ahead, wait = len(service.queue.ahead(job)), service.queue.wait_seconds(job)
        return answer | {"ahead": ahead, "wait": wait}
    tab = TabState()
    tab.read(job)
    stage = tab.progress.stages[tab.progress.current]
    position = {"stage": tab.progress.current, "step": stage.step, "total": stage.total}
    return answer | position | {"metrics": stage.rows[-1] if stage.rows else {}}


def _result(job: Job, request: gr.Request | None) -> dict[str, Any]:
    """The files and the record of a job. Raises UserError if it is not done."""
    if job.state != "done":
        raise UserError(job.sentence or f"This run is {job.state}.", job.hint)
    record = job.stage_record()
    return {
        "job": job.id,
        "address": address(job, request),
        "state": job.state,
        "seconds": {name: facts.get("seconds", 0.0) for name, facts in record.items()},
        "engines": {name: facts["engine"] for name, facts in record.items() if "engine" in facts},
        "warnings": [text for facts in record.values() for text in facts.get("warnings", ())],
        "files": {
            name: gr.FileData(path=str(job.folder / file)).model_dump()
            for name, file in FILES.items()
            if (job.folder / file).exists()
        },
    }


def address(job: Job, request: gr.Request | None) -> str:
    """The address of the page that shows the job."""
    headers = getattr(request, "headers", None) or {}
    host = os.environ.get("SPACE_HOST") or headers.get("x-forwarded-host") or headers.get("host")
    scheme = "https" if "SPACE_HOST" in os.environ else headers.get("x-forwarded-proto", "http")
    return f"{scheme}://{host}/?job={job.id}" if host else f"?job={job.id}"
