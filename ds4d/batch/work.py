"""The work of the command `batch`, from its clips to the sheet."""

from __future__ import annotations

import sys

from ..preflight import ranges
from . import cluster, orders, sheet
from .cluster import Cluster
from .command import Batch
from .ledger import Ledger
from .orders import Order
from .places import open_runs
from .progress import Progress
from .runs import Runs


def run(command: Batch) -> int:
    """Compute a batch. Returns the exit code: 0 if all clips are done, 1 if some failed."""
    ranges.check(command.config)
    ranges.check(command)
    runs = open_runs(command.out)
    with runs.lock():
        ledger = Ledger(runs)
        every = orders.collect(command.clips, command.config, ledger.names())
        left = ledger.open(every, command.retry_failed)
        entries = {order.name: ledger.entries[order.name] for order in every}
        failed = [name for name, entry in entries.items() if entry.state == "failed"]
        progress = Progress(len(every), len(every) - len(left) - len(failed), len(failed))
        try:
            if left:
                with cluster.connected(command.address, command.dashboard) as machines:
                    if machines.dashboard:
                        print(f"Ray's dashboard: {machines.dashboard}", file=sys.stderr)
                    threads = command.threads or machines.threads(len(left))
                    _compute(left, runs, ledger, machines, threads, progress)
        finally:
            progress.close()
            sheet.write(runs, entries)
    failures = f", {progress.failed} failed" if progress.failed else ""
    said = f"{progress.done} of {len(every)} clips done{failures}: {runs}/{sheet.FILE}"
    print(said, file=sys.stderr)
    if failed:
        print("Clips that failed before are tried again with --retry-failed.", file=sys.stderr)
    return 1 if progress.failed else 0


def _compute(
    left: list[Order],
    runs: Runs,
    ledger: Ledger,
    machines: Cluster,
    threads: int,
    progress: Progress,
) -> None:
    """Compute orders; the ledger and the terminal are told of every clip that ends."""
    from .schedule import Clip, Schedule  # Ray, which may not be installed

    def listen(ended: list[Clip]) -> None:
        for clip in ended:
            _note(clip)
        if ended:
            ledger.save()
        progress.draw(schedule.stages(), schedule.losses)

    def _note(clip: Clip) -> None:
        entry, outcome = ledger.entries[clip.order.name], clip.outcome
        failed = outcome.state != "done"
        entry.state, entry.stage = ("failed", clip.stage) if failed else ("done", "")
        entry.sentence, entry.hint = outcome.sentence, outcome.hint
        entry.seconds |= clip.seconds
        entry.engines |= clip.engines
        entry.scores |= outcome.scores
        progress.end(clip.order.name, clip.stage, outcome.sentence if failed else "", outcome.hint)

    schedule = Schedule(left, runs, machines, threads, listen)
    schedule.run()
