"""The command `batch`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from ..config import Config, Range


@dataclass(frozen=True)
class Batch:
    """Make 4D assets of many clips, on this machine or on a Ray cluster (docs/cluster.md)."""

    clips: tyro.conf.Positional[tuple[str, ...]]
    """Clips, folders of clips, patterns, addresses (s3://...), and manifests (txt, csv, json,
    jsonl)."""
    out: str
    """Folder of all runs, or an address (s3://..., gs://..., hf://...); the same command goes on
    with what is there."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    address: str = ""
    """Ray cluster: auto, ray://HOST:PORT or HOST:PORT; empty = a local Ray on this machine."""
    threads: Annotated[int | None, Range(1, 64)] = None
    """CPU threads of each task; None = one, or more where there are more cores than clips."""
    retry_failed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Try clips again that failed before."""
    dashboard: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start Ray's dashboard on http://127.0.0.1:8265; a cluster has its own."""


def run(command: Batch) -> int:
    """Compute a batch. Returns the exit code: 0 if all clips are done, 1 if some failed."""
    from ..preflight import ranges
    from . import cluster, orders, sheet
    from .ledger import Ledger
    from .places import open_runs
    from .progress import Progress

    ranges.check(command.config)
    ranges.check(command)
    runs = open_runs(command.out)
    with runs.lock():
        ledger = Ledger(runs)
        every = orders.collect(command.clips, command.config, ledger.names())
        left = ledger.open(every, command.retry_failed)
        names = [order.name for order in every]
        failed = [name for name in names if ledger.entries[name].state == "failed"]
        progress = Progress(len(every), len(every) - len(left) - len(failed))
        progress.failed = len(failed)
        try:
            if left:
                with cluster.connected(command.address, command.dashboard) as machines:
                    threads = command.threads or machines.threads(len(left))
                    _compute(left, runs, ledger, machines, threads, progress)
        finally:
            progress.close()
            sheet.write(runs, {name: ledger.entries[name] for name in names})
    failures = f", {progress.failed} failed" if progress.failed else ""
    print(f"{progress.done} of {len(every)} clips done{failures}: {runs}/{sheet.FILE}",
          file=sys.stderr)  # fmt: skip
    if failed and not command.retry_failed:
        print("Clips that failed before are tried again with --retry-failed.", file=sys.stderr)
    return 1 if progress.failed else 0


def _compute(left, runs, ledger, machines, threads, progress) -> None:
    from .schedule import Clip, Schedule

    def listen(ended: list[Clip]) -> None:
        for clip in ended:
            failed = clip.outcome.state != "done"
            sentence, hint = clip.outcome.sentence, clip.outcome.hint
            entry = ledger.entries[clip.order.name]
            entry.state, entry.stage = ("failed", clip.stage) if failed else ("done", "")
            entry.sentence, entry.hint = sentence, hint
            entry.seconds |= clip.seconds
            entry.engines |= clip.engines
            entry.scores |= clip.outcome.scores
            progress.end(clip.order.name, clip.stage, sentence if failed else "", hint)
        if ended:
            ledger.save()
        progress.draw(schedule.stages(), schedule.losses)

    schedule = Schedule(left, runs, machines, threads, listen)
    schedule.run()
