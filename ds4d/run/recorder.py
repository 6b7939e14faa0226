"""What surrounds every stage of a run: its key, its record, its last picture and its figures."""

from __future__ import annotations

import contextlib
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import imageio.v3 as iio

from .. import __version__, weights
from ..config import MachineConfig
from . import device
from .engines import Engine
from .events import Event, Stage, mapped
from .workspace import FINISH_FLAG, Workspace, content_key

VERSIONED = (
    "torch", "diffusers", "transformers", "numpy", "numba", "opencv-python-headless",
    "scikit-image", "gradio",
)  # fmt: skip


class Recorder:
    """Runs the stages of one pass whose artifacts are not current, and records what they did.

    `keys` says what each stage's artifacts were made from.
    """

    def __init__(self, workspace: Workspace, machine: MachineConfig):
        self.workspace, self.machine = workspace, machine
        self.keys: dict[str, str] = {}

    def run(
        self,
        name: str,
        inputs: tuple,  # what decides the artifacts, beside the stages named in `after`
        after: tuple[str, ...],
        artifacts: list[str],
        make: Callable[[], Stage[dict[str, Any]]],  # writes the artifacts, returns facts to record
        engine: Engine | None = None,
    ) -> Iterator[Event]:
        """One stage; skipped where it was done before from the same inputs."""
        chosen = () if engine is None else (engine.name, *engine.made_from)
        key = content_key(__version__, name, *inputs, chosen, [self.keys[s] for s in after])
        # A stage that was stopped early is done only for whoever still asks for that.
        stopped = self.workspace.record["stages"].get(name, {}).get("stopped_at_step")
        if stopped and (self.workspace / FINISH_FLAG).exists():
            key = content_key(key, stopped)
        self.keys[name] = key
        if self.workspace.is_current(name, key):
            yield Event(name, 1, 1, "done before", skipped=True)
            return
        self.workspace.forget(name)
        started = time.perf_counter()
        device.reset_peak_memory()
        if engine is not None:
            yield Event(name, message=f"{engine.name}: {engine.why}")
            yield from self.fetched(name, engine.weights)
        facts = yield from _watched(make(), self.workspace, name)
        if engine is not None:
            facts |= {"engine": engine.name, "why": engine.why, "weights": engine.weights}
        facts |= {
            "seconds": round(time.perf_counter() - started, 2),
            "peak_memory_mb": peak_memory_mb(),
            **device.peak_memory(),
        }
        if "stopped_at_step" in facts:
            key = self.keys[name] = content_key(key, facts["stopped_at_step"])
        self.workspace.finish(name, key, artifacts, **facts)
        self.workspace.log(f"{name}: {json.dumps(facts, default=str)}")

    def fetched(self, stage: str, names: tuple[str, ...]) -> Iterator[Event]:
        """Bring weights to this machine, with news while they are downloaded."""
        for name in names:
            yield from weights.fetching(stage, name, self.machine.weights)


def _watched(
    stage: Stage[dict[str, Any]], workspace: Workspace, name: str
) -> Stage[dict[str, Any]]:
    """Pass the events on; keep the newest preview and all metrics in RUN/previews, and the
    warnings among the facts."""
    preview, rows, warnings = None, [], []

    def watched(event: Event) -> Event:
        nonlocal preview
        preview = preview if event.preview is None else event.preview
        if event.metrics:
            rows.append({"step": event.step, **event.metrics})
        if event.warning:
            warnings.append(event.message)
        return event

    facts = yield from mapped(stage, watched)
    if warnings:
        facts |= {"warnings": warnings}
    if preview is not None:
        with workspace.replacing(f"previews/{name}.jpg") as path:
            iio.imwrite(path, preview, quality=90)
    if rows:
        with workspace.replacing(f"previews/{name}.json") as path:
            path.write_text(json.dumps(rows))
    return facts


def versions() -> dict[str, str]:
    """Versions of the project and of the libraries that decide its results."""
    found = {"ds4d": __version__, "python": platform.python_version()}
    for name in VERSIONED:
        with contextlib.suppress(metadata.PackageNotFoundError):  # the page's are not needed here
            found[name] = metadata.version(name)
    return found


def peak_memory_mb() -> int:
    """The most memory that this process has held so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))
