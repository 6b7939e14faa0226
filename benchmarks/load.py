"""The page under load: hostile uploads that are being looked at, and sixty visitors at once.

python -m benchmarks.load [--seconds 600] [--json benchmarks/results/load.json]

Starts the app as a process of its own, which believes one proxy, so that every client is a visitor
of its own. First, the page is asked again and again while three files that take long to look at
are being looked at. Then visitors come, most of them programs, some with a gradio_client and a few
with a browser: they open the page, upload, ask for a preflight report, order runs and leave, come
back to them, ask for their state and cancel them. Last, all runs are cancelled and the app ends: no
process of it and no file that belongs to nothing may be left, and its memory may not grow.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import imageio_ffmpeg
import numpy as np
import psutil
import tyro

from . import visitors
from .speed.measure import machine
from .visitors import Log, Program

HOSTILE = 3
QUIET = 15.0  # seconds of the probe without hostile files, for comparison
PAUSE = 0.2  # seconds between two requests of the probe
SAMPLE = 5.0  # seconds between two looks at the memory of the app
SETTLE = 20.0  # seconds after the visit, for runs to end
# What a job has beside the artifacts of its finished stages.
OF_A_JOB = {
    "job.json", "seen", "input", "events.jsonl", "live", "log.txt", "run.json", ".ds4d", "previews",
    "checkpoints",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    programs: int = 37
    """visitors that speak HTTP"""
    clients: int = 20
    """visitors with a gradio_client"""
    browsers: int = 3
    """visitors with a browser"""
    seconds: float = 60.0
    """length of the visit"""
    hostile_seconds: float = 60.0
    """length of the look at hostile files, at most"""
    json: Path | None = None
    """file for the figures"""


def hostile_files(folder: Path) -> list[Path]:
    """GIFs of some kilobytes that unpack to almost as many pixels as are accepted."""
    files = [folder / f"hostile{index}.gif" for index in range(HOSTILE)]
    for index, file in enumerate(files):
        color = f"color=c=0x{index + 1:02x}0000:s=3000x3000:r=10:d=11"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", color, file]
        subprocess.run(command, check=True)
    return files


async def watch(visitor: Program, until: Callable[[], bool]) -> None:
    """Ask for the page again and again."""
    while not until():
        await visitor.ask("page", "GET", "/")
        await visitor.ask("config", "GET", "/config")
        await asyncio.sleep(PAUSE)


async def probe(url: str, folder: Path, seconds: float) -> dict:
    """Time requests of one visitor while others have hostile files looked at."""
    alone, meanwhile, unused = Log(), Log(), Log()
    end = time.perf_counter() + QUIET
    await watch(Program(url, 1, alone), lambda: time.perf_counter() > end)
    attackers = [Program(url, 1000 + index, unused) for index in range(HOSTILE)]

    async def attack(program: Program, file: Path) -> float:
        started = time.perf_counter()
        clip = await program.upload(file)
        await program.call("preflight", "preflight", clip, "preview", None, None)
        return time.perf_counter() - started

    files = hostile_files(folder)
    looks = [
        asyncio.create_task(attack(program, file))
        for program, file in zip(attackers, files, strict=True)
    ]
    end = time.perf_counter() + seconds
    await watch(
        Program(url, 2, meanwhile),
        lambda: all(look.done() for look in looks) or time.perf_counter() > end,
    )
    looked = [round(seconds, 1) for seconds in await asyncio.gather(*looks)]
    return {
        "looks_s": looked, "alone": alone.summary(), "meanwhile": meanwhile.summary(),
        "looks": unused.summary(),
    }  # fmt: skip


async def visit(url: str, app: psutil.Process, options: Options) -> dict:
    """All visitors at once, each of whom does something else every time."""
    log, memory = Log(), []
    before, end = _megabytes(app), time.perf_counter() + options.seconds

    async def weigh() -> None:
        while time.perf_counter() < end:
            memory.append(_megabytes(app))
            await asyncio.sleep(SAMPLE)

    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        info = (await http.get("/gradio_api/info")).json()
        parameters = len(info["named_endpoints"]["/generate"]["parameters"])
    numbers = range(options.programs + options.clients + options.browsers)
    programs, others = numbers[: options.programs], numbers[options.programs :]
    clients, browsers = others[: options.clients], others[options.clients :]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        loop = asyncio.get_running_loop()
        rows, *_ = await asyncio.gather(
            loop.run_in_executor(
                pool, visitors.gradio_clients, url, clients, options.seconds
            ),
            visitors.browse(url, browsers, options.seconds, log),
            weigh(),
            *(Program(url, number, log).live(end, number, parameters) for number in programs),
        )  # fmt: skip
    await asyncio.sleep(SETTLE)
    log.rows += rows
    late = memory[len(memory) // 2 :]
    slope = np.polyfit(np.arange(len(late)) * SAMPLE / 60, late, 1)[0] if len(late) > 1 else 0.0
    return {
        "visitors": {"programs": len(programs), "gradio_clients": len(clients),
                     "browsers": len(browsers)},
        "seconds": options.seconds, "by_request": log.summary(),
        "refusals": log.told("refused"), "failures": log.told("failed"),
        "memory_mb": {"before": before, "most": max(memory), "after": _megabytes(app)},
        "memory_mb_per_minute_in_the_second_half": round(float(slope), 2),
    }  # fmt: skip


def _megabytes(app: psutil.Process) -> int:
    return round(app.memory_info().rss / 1e6)


def left_behind(runs: Path, temporary: Path) -> dict:
    """States of the jobs in a folder, files of them that belong to no finished stage or were not
    written to their end, and files in the folder of temporary ones."""
    states, strays = Counter(), Counter()
    for folder in (folder for folder in runs.iterdir() if folder.is_dir()):
        job = _read(folder / "job.json")
        states[job.get("state", "no record")] += 1
        stages = _read(folder / "run.json").get("stages", {}).values()
        known = {Path(name).parts[0] for stage in stages for name in stage["artifacts"]}
        strays.update({path.name for path in folder.iterdir()} - OF_A_JOB - known)
    partial = [str(path.relative_to(runs)) for path in runs.rglob("*.partial-*")]
    return {
        "jobs": dict(states), "of_no_stage": dict(strays), "half_written": partial,
        "temporary": sorted(path.name for path in temporary.iterdir()),
    }  # fmt: skip


def _read(file: Path) -> dict:
    return json.loads(file.read_text()) if file.exists() else {}


def main(options: Options) -> None:
    figures = {"machine": machine()}
    with tempfile.TemporaryDirectory() as name, socket.socket() as chosen:
        folder = Path(name)
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
        chosen.close()
        (folder / "temporary").mkdir()
        environment = os.environ | {
            "GRADIO_SERVER_PORT": str(port), "DS4D_RUNS": str(folder / "runs"),
            "GRADIO_TEMP_DIR": str(folder / "uploads"), "TMPDIR": str(folder / "temporary"),
            "DS4D_TRUSTED_HOPS": "1",
        }  # fmt: skip
        app = subprocess.Popen([sys.executable, "app.py"], env=environment, stdout=sys.stderr)
        url = f"http://127.0.0.1:{port}"
        try:
            while not _answers(url):
                time.sleep(0.2)
            figures["hostile"] = asyncio.run(probe(url, folder, options.hostile_seconds))
            figures["visit"] = asyncio.run(visit(url, psutil.Process(app.pid), options))
            children = psutil.Process(app.pid).children(recursive=True)
            figures["processes_after_the_visit"] = len(children)
        finally:
            app.terminate()
            app.wait()
        _, left = psutil.wait_procs(children, timeout=15)
        figures["orphans"] = [" ".join(process.cmdline()) for process in left]
        figures["left_behind"] = left_behind(folder / "runs", folder / "temporary")
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
