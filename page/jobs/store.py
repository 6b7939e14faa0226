"""Jobs on the disk: one folder each, which is also the run folder.

    job.json        the order and its state; written by the page's process alone
    input/          the clip and, if there are any, the picture and the visitor's own mesh
    drafts/         clips of the picture, or pictures of words, to pick from
    events.jsonl    the event log of the run, which a page can follow from any moment
    live/           the newest pictures of every stage
    seen            its modification time is that of the last visit

and everything that the pipeline writes. A folder's name is a secret: anyone with it can see the
job.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from ds4d.config import Config
from ds4d.errors import UserError
from ds4d.run import early_stop
from ds4d.run.structure import structure
from ds4d.run.workspace import content_key

from .. import drafts
from ..drafts import Wish
from ..limits import Limits
from .clock import now

ACTIVE = ("queued", "running")
ID = re.compile(r"[\w-]{16,64}")
RECORD, SEEN = "job.json", "seen"
LOCK = ".server"  # held by the page that serves the jobs
TAKE_OVER_SECONDS = 5.0  # for an earlier page to end
BEGIN_SECONDS = 600  # within which a job is queued after it was created; a large clip is copied


@dataclass(frozen=True)
class Job:
    """A visitor's clip, its settings, and the state of the run."""

    folder: Path
    clip: str  # its name in input/
    clip_key: str  # its content
    config: Config
    visitor: str  # a hash that tells visitors apart
    picture: str = ""  # name in input/ of the picture that clips are made of
    picture_key: str = ""  # its content
    wish: Wish = Wish()  # the drafts that are made, or were
    drafting: bool = False  # drafts are to be made, rather than a 4D object
    state: str = "new"  # new, queued, running, done, failed, cancelled
    sentence: str = ""  # why the job failed or was cancelled
    hint: str = ""
    created: float = field(default_factory=now)  # seconds since the epoch
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def source(self) -> Path:
        return self.folder / "input" / self.clip

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def last_visit(self) -> float:
        """Time at which a page last showed the job, or the job was queued."""
        try:
            return max((self.folder / SEEN).stat().st_mtime, self.queued)
        except FileNotFoundError:
            return self.queued

    def touch(self) -> None:
        """Note a visit; not of a job that was deleted meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / SEEN).touch()
            os.utime(self.folder / SEEN, (now(), now()))

    def stage_record(self) -> dict:
        """The entries about finished stages in run.json and in the record of drafts, by stage."""
        try:
            finished = json.loads((self.folder / "run.json").read_text())["stages"]
        except FileNotFoundError:
            finished = {}
        return drafts.record(self.folder) | finished

    def finish_early(self) -> None:
        """Ask the 4D stage to end with the steps it has done."""
        early_stop.request(self.folder)

    @property
    def finishing_early(self) -> bool:
        return early_stop.requested(self.folder)


class Store:
    """All jobs under one folder. One process writes; any may read."""

    def __init__(self, root: Path, limits: Limits):
        self.root, self.limits = root, limits
        self.lock = threading.RLock()  # held while jobs are read and then changed

    def claim(self) -> TextIO:
        """Keep other processes from serving these jobs, as long as the returned file is open.

        Raises:
            UserError: another page serves them.
        """
        file = open(self.root / LOCK, "w")
        deadline = time.monotonic() + TAKE_OVER_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"Another page serves the runs in {self.root}.",
                        "Stop it, or choose another folder with DS4D_RUNS.",
                    ) from error
                time.sleep(0.2)

    def create(self, clip: Path | None, config: Config, visitor: str) -> Job:
        """A new job with a copy of the clip, not queued yet; drafts need none."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.make_room()
        folder = self.root / secrets.token_urlsafe(18)
        try:
            (folder / "input").mkdir(parents=True)
            job = Job(folder, "", "", config, visitor)
            return self.save(with_clip(job, clip) if clip else job)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def find(self, identity: str | None) -> Job:
        """The job of this id. Raises UserError when there is none."""
        job = None
        if isinstance(identity, str) and ID.fullmatch(identity):
            job = _found(self.root / identity)
        if job is None:
            raise UserError(
                "There is no run at this address.",
                f"Runs are deleted {self.limits.keep_hours:g} hours after their last use. "
                "Start a new one.",
            )
        return job

    def all(self) -> list[Job]:
        """Every job, in the order in which they were queued; without those that are deleted while
        they are listed."""
        found = [_found(folder) for folder in self._folders()]
        return sorted(filter(None, found), key=lambda job: job.queued)

    def _folders(self) -> list[Path]:
        try:
            return [folder for folder in self.root.iterdir() if ID.fullmatch(folder.name)]
        except FileNotFoundError:
            return []

    def save(self, job: Job) -> Job:
        record = dataclasses.asdict(job)
        del record["folder"]
        aside = job.folder / f"{RECORD}.new"
        aside.write_text(json.dumps(record, indent=1))
        os.replace(aside, job.folder / RECORD)
        return job

    def change(self, job: Job, **values) -> Job:
        """Change values of a job; the others are those on the disk now."""
        with self.lock:
            return self.save(replace(self.find(job.id), **values))

    def delete(self, job: Job) -> None:
        shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete inactive jobs that nobody has visited for `Limits.keep_hours`, and what was left
        of jobs that never began."""
        oldest = now() - self.limits.keep_hours * 3600
        with self.lock:
            for job in self.all():
                began = job.state != "new" or job.created > now() - BEGIN_SECONDS
                last = max(job.created, job.ended, job.last_visit())
                if not job.active and (last < oldest or not began):
                    self.delete(job)
            for folder in self._folders():
                if _found(folder) is None and _age(folder) > BEGIN_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    def make_room(self) -> None:
        """Delete inactive jobs, the oldest first, until all jobs fit `Limits.disk_gb`.

        Raises UserError when that is not enough.
        """
        with self.lock:
            sizes = {job: _size(job.folder) for job in self.all()}
            excess = sum(sizes.values()) - self.limits.disk_gb * 1e9
            for job in sorted(sizes, key=lambda job: max(job.created, job.ended)):
                if excess <= 0:
                    return
                if not job.active:
                    self.delete(job)
                    excess -= sizes[job]
        if excess > 0:
            raise UserError("The disk for runs is full.", "Please try again later.")


def with_clip(job: Job, clip: Path) -> Job:
    """The job with a copy of another clip; not saved."""
    job = replace(job, clip=stored_name(clip), clip_key=content_key(clip))
    shutil.copyfile(clip, job.source)
    return job


def with_picture(job: Job, picture: Path) -> Job:
    """The job with a copy of another picture; not saved."""
    key = content_key(picture)
    job = replace(job, picture=f"picture{picture.suffix.lower()}", picture_key=key)
    shutil.copyfile(picture, job.folder / "input" / job.picture)
    return job


def load(folder: Path) -> Job:
    """The job in a folder, for a worker process."""
    return _read(folder)


def stored_name(clip: Path) -> str:
    """The name under which a clip is stored: its own, as far as any file system takes it."""
    stem = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in clip.stem)
    stem = stem.encode(errors="replace").decode()[:60].strip(" .")
    return f"{stem or 'clip'}{clip.suffix.lower()}"


def _found(folder: Path) -> Job | None:
    """The job in a folder; None where there is no complete record of one."""
    try:
        return _read(folder)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _read(folder: Path) -> Job:
    record = json.loads((folder / RECORD).read_text())
    config, wish = structure(record["config"], Config), structure(record.get("wish", {}), Wish)
    return Job(folder=folder, **record | {"config": config, "wish": wish})


def _age(folder: Path) -> float:
    """Seconds since a folder was changed; 0 for one that is gone."""
    try:
        return now() - folder.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; files that vanish meanwhile are skipped."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except FileNotFoundError:
                pass
    return total
