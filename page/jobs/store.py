"""Jobs on the disk: a folder for each, which is also its run folder.

    job.json        who ordered what, and how far it is; written by the page's process alone
    input/          the clip and, where there is one, the visitor's own mesh
    events.jsonl    what the run says, line by line, for a page that follows from any moment
    live/           the newest picture of every stage
    seen            its time of change is when somebody last looked

and everything that the pipeline writes. A folder's name is a secret: who knows it may see the job.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path

from ds4d.config import Config
from ds4d.errors import UserError
from ds4d.run.workspace import FINISH_FLAG, content_key

from ..limits import Limits

ACTIVE = ("queued", "running")
ID = re.compile(r"[\w-]{16,64}")
RECORD, EVENTS, SEEN, LIVE = "job.json", "events.jsonl", "seen", "live"


@dataclass(frozen=True)
class Job:
    """One visitor's clip with what is to be made of it."""

    folder: Path
    clip: str  # its name in input/
    clip_key: str  # its content
    config: Config
    visitor: str  # tells visitors apart, and says nothing else about them
    state: str = "new"  # new, queued, running, done, failed, cancelled
    sentence: str = ""  # what there is to say about a job that ended otherwise than well
    hint: str = ""
    created: float = field(default_factory=time.time)  # seconds since the epoch, as all of these
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

    def seen(self) -> float:
        """When somebody last looked, or ordered."""
        path = self.folder / SEEN
        return max(path.stat().st_mtime if path.exists() else 0.0, self.queued)

    def look(self) -> None:
        (self.folder / SEEN).touch()

    def stage_record(self) -> dict:
        """What run.json says about the stages that are done."""
        path = self.folder / "run.json"
        return json.loads(path.read_text())["stages"] if path.exists() else {}

    def finish_early(self) -> None:
        """Ask the 4D stage to make do with what it has."""
        flag = self.folder / FINISH_FLAG
        flag.parent.mkdir(exist_ok=True)
        flag.touch()

    @property
    def finishing_early(self) -> bool:
        return (self.folder / FINISH_FLAG).exists()


class Store:
    """All jobs under one folder. One process writes; any may read."""

    def __init__(self, root: Path, limits: Limits):
        self.root, self.limits = root, limits
        self.lock = threading.RLock()  # around looking at jobs and changing them

    def create(self, clip: Path, config: Config, visitor: str) -> Job:
        """A new job with a copy of the clip, not queued yet."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.make_room()
        folder = self.root / secrets.token_urlsafe(18)
        (folder / "input").mkdir(parents=True)
        job = Job(folder, clip.name, content_key(clip), config, visitor)
        shutil.copyfile(clip, job.source)
        return self.save(job)

    def find(self, identity: str | None) -> Job:
        """The job of this name. Raises UserError where there is none."""
        folder = self.root / identity if identity and ID.fullmatch(identity) else None
        if folder is None or not (folder / RECORD).exists():
            raise UserError(
                "There is no run at this address.",
                f"Runs are deleted {self.limits.keep_hours:g} hours after their last use; "
                "start a new one.",
            )
        return _read(folder)

    def all(self) -> list[Job]:
        """Every job, the one that was ordered first in front."""
        if not self.root.exists():
            return []
        found = [_read(path.parent) for path in self.root.glob(f"*/{RECORD}")]
        return sorted(found, key=lambda job: job.queued)

    def save(self, job: Job) -> Job:
        record = dataclasses.asdict(job)
        del record["folder"]
        aside = job.folder / f"{RECORD}.new"
        aside.write_text(json.dumps(record, indent=1))
        os.replace(aside, job.folder / RECORD)
        return job

    def change(self, job: Job, **values) -> Job:
        """The job as it is now, with other values."""
        with self.lock:
            return self.save(replace(self.find(job.id), **values))

    def delete(self, job: Job) -> None:
        shutil.rmtree(job.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what nobody has looked at for the stated time."""
        oldest = time.time() - self.limits.keep_hours * 3600
        with self.lock:
            for job in self.all():
                if not job.active and max(job.created, job.ended, job.seen()) < oldest:
                    self.delete(job)

    def make_room(self) -> None:
        """Delete finished jobs, the oldest first, until all of them fit the disk.

        Raises UserError where that is not enough.
        """
        with self.lock:
            sizes = {job: _size(job.folder) for job in self.all()}
            too_much = sum(sizes.values()) - self.limits.disk_gb * 1e9
            for job in sorted(sizes, key=lambda job: max(job.created, job.ended)):
                if too_much <= 0:
                    return
                if not job.active:
                    self.delete(job)
                    too_much -= sizes[job]
        if too_much > 0:
            raise UserError(
                "The disk for runs is full.", "Please come back when another run has ended."
            )


def load(folder: Path) -> Job:
    """The job in a folder, for a process that only computes it."""
    return _read(folder)


def _read(folder: Path) -> Job:
    record = json.loads((folder / RECORD).read_text())
    return Job(folder=folder, **record | {"config": config_from(record["config"])})


def config_from(values: dict, like: object = None) -> Config:
    """A config from what `dataclasses.asdict` and JSON have made of it; what an older version wrote
    otherwise is what `like` has."""
    like = Config() if like is None else like
    changes = {}
    for each in fields(like):
        if each.name not in values:  # written by an older version
            continue
        default, value = getattr(like, each.name), values[each.name]
        if is_dataclass(default):
            value = config_from(value, default)
        elif isinstance(value, list) != isinstance(default, tuple):  # a pair then, a number now
            continue
        elif isinstance(value, list):
            value = tuple(value)
        changes[each.name] = value
    return replace(like, **changes)


def _size(folder: Path) -> int:
    """Bytes of all files; those that vanish meanwhile count nothing."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except FileNotFoundError:
                pass
    return total
