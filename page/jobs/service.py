"""The service behind the page and its API: order, find, compute, cancel and delete jobs."""

from __future__ import annotations

import atexit
import contextlib
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

from ds4d.batch import cluster
from ds4d.errors import UserError
from ds4d.run import early_stop
from ds4d.run.workspace import content_key

from .. import drafts, hardware, visitors, zerogpu
from ..drafts import Wish
from ..limits import Limits
from ..preflight.pool import PreflightPool
from ..settings import Value, configure
from ..uploads import Clip, one_file
from . import event_log
from .cluster import ClusterLane
from .queue import Queue
from .store import Job, Store, with_clip, with_picture
from .worker import compute

SETTLING = 10.0  # seconds for a worker to end after the last event of its job


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
        self._claim = self.store.claim()
        self.queue.start(serve=not self.on_zerogpu, cluster=self._cluster())
        threading.Thread(target=self._sweep_hourly, daemon=True).start()

    def _cluster(self) -> ClusterLane | None:
        """The cluster that DS4D_RAY names; None where jobs are computed on this machine."""
        address = os.environ.get("DS4D_RAY", "")
        if not address or self.on_zerogpu:
            return None
        connection = contextlib.ExitStack()
        machines = connection.enter_context(cluster.connected(address, dashboard=False))
        atexit.register(connection.close)
        return ClusterLane(machines)

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
        ordered = replace(ordered, drafting=False)
        if mesh:  # uploads are deleted before the job is
            copy = ordered.folder / "input" / f"mesh{Path(mesh).suffix.lower()}"
            shutil.copyfile(mesh, copy)
            config = replace(config, mesh=replace(config.mesh, file=str(copy)))
        early_stop.withdraw(ordered.folder)
        return self._submit(replace(ordered, config=config, visitor=visitor))

    def move(
        self,
        picture: str | None,  # path of an uploaded picture
        *,
        engine: str = "puppet",
        motion: str = "",  # words for it
        job: str = "",  # id of the job that the page shows
        visitor: str = "",
    ) -> Job:
        """Queue clips of a picture, to pick one. Raises UserError as `order` does."""
        if not picture:
            raise UserError("There is no picture yet.", "Upload one of a single, whole object.")
        hardware.check(engine)
        ordered = self._job_of(Path(picture), job) or with_picture(
            self.store.create(None, configure(self.limits), visitor), Path(picture)
        )
        wish = Wish("clips", ordered.wish.words, engine, motion.strip())
        if engine != "puppet":
            seeds = self._seeds(ordered.wish, wish)
            wish = replace(wish, seeds=seeds, size=self.limits.network_clip_size)
        return self._submit(replace(ordered, wish=wish, drafting=True, visitor=visitor))

    def draw(self, words: str, *, job: str = "", visitor: str = "") -> Job:
        """Queue pictures of words, to pick one. Raises UserError as `order` does."""
        if not words.strip():
            raise UserError("There are no words yet.", 'For example: "a red fox".')
        hardware.check("sdxl")
        wish = Wish("pictures", words.strip(), size=self.limits.network_picture_size)
        shown = self._shown(job)
        if shown is None or shown.wish.words != wish.words:
            shown = self.store.create(None, configure(self.limits), visitor)
        wish = replace(wish, seeds=self._seeds(shown.wish, wish))
        return self._submit(replace(shown, wish=wish, drafting=True, visitor=visitor))

    def _seeds(self, before: Wish, wish: Wish) -> tuple[int, ...]:
        """Seeds of the next drafts: other ones if the same is asked for again."""
        same = replace(before, seeds=wish.seeds, size=wish.size) == wish
        first = before.seeds[-1] + 1 if same else 0
        return tuple(range(first, first + self.limits.drafts))

    def _submit(self, job: Job) -> Job:
        """Queue a job; one that is new is deleted if that fails."""
        try:
            return self.queue.submit(job)
        except UserError:
            if job.state == "new":
                self.store.delete(job)
            raise

    def _shown(self, identity: str) -> Job | None:
        """The job of this id, if there is one; one whose work is done ends first."""
        try:
            job, deadline = self.store.find(identity), time.monotonic() + SETTLING
            while job.active and event_log.last_line(job.folder).get("end"):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
                job = self.store.find(identity)
            return job
        except UserError:
            return None

    def _job_with(self, clip: Path, identity: str) -> Job | None:
        """The job of this id, if it has the same clip, or made it as a draft."""
        job, key = self._shown(identity), content_key(clip)
        if job is None or job.clip_key == key:
            return job
        return with_clip(job, clip) if _made(job, "clips", key) else None

    def _job_of(self, picture: Path, identity: str) -> Job | None:
        """The job of this id, if it has the same picture, or drew it."""
        job, key = self._shown(identity), content_key(picture)
        if job is None or job.picture_key == key:
            return job
        return with_picture(job, picture) if _made(job, "pictures", key) else None

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
        if running.drafting:
            run = partial(zerogpu.draft, running)
        else:
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


def _made(job: Job, task: str, key: str) -> bool:
    """True if an inactive job has a draft with this content."""
    found = drafts.found(job.folder, task)
    return not job.active and key in (content_key(draft.file) for draft in found)
