"""Damaged files of every kind that is read: they are read, or refused in a sentence.

python -m benchmarks.hostile [--each 300] [--json benchmarks/results/hostile.json]

Each kind is read in a process of its own, whose memory is bounded. Counted are errors that are no
sentence for a person (traces), files that take longer than twenty seconds (hangs), and processes
that end (crashes).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import tyro

from ds4d.config import ClipConfig, Config
from ds4d.errors import UserError, of_the_machine

INPUTS, OLD = Path("tests/inputs"), Path("tests/run/old_runs")
CLIPS = (
    "vfr.mp4", "k.webm", "ten.gif", "ten.webp", "poster.png", "premultiplied.mov", "small.y4m",
    "many.ts", "avif/000.avif", "mix/IMG_0003.HEIC",
)  # fmt: skip
PICTURES = ("poster.png", "avif/000.avif", "mix/IMG_0003.HEIC")
MESHES = ("mesh/models/up.glb", "mesh/models/up.obj")
RUN_FILES = (
    "run.json", "clip/clip.json", "clip/0001.png", "frames/0000.png", "multiview/cameras.json",
    "features.safetensors", "points.ply", "fourd.safetensors",
)  # fmt: skip
PACKED = Path("examples/results/frog/exports/object.ds4d")
MANIFESTS = {
    ".txt": "# clips\nten.gif\nk.webm\n",
    ".csv": "clip,name,clip.frames,seed\nten.gif,a,12,\nk.webm,,,3\n",
    ".json": '[{"clip": "ten.gif", "fourd.means-lr": [0.001, 0.00001], "seed": 3}, "k.webm"]',
    ".jsonl": '{"clip": "ten.gif", "preset": "standard"}\n{"clip": "k.webm", "low-memory": true}\n',
}
LONGEST = 20.0  # seconds of computing for a file
MEMORY = 8e9  # bytes of address space of a process
START_SECONDS = 120.0  # of a process, in which kernels may be compiled
ENDS = ("hang", "crash")


@dataclasses.dataclass(frozen=True)
class Options:
    each: int = 300
    """damaged files of each kind"""
    only: tuple[str, ...] = ()
    """kinds; none = all"""
    seed: int = 0
    """seed of the damage"""
    json: Path | None = None
    """file for the figures"""


def damaged(data: bytes, dice: random.Random) -> bytes:
    """A copy with some bytes changed, lost or repeated."""
    data = bytearray(data)
    for _ in range(dice.choice((1, 2, 4, 16))):
        if not data:
            break
        at, count = dice.randrange(len(data)), dice.choice((1, 4, 8, 64, 512))
        part = bytes(data[at : at + count])
        noise = bytes(dice.randrange(256) for _ in part)
        data[at : at + count] = dice.choice(
            (noise, b"\xff" * len(part), b"\0" * len(part), b"", part * 3)
        )
    return bytes(data[: len(data) // 2] if dice.random() < 0.1 else data)


def clip(folder: Path, dice: random.Random) -> None:
    from ds4d import clip

    file = _copy(INPUTS / dice.choice(CLIPS), folder, dice)
    list(clip.read(file, ClipConfig(frames=4)))


def picture(folder: Path, dice: random.Random) -> None:
    from ds4d import clip

    clip.read_image(_copy(INPUTS / dice.choice(PICTURES), folder, dice), ClipConfig())


def mesh(folder: Path, dice: random.Random) -> None:
    from ds4d.mesh.read import load

    load(_copy(INPUTS / dice.choice(MESHES), folder, dice))


def manifest(folder: Path, dice: random.Random) -> None:
    from ds4d.batch import orders

    suffix, text = dice.choice(list(MANIFESTS.items()))
    for name in ("ten.gif", "k.webm"):
        shutil.copy(INPUTS / name, folder / name)
    file = folder / f"list{suffix}"
    file.write_bytes(damaged(text.encode(), dice))
    orders.collect((str(file),), Config(), {})


def ledger(folder: Path, dice: random.Random) -> None:
    from ds4d.batch import sheet
    from ds4d.batch.ledger import Ledger
    from ds4d.batch.orders import Order
    from ds4d.batch.runs import Runs

    runs = Runs(str(folder))
    entry = {"source": "a.mp4", "state": "done", "seconds": {"clip": 1.0}, "scores": {"psnr_fg": 9}}
    (folder / "batch.json").write_bytes(damaged(json.dumps({"clips": {"a": entry}}).encode(), dice))
    read = Ledger(runs)
    read.open([Order("a", "a.mp4", Config())], retry_failed=False)
    sheet.write(runs, read.entries)


def job(folder: Path, dice: random.Random) -> None:
    from page.jobs import event_log
    from page.jobs.store import Store
    from page.limits import Limits

    store = Store(folder / "jobs", Limits())
    made = store.create(INPUTS / "ten.gif", Config(), "visitor")
    (made.folder / "events.jsonl").write_text('{"at": 1, "stage": "clip", "step": 1, "total": 2}\n')
    name = dice.choice(("job.json", "events.jsonl"))
    (made.folder / name).write_bytes(damaged((made.folder / name).read_bytes(), dice))
    for found in store.all():
        event_log.last_line(found.folder)
    store.sweep()
    store.make_room()
    store.find(made.id)


def run_folder(folder: Path, dice: random.Random) -> None:
    from ds4d import pipeline
    from ds4d.run.structure import structure
    from ds4d.run.workspace import Workspace

    source = OLD / "disc_run"
    config = structure(json.loads((source / "run.json").read_text())["config"], Config)
    run = Path(shutil.copytree(source, folder / "run"))
    name = dice.choice(RUN_FILES)
    (run / name).write_bytes(damaged((source / name).read_bytes(), dice))
    list(pipeline.generate(OLD / "disc.gif", Workspace(run), config, until="mesh"))


def asset(folder: Path, dice: random.Random) -> None:
    from ds4d.fourd.asset import Asset

    Asset.load(_copy(OLD / "disc_run/fourd.safetensors", folder, dice))


def packed(folder: Path, dice: random.Random) -> None:
    from ds4d.export import packed

    packed.unpack(damaged(PACKED.read_bytes(), dice))


KINDS = {kind.__name__: kind for kind in (
    clip, picture, mesh, manifest, ledger, job, run_folder, asset, packed
)}  # fmt: skip


def _copy(source: Path, folder: Path, dice: random.Random) -> Path:
    file = folder / source.name
    file.write_bytes(damaged(source.read_bytes(), dice))
    return file


def attempt(read: Callable[[Path, random.Random], None], dice: random.Random) -> str:
    """Read one damaged file; returns a stack trace, or nothing if it was read or refused well."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of readers, about the damage
        try:
            read(Path(folder), dice)
        except UserError:
            pass
        except Exception as error:
            if of_the_machine(error) is None:
                return traceback.format_exc()
    return ""


def _serve(name: str, seed: int, numbers: range, results: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (int(MEMORY), int(MEMORY)))
    with open("/dev/null", "w") as nothing, contextlib.redirect_stderr(nothing):
        attempt(KINDS[name], random.Random(f"{name} first"))  # imports what is needed
        for number in numbers:
            results.send(None)
            results.send(attempt(KINDS[name], random.Random(f"{name} {seed} {number}")))


def outcomes(name: str, seed: int, count: int) -> Iterator[tuple[int, str, float]]:
    """Numbers of all damaged files of a kind with "", "hang", "crash" or a stack trace, and their
    seconds of computing. A process that hangs or ends is replaced."""
    context, number = multiprocessing.get_context("spawn"), 0
    while number < count:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(name, seed, range(number, count), there))
        process.start()
        there.close()
        ended = ""
        while number < count and not ended and _next(here, process, START_SECONDS) is None:
            before = _computed(process)
            ended = _next(here, process, LONGEST)
            yield number, ended, max(0.0, _computed(process) - before)
            ended, number = ended if ended in ENDS else "", number + 1
        process.kill()
        process.join()


def _next(connection: Connection, process: BaseProcess, seconds: float) -> str | None:
    """The next message of a process, or "hang" after some seconds of computing, or "crash"."""
    limit = _computed(process) + seconds
    deadline = time.monotonic() + 20 * seconds  # one that waits for something hangs, too
    try:
        while not connection.poll(0.5):
            if _computed(process) > limit or time.monotonic() > deadline:
                return "hang"
        return connection.recv()
    except EOFError:
        return "crash"


def _computed(process: BaseProcess) -> float:
    """Seconds of a core that a process has used: on a busy machine others count for nothing."""
    try:
        times = psutil.Process(process.pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def main(options: Options) -> None:
    figures = {}
    for name in options.only or KINDS:
        counts = {"files": 0, "traces": 0, "hangs": 0, "crashes": 0, "slowest_s": 0.0}
        for number, text, seconds in outcomes(name, options.seed, options.each):
            counts["files"] += 1
            counts["slowest_s"] = max(counts["slowest_s"], round(seconds, 1))
            counts["hangs"] += text == "hang"
            counts["crashes"] += text == "crash"
            if text:
                counts["traces"] += text.startswith("Traceback")
                print(name, number, text[-1500:], file=sys.stderr, flush=True)
        figures[name] = counts
        print(name, json.dumps(counts), flush=True)
        if options.json:
            options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
