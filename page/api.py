"""The endpoints for programs: /preflight, /generate, /status, /result and /cancel.

They answer with one JSON object each. Its files are downloaded by gradio_client; other programs
find their addresses under "url".
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import gradio as gr

from ds4d.errors import UserError

from . import zerogpu
from .components.preflight import preflight
from .jobs.service import QUEUE, STORE, cancelled, compute_here, order, visitor_of
from .jobs.store import Job
from .jobs.worker import explain
from .outputs import View
from .settings import SETTINGS

LOOK_EVERY = 0.5  # seconds
FILES = {  # a result's name -> its file in the job's folder
    "archive": "exports/ds4d.zip",
    "asset": "fourd.safetensors",
    "mesh": "mesh.glb",
    **{
        name: f"videos/{name}.mp4" for name in ("orbit", "front", "back", "left", "right", "bullet")
    },
}


def build(clip: gr.File, inputs: list) -> None:
    """Add the endpoints to the page that is being built; `inputs` stand beside the clip."""
    job = gr.Textbox(label="Job", visible=False)
    news = gr.JSON(label="News", visible=False)
    for function in (status, result, cancel):
        gr.on([], function, job, news, api_name=function.__name__, queue=False)
    every = [clip, *inputs]
    part = [*every[:2], *(every[3 + list(SETTINGS).index(name)] for name in ("start", "end"))]
    gr.on([], preflight, part, news, api_name="preflight", concurrency_limit=2)
    gr.on([], generate, every, news, api_name="generate", concurrency_limit=None)


def told(endpoint: Callable) -> Callable:
    """What goes wrong reaches the program as a sentence and a hint."""

    @wraps(endpoint)
    def answer(*arguments, **named):
        try:
            return endpoint(*arguments, **named)
        except Exception as error:
            raise _raised(error) from error

    return answer


def _raised(error: Exception) -> gr.Error:
    words = explain(error)
    return gr.Error(f"{words['sentence']} {words['hint']}".strip(), print_exception=False)


def generate(
    clip: str | None,
    preset: str = "preview",
    seed: int = 0,
    start: float | None = None,
    end: float | None = None,
    frames: int | None = None,
    size: int | None = None,
    drawing_steps: int | None = None,
    slant: float | None = None,
    depth: float | None = None,
    redraw: str | None = None,
    resolution: int | None = None,
    points: int | None = None,
    most_points: int | None = None,
    static_steps: int | None = None,
    dynamic_steps: int | None = None,
    image_size: int | None = None,
    exclude: str | None = None,
    video_size: int | None = None,
    video_seconds: float | None = None,
    mesh: str | None = None,
    request: gr.Request = None,
) -> Iterator[dict[str, Any]]:
    """Make a 4D asset and its videos from a short clip of one object.

    Tells at once the job and its address, then how far it is, and at the end the files. The job
    goes on when the caller leaves; /status, /result and /cancel take its name.

    Args:
        clip: a video, GIF or WebP of one object.
        preset: preview, standard or paper.
        seed: the only source of randomness.
        start: first moment of the clip that is used, seconds; left out, as all that follows: the
            preset's.
        end: last moment of the clip that is used, seconds.
        frames: frames that the clip is sampled to.
        size: side of the square frames, pixels.
        drawing_steps: denoising steps of the network that draws the six views.
        slant: by how many degrees the right side of an inflated object is farther away.
        depth: thickness of an inflated object, times what its silhouettes say.
        redraw: frames that Zero123++ draws once more, as FRAME:TRY, with spaces between them.
        resolution: cells along a side of the grid that the mesh is cut from.
        points: Gaussians at the start.
        most_points: Gaussians at most.
        static_steps: steps of the optimization on the middle frame.
        dynamic_steps: steps of the optimization on all frames.
        image_size: side of the images that are drawn in training, pixels.
        exclude: drawn views that count for nothing, as FRAME:VIEW, with spaces between them.
        video_size: side of the videos, pixels.
        video_seconds: length of each video, seconds.
        mesh: the object's shape from elsewhere, as glb, obj or ply; it is fitted to the views.

    Returns:
        job, address, state, and when it is done: seconds, engines, files.
    """
    try:
        values = (
            start, end, frames, size, drawing_steps, slant, depth, redraw, resolution, points,
            most_points, static_steps, dynamic_steps, image_size, exclude, video_size,
            video_seconds, mesh,
        )  # fmt: skip
        job = order(clip, preset, seed, *values, visitor=visitor_of(request))
        yield news(job, request)
        if zerogpu.LENT:
            compute_here(job.id)
        while job.active:
            time.sleep(LOOK_EVERY)
            job = STORE.find(job.id)
            job.look()
            if job.active:
                yield news(job, request)
        yield finished(job, request)
    except Exception as error:
        raise _raised(error) from error


@told
def status(job: str, request: gr.Request = None) -> dict[str, Any]:
    """How far a job is.

    Args:
        job: its name, as /generate tells it.

    Returns:
        job, address, state (queued, running, done, failed or cancelled), and what there is to say:
        ahead (jobs before it), wait (seconds, roughly), stage, step, total, metrics.
    """
    found = STORE.find(job)
    found.look()
    return news(found, request)


@told
def result(job: str, request: gr.Request = None) -> dict[str, Any]:
    """What a finished job has made: videos, mesh, the 4D asset, and a zip of everything.

    Args:
        job: its name, as /generate tells it.

    Returns:
        job, address, state, seconds (of each stage), engines, warnings, files.
    """
    return finished(STORE.find(job), request)


@told
def cancel(job: str, request: gr.Request = None) -> dict[str, Any]:
    """Stop a job that waits or is at work; what is finished of it is kept.

    Args:
        job: its name, as /generate tells it.

    Returns:
        job, address, state.
    """
    return news(cancelled(STORE.find(job)), request)


def news(job: Job, request: gr.Request | None) -> dict[str, Any]:
    """A job as a program sees it."""
    told = {"job": job.id, "address": address(job, request), "state": job.state}
    if job.sentence:
        told |= {"sentence": job.sentence, "hint": job.hint}
    if job.state == "queued":
        return told | {"ahead": len(QUEUE.ahead(job)), "wait": QUEUE.wait(job)}
    view = View()
    view.read(job)
    stage = view.progress.stages[view.progress.current]
    rows = stage.rows[-1] if stage.rows else {}
    at = {"stage": view.progress.current, "step": stage.step, "total": stage.total}
    return told | at | {"metrics": rows}


def finished(job: Job, request: gr.Request | None) -> dict[str, Any]:
    """The files and the record of a job. Raises UserError where it is not done."""
    if job.state != "done":
        raise UserError(job.sentence or f"This run is {job.state}.", job.hint)
    record = job.stage_record()
    return {
        "job": job.id,
        "address": address(job, request),
        "state": job.state,
        "seconds": {name: facts.get("seconds", 0.0) for name, facts in record.items()},
        "engines": {name: facts["engine"] for name, facts in record.items() if "engine" in facts},
        "warnings": [words for facts in record.values() for words in facts.get("warnings", ())],
        "files": {
            name: gr.FileData(path=str(job.folder / path)).model_dump()
            for name, path in FILES.items()
            if (job.folder / path).exists()
        },
    }


def address(job: Job, request: gr.Request | None) -> str:
    """Where a person sees the job."""
    headers = getattr(request, "headers", None) or {}
    host = os.environ.get("SPACE_HOST") or headers.get("x-forwarded-host") or headers.get("host")
    scheme = "https" if "SPACE_HOST" in os.environ else headers.get("x-forwarded-proto", "http")
    return f"{scheme}://{host}/?job={job.id}" if host else f"?job={job.id}"
