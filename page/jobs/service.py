"""The jobs of this Space: where they lie, how one is ordered, cancelled, and computed."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import gradio as gr

from ds4d.errors import UserError
from ds4d.run.workspace import FINISH_FLAG, content_key

from .. import zerogpu
from ..limits import LIMITS
from ..settings import SETTINGS, configure, preset_values, shown_values
from .queue import Queue
from .store import Job, Store
from .worker import compute

RUNS = Path(os.environ.get("DS4D_RUNS", Path(tempfile.gettempdir()) / "ds4d-runs")).resolve()
STORE = Store(RUNS, LIMITS)
QUEUE = Queue(STORE)
SALT = secrets.token_hex()
ORDER = ("preset", "seed", *SETTINGS)  # what stands beside the clip; a mesh of one's own comes last


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


def settings_of(job: Job | None) -> list:
    """Values for ORDER: those of a job, or of a page that nobody has touched."""
    if job is None:
        return ["preview", 0, *preset_values("preview")]
    config = job.config
    return [config.preset, config.seed, *shown_values(config)]


def cancelled(job: Job) -> Job:
    """The job once it has really ended."""
    job = QUEUE.cancel(job)
    while job.active:
        time.sleep(0.1)
        job = STORE.find(job.id)
    return job


def compute_here(identity: str) -> None:
    """On lent GPUs the work is part of the visitor's own request, whose quota it needs."""
    if not identity:
        return
    job = STORE.find(identity)
    if job.state != "queued":
        return
    job = QUEUE.begin(job)
    work = partial(zerogpu.stage_by_stage, job.source, job.folder, job.config)
    compute(job, work, lambda: job.id in QUEUE.stops)
    QUEUE.settle(job)


def open_shop() -> None:
    """Begin to compute what is ordered, and to delete what is old."""
    RUNS.mkdir(parents=True, exist_ok=True, mode=0o700)
    QUEUE.start(serve=not zerogpu.LENT)
    threading.Thread(target=_sweep_hourly, daemon=True).start()


def _sweep_hourly() -> None:
    while True:
        STORE.sweep()
        time.sleep(3600)
