"""Drafts: clips of a picture, and pictures of words, of which the visitor picks one."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ds4d.config import AnimateConfig, Config, ImagineConfig
from ds4d.run.events import Event, Stage
from ds4d.run.workspace import replacing

FOLDER, RECORD = "drafts", "made.json"  # in the job's folder; the record is as that of run.json
STAGE_OF = {"clips": "animate", "pictures": "imagine"}
PUPPET_SIZE = 320  # pixels; side of the puppet's clips, more than the frames of a run have
NAME = re.compile(r"(clip|seed)_[a-z0-9]+")  # of a draft's file; not of one that is being written
SUFFIXES = {"clips": ".webp", "pictures": ".png"}


@dataclass(frozen=True)
class Wish:
    """The order of drafts."""

    task: Literal["none", "clips", "pictures"] = "none"
    words: str = ""  # of pictures: the object
    engine: str = ""  # of clips
    motion: str = ""  # of clips: words for it
    seeds: tuple[int, ...] = (0,)  # one for each draft of a network
    size: int = PUPPET_SIZE  # pixels; side of the drafts

    @property
    def stage(self) -> str:
        return STAGE_OF[self.task]


@dataclass(frozen=True)
class Draft:
    """A clip or a picture to pick."""

    file: Path
    title: str

    @property
    def is_clip(self) -> bool:
        return self.file.parent.name == "clips"


def make(
    folder: Path, picture: Path | None, config: Config, wish: Wish
) -> Generator[Event, None, None]:
    """Make drafts into the folder of a job; earlier ones of the same kind are replaced.

    Every event is one of the stage "animate" or "imagine".
    """
    from ds4d import animate
    from ds4d.animate import imagine

    target, started = folder / FOLDER / wish.task, time.perf_counter()
    shutil.rmtree(target, ignore_errors=True)
    if wish.task == "clips":
        motion = "all" if wish.engine == "puppet" else "auto"
        order = AnimateConfig(
            wish.engine, prompt=wish.motion, seeds=wish.seeds, motion=motion, size=wish.size
        )
        work = animate.animate(picture, target / "clip.webp", order, config.machine, config.matting)
    else:
        order = ImagineConfig(seeds=wish.seeds, size=wish.size)
        work = imagine.imagine(wish.words, target, order, config.machine, config.matting)
    yield from _of_one_stage(work, wish.stage)
    engine = wish.engine if wish.task == "clips" else "sdxl"
    _note(folder, wish.stage, engine, time.perf_counter() - started)
    yield Event(wish.stage, 1, 1)


def _of_one_stage(work: Stage, stage: str) -> Generator[Event, None, None]:
    """Events of a part that is another stage, such as matting, as those of the stage around it."""
    last = Event(stage)
    try:
        for event in work:
            if event.stage == stage:
                last = event
            else:
                event = replace(event, stage=stage, step=last.step, total=last.total)
            yield event
    finally:
        work.close()


def _note(folder: Path, stage: str, engine: str, seconds: float) -> None:
    target, facts = folder / FOLDER / RECORD, record(folder)
    facts |= {stage: {"engine": engine, "seconds": round(seconds, 1)}}
    target.unlink(missing_ok=True)  # the run that the folder may hold did not make it
    with replacing(target) as path:
        path.write_text(json.dumps(facts))


def record(folder: Path) -> dict[str, Any]:
    """Facts about the drafts in a folder, by stage, as run.json has them of its stages."""
    try:
        return json.loads((folder / FOLDER / RECORD).read_text())
    except FileNotFoundError:
        return {}


def found(folder: Path, task: str) -> list[Draft]:
    """The drafts of a kind that a folder has by now, in the order in which they were made."""
    every = (folder / FOLDER / task).glob(f"*{SUFFIXES[task]}")
    files = [file for file in every if NAME.fullmatch(file.stem)]
    drafts = []
    for file in sorted(files, key=_order):
        number, name = _number(file), file.stem.removeprefix("clip_")
        drafts.append(Draft(file, name.capitalize() if number is None else f"Seed {number}"))
    return drafts


def _order(file: Path) -> tuple[int, int]:
    return _number(file) or 0, file.stat().st_mtime_ns


def _number(file: Path) -> int | None:
    """The seed of clip_seed12.webp or seed_12.png; None for clip_walk.webp."""
    digits = file.stem.removeprefix("clip_").removeprefix("seed").removeprefix("_")
    return int(digits) if digits.isdigit() else None


def named(folder: Path, name: str) -> Draft | None:
    """The draft whose file has this name."""
    every = [draft for task in STAGE_OF for draft in found(folder, task)]
    return next((draft for draft in every if draft.file.name == name), None)
