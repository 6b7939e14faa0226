"""The service behind the page and its API: order, find, compute, cancel and delete jobs."""

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
from ds4d.run import early_stop
from ds4d.run.workspace import content_key

from .. import visitors, zerogpu
from ..limits import Limits
from ..preflight.pool import PreflightPool
from ..settings import Value, configure
from ..uploads import Clip, one_file
from .queue import Queue
from .store import Job, Store
from .worker import compute


class Service:
    """The jobs of one app: a store on the disk, a queue, and the limits that hold for both."""

    def __init__(self, store: Store, on_zerogpu: bool = False):
        self.store, self.limits = store, store.limits
        self.queue = Queue(store)
        self.preflight = PreflightPool(store.limits)
        self.on_zerogpu = on_zerogpu
        self._salt = secrets.token_hex()

    @classmethod
    def from_environment(cls) -> Service:
        """The service of this machine; DS4D_RUNS names the folder of its jobs."""
        runs = os.environ.get("DS4D_RUNS", Path(tempfile.gettempdir()) / "ds4d-runs")
        return cls(Store(Path(runs).resolve(), Limits.from_environment()), zerogpu.available())

    def start(self) -> None:
        """Begin to compute queued jobs and to delete old ones."""
        self.store.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.queue.start(serve=not self.on_zerogpu)
        threading.Thread(target=self._sweep_hourly, daemon=True).start()

    def order(
        self,
        clip: Clip,
        *,
        job: str = "",  # id of the job that the page shows
        visitor: str = "",
        mesh: str | None = None,  # path of an uploaded mesh
        **settings: Value,  # preset, seed and settings.SETTINGS, by name
    ) -> Job:
        """Queue a job for a clip.

        If `job` has the same clip, its folder is used again, and only what has changed is computed.
        Raises UserError for invalid settings, and when a limit is reached.
        """
        clip = one_file(clip, self.limits)
        if clip is None:
            raise UserError("There is no clip yet.", "Upload one, or choose an example.")
        config = configure(self.limits, mesh=mesh, **settings)
        ordered = self._job_with(Path(clip), job) or self.store.create(Path(clip), config, visitor)
        if mesh:  # uploads are deleted before the job is
            copy = ordered.folder / "input" / f"mesh{Path(mesh).suffix.lower()}"
            shutil.copyfile(mesh, copy)
            config = replace(config, mesh=replace(config.mesh, file=str(copy)))
        early_stop.withdraw(ordered.folder)
        try:
            return self.queue.submit(replace(ordered, config=config, visitor=visitor))
        except UserError:
            if ordered.state == "new":
                self.store.delete(ordered)
            raise

    def _job_with(self, clip: Path, identity: str) -> Job | None:
        """The job of this id, if it has the same clip."""
        try:
            job = self.store.find(identity)
        except UserError:
            return None
        return job if job.clip_key == content_key(clip) else None

    def cancel(self, job: Job) -> Job:
        """Stop a job and wait until it has ended."""
        job = self.queue.cancel(job)
        while job.active:
            time.sleep(0.1)
            job = self.store.find(job.id)
        return job

    def visitor_of(self, request: gr.Request | None) -> str:
        """A hash that tells visitors apart by their address; the address itself is not kept."""
        address = visitors.address(request, self.limits.trusted_hops)
        return hashlib.sha256(f"{self._salt} {address}".encode()).hexdigest()[:16]

    def compute_in_request(self, job: str) -> None:
        """Compute a queued job inside the visitor's own request, whose ZeroGPU quota it uses."""
        if not job:
            return
        found = self.store.find(job)
        if found.state != "queued":
            return
        running = self.queue.begin(found)
        run = partial(
            zerogpu.stage_by_stage,
            running.source, running.folder, running.config, self.limits.slice_seconds,
        )  # fmt: skip
        compute(running, run, lambda: running.id in self.queue.stops)
        self.queue.settle(running)

    def _sweep_hourly(self) -> None:
        while True:
            self.store.sweep()
            time.sleep(3600)
