"""Faults at random moments: what dies, fills up or stands still, and what is left afterwards.

python -m benchmarks.faults [--only killed full ...] [--times 20] [--json FILE]

Every fault hits a tiny run at a random moment. The same command is then given again until it has
ended. Counted are runs that are not finished after that (lost), results whose bits differ from
those of an undisturbed run (wrong), and texts that show a stack trace (traces). Full and read-only
disks are small file systems in memory, which only root can mount.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tyro
from safetensors.numpy import load_file

from .tiny import ARGUMENTS, CLIP

ATTEMPTS = 4  # of the same command, after a fault
LIMIT = 300.0  # seconds of an attempt: more is a hang
ROOM_MB = 64  # of the file system on which a run has room
CHECKPOINT = "checkpoints/latest.safetensors"
# Sums of floats depend on the number of threads, and results are compared by their bits.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
STOPPED = 60.0  # seconds of a SIGSTOP


@dataclasses.dataclass(frozen=True)
class Options:
    only: tuple[str, ...] = ()
    """faults; none = all"""
    times: int = 20
    """times that each is tried"""
    seed: int = 0
    """seed of the moments"""
    json: Path | None = None
    """file for the figures"""


class Process:
    """`generate` in a process of its own, which has imported everything."""

    def __init__(self, folder: Path):
        self.output = folder.parent / f"{folder.name}.txt"
        arguments = ["generate", str(CLIP.absolute()), "--out", str(folder), *ARGUMENTS]
        self.process = _context().Process(target=_command, args=(arguments, str(self.output)))
        self.process.start()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def wait(self) -> int:
        """The exit code; raises TimeoutError for a hang."""
        self.process.join(LIMIT)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError
        return self.process.exitcode


def _context() -> multiprocessing.context.BaseContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ds4d.pipeline", "ds4d.cli"])
    return context


def _command(arguments: list[str], output: str) -> None:
    from ds4d.cli import main

    with open(output, "a", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.exit(main(arguments))


@dataclasses.dataclass
class Trial:
    """A run in a folder of its own, and the undisturbed one that it is compared with."""

    folder: Path
    whole: Path  # the undisturbed run
    seconds: float  # that it took
    dice: random.Random

    def moment(self) -> float:
        """Seconds until a random moment of the run."""
        return self.dice.uniform(0.0, self.seconds)

    def finish(self) -> None:
        """Give the command again until it has ended well."""
        for _ in range(ATTEMPTS):
            if Process(self.folder).wait() == 0:
                return


# The faults: each leaves a run that was disturbed once.


def killed(trial: Trial) -> None:
    """kill -9 of the run."""
    process = Process(trial.folder)
    time.sleep(trial.moment())
    process.signal(signal.SIGKILL)
    process.wait()


def stopped(trial: Trial) -> None:
    """SIGSTOP for a minute."""
    process = Process(trial.folder)
    time.sleep(trial.moment())
    process.signal(signal.SIGSTOP)
    time.sleep(STOPPED)
    process.signal(signal.SIGCONT)
    process.wait()


def truncated(trial: Trial) -> None:
    """kill -9 in the optimization, and a checkpoint that is cut off."""
    process = Process(trial.folder)
    checkpoint = trial.folder / CHECKPOINT
    while not checkpoint.exists() and process.process.is_alive():
        time.sleep(0.01)
    process.signal(signal.SIGKILL)
    process.wait()
    if checkpoint.exists():
        os.truncate(checkpoint, trial.dice.randrange(checkpoint.stat().st_size))


def full(trial: Trial) -> None:
    """A disk that is full at some place of the run, and has room later."""
    room = trial.dice.uniform(0.02, 0.98) * _bytes(trial.whole)
    with _mounted(trial.folder, int(room)):
        Process(trial.folder).wait()


def read_only(trial: Trial) -> None:
    """A disk that becomes read-only at a random moment, and is writable later."""
    with _mounted(trial.folder, ROOM_MB * 1_000_000):
        process = Process(trial.folder)
        time.sleep(trial.moment())
        # Open files keep a file system writable: it is busy then, and the next moment is taken.
        while _mount("-o", "remount,ro", trial.folder) != 0 and process.process.is_alive():
            time.sleep(0.01)
        process.wait()


@contextlib.contextmanager
def _mounted(folder: Path, size: int) -> Iterator[None]:
    """A small file system; the run in it is moved to the disk behind it in the end."""
    folder.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={max(size, 65536)}", "tmpfs", folder)
    kept = folder.with_suffix(".kept")
    try:
        yield
    finally:
        subprocess.run(["cp", "-a", folder, kept], check=True)
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()
        kept.rename(folder)


def _mount(*arguments: str | Path) -> int:
    return subprocess.run(["mount", *arguments], stderr=subprocess.DEVNULL).returncode


FAULTS = {fault.__name__: fault for fault in (killed, stopped, truncated, full, read_only)}


def same(run: Path, whole: Path) -> bool:
    """True if the frames, views and the asset of two runs have the same bits."""
    made, expected = (load_file(folder / "fourd.safetensors") for folder in (run, whole))
    pictures = [p.relative_to(whole) for p in whole.glob("*/**/*.png") if "previews" not in p.parts]
    return all(np.array_equal(made[name], expected[name]) for name in expected) and all(
        (run / name).read_bytes() == (whole / name).read_bytes() for name in pictures
    )


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def try_fault(
    fault: Callable[[Trial], None], times: int, whole: Path, seconds: float, seed: int
) -> dict:
    """Try a fault some times; returns what was counted."""
    counts = {"what": fault.__doc__, "times": 0, "lost": 0, "wrong": 0, "traces": 0, "hangs": 0}
    for number in range(times):
        with tempfile.TemporaryDirectory() as temporary:
            dice = random.Random(f"{fault.__name__} {seed} {number}")
            trial = Trial(Path(temporary) / "run", whole, seconds, dice)
            counts["times"] += 1
            try:
                fault(trial)
                trial.finish()
                done = json.loads((trial.folder / "run.json").read_text())["stages"]
                counts["lost"] += "export" not in done
                counts["wrong"] += not same(trial.folder, whole)
            except TimeoutError:
                counts["hangs"] += 1
            except (OSError, ValueError, KeyError):
                counts["lost"] += 1
            output = trial.folder.parent / "run.txt"
            text = output.read_text() if output.exists() else ""
            if "Traceback" in text:
                counts["traces"] += 1
                print(text[text.index("Traceback") :][:2000], file=sys.stderr)
    return counts


def main(options: Options) -> None:
    from . import faults_of_machines  # it imports this module

    os.environ.update(ONE_THREAD)
    faults = {**FAULTS, **faults_of_machines.FAULTS}
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        for attempt in ("first", "timed"):  # kernels are compiled in the first
            started = time.perf_counter()
            whole = Path(temporary) / attempt
            assert Process(whole).wait() == 0, (whole.parent / f"{attempt}.txt").read_text()
        seconds = time.perf_counter() - started
        for name in options.only or faults:
            if name in FAULTS:
                figures[name] = try_fault(faults[name], options.times, whole, seconds, options.seed)
            else:
                figures[name] = faults[name](options.times, whole, options.seed)
            print(name, json.dumps(figures[name]), flush=True)
            if options.json:
                options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
