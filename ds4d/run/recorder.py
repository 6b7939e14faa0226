"""The recorder of a run: skips stages that are current, runs and records the others."""

from __future__ import annotations

import contextlib
import json
import os
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
from . import device, early_stop
from .engines import Choice, check_licences, conditions
from .events import Event, Stage, mapped
from .workspace import Workspace, content_key, hash_parts

VERSIONED = (
    "torch", "diffusers", "transformers", "numpy", "numba", "opencv-python-headless",
    "scikit-image", "av", "pillow", "gradio",
)  # fmt: skip


class Recorder:
    """Runs the stages of a run whose artifacts are not current, and records what they did.

    `keys` holds the content key of each stage that has run or was skipped.
    """

    def __init__(self, workspace: Workspace, machine: MachineConfig):
        self.workspace, self.machine = workspace, machine
        self.keys: dict[str, str] = {}

    def run(
        self,
        name: str,
        inputs: tuple,
        after: tuple[str, ...],
        artifacts: list[str],
        make: Callable[..., Stage[dict[str, Any]]],
        choose: Callable[[], Choice] | None = None,
        choose_from: tuple = (),
        former_inputs: tuple | None = None,
    ) -> Iterator[Event]:
        """Run one stage, or skip it if its artifacts were made from the same inputs before.

        A stage is identified by two hashes in run.json. `request` is taken over what is known
        before anything is loaded: `inputs`, the stages in `after`, and the conditions under which
        an engine is chosen. If it is unchanged, the stage is skipped at once: `choose` is not
        called, and the stage keeps the engine that it was made with. Otherwise `key` decides, which
        is taken over the inputs, the stages in `after`, and the engine with its weights.

        Args:
            name: one of STAGES.
            inputs: what decides the artifacts, beside the stages in `after`; see `content_key`.
            after: the stages whose artifacts this one reads; they have run or were skipped.
            artifacts: paths inside the run folder that the stage leaves there.
            make: writes the artifacts, and returns facts for the record. It is called with the
                choice if there is one.
            choose: chooses an engine or networks; may read artifacts and ask the hub.
            choose_from: what decides the choice, beside inputs and machine; see `content_key`.
            former_inputs: inputs of the same artifacts as an earlier version of the program stated
                them, so that its runs are recognized.

        Yields:
            The events of the stage; a single one with `skipped` if it is skipped.
        """
        before = [self.keys[stage] for stage in after]
        settled = (conditions(self.machine), *choose_from) if choose else ()
        identity = hash_parts(__version__, name, *inputs)
        request = content_key(*settled, before, prefix=identity)
        if self._keep(name, request, lambda done: done.get("request") == request):
            yield Event(name, 1, 1, "done before", skipped=True)
            return
        choice = choose() if choose else None
        parts = choice.key if choice else ((),)
        former = choice.former_key if choice else parts
        keys = [content_key(*parts, before, prefix=identity)]
        if self.workspace.finished(name) is not None:
            keys.append(content_key(*former, before, prefix=identity))
            if former_inputs is not None:
                keys.append(content_key(__version__, name, *former_inputs, *former, before))
        if self._keep(name, request, lambda done: done["key"] in _completed(keys, done)):
            yield Event(name, 1, 1, "done before", skipped=True)
            return
        self.keys[name] = keys[0]
        yield from self._make(name, request, artifacts, make, choice)

    def _keep(self, name: str, request: str, current: Callable[[dict], bool]) -> bool:
        """Take over the recorded key of a finished stage if it is current.

        A stage that was stopped early is finished only while an early stop is requested.
        """
        done = self.workspace.finished(name)
        if done is None or not current(done):
            return False
        if "stopped_at_step" in done and not early_stop.requested(self.workspace.root):
            return False
        self.keys[name] = done["key"]
        if done.get("request") != request:
            done["request"] = request
            self.workspace.save()
        return True

    def _make(
        self,
        name: str,
        request: str,
        artifacts: list[str],
        make: Callable[..., Stage[dict[str, Any]]],
        choice: Choice | None,
    ) -> Iterator[Event]:
        """Run a stage and record its facts, time and memory."""
        self.workspace.forget(name)
        started, processor = time.perf_counter(), processor_seconds()
        device.reset_peak_memory()
        if choice is not None:
            check_licences(choice.weights, self.machine)
            yield Event(name, message=choice.message)
            for weight in choice.weights:
                yield from weights.fetching(name, weight, self.machine.weights)
        stage = make(choice) if choice is not None else make()
        facts = yield from _watched(stage, self.workspace, name)
        if choice is not None:
            facts |= choice.facts
        facts |= {
            "seconds": round(time.perf_counter() - started, 2),
            "processor_seconds": round(processor_seconds() - processor, 2),
            "peak_memory_mb": peak_memory_mb(),
            **device.peak_memory(),
        }
        key = self.keys[name] = _completed([self.keys[name]], facts)[0]
        self.workspace.finish(name, key, artifacts, request=request, **facts)
        self.workspace.log(f"{name}: {json.dumps(facts, default=str)}")


def _completed(keys: list[str], facts: dict[str, Any]) -> list[str]:
    """Keys of a stage's artifacts, in which the step counts at which the stage was stopped."""
    step = facts.get("stopped_at_step")
    return [content_key(key, step) for key in keys] if step else keys


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
        with contextlib.suppress(metadata.PackageNotFoundError):  # gradio is optional, for example
            found[name] = metadata.version(name)
    return found


def processor_seconds() -> float:
    """Seconds that this process and those that it has ended kept processors busy."""
    return sum(os.times()[:4])


def peak_memory_mb() -> int:
    """Peak memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))
