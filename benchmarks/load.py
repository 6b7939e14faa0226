"""The page under load: hostile uploads that are being looked at, and a flood of clients.

python -m benchmarks.load [--clients 60] [--seconds 60] [--json benchmarks/results/load.json]

Starts the app as a process of its own, which believes one proxy, so that every client is a visitor
of its own. First, the page is asked again and again while three files that take long to look at
are being looked at. Then all clients open the page, upload, ask for a preflight report, order runs
and leave, come back to them, ask for their state and cancel them. Last, all runs are cancelled and
the app ends: no process of it and no half-written file may be left, and its memory may not grow.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import random
import re
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

from .speed.measure import machine

CLIP = Path("examples/clips/frog.mp4")
HOSTILE = 3
QUIET = 15.0  # seconds of the probe without hostile files, for comparison
PAUSE = 0.2  # seconds between two requests of the probe
SAMPLE = 5.0  # seconds between two looks at the memory of the app
SETTLE = 20.0  # seconds after the flood, for runs to end
JOB = re.compile(r'"job": ?"([^"]+)"')  # in the first message about a run
BROKEN = ("Something went wrong", "Traceback")  # in an answer


@dataclasses.dataclass(frozen=True)
class Options:
    clients: int = 60
    """visitors of the flood"""
    seconds: float = 60.0
    """length of the flood, and at most of the look at hostile files"""
    json: Path | None = None
    """file for the figures"""


class Client:
    """A visitor with an address of its own; every request is timed and its answer kept count of."""

    def __init__(self, url: str, number: int, answers: Counter, times: list[float]):
        headers = {"X-Forwarded-For": f"10.{number // 256}.{number % 256}.1"}
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=120)
        self.answers, self.times = answers, times

    async def ask(self, method: str, path: str, **options) -> httpx.Response | None:
        started = time.perf_counter()
        try:
            answer = await self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return None
        self.times.append(time.perf_counter() - started)
        busy = answer.status_code == 503  # as many requests wait as are accepted
        broken = answer.status_code >= 500 and not busy
        broken |= any(words in answer.text for words in BROKEN)
        self.answers["broken" if broken else f"status {answer.status_code}"] += 1
        return answer

    async def upload(self, file: Path) -> dict | None:
        files = {"files": (file.name, file.read_bytes())}
        answer = await self.ask("POST", "/gradio_api/upload", files=files)
        if answer is None or answer.status_code != 200:
            return None
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    async def order(self, *data) -> str | None:
        """Order a run and leave after the first message; returns the id of its job."""
        answer = await self.ask("POST", "/gradio_api/call/generate", json={"data": list(data)})
        if answer is None or answer.status_code != 200:
            return None
        event, line = answer.json()["event_id"], ""
        try:
            async with self.http.stream("GET", f"/gradio_api/call/generate/{event}") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data: "):
                        break
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return None
        told = JOB.search(line)
        broken = any(words in line for words in BROKEN)
        self.answers["broken" if broken else "run queued" if told else "run refused"] += 1
        return told and told[1]

    async def call(self, name: str, *data, wait: bool = True) -> str:
        """Call an endpoint; returns the stream of its answer."""
        answer = await self.ask("POST", f"/gradio_api/call/{name}", json={"data": list(data)})
        if answer is None or answer.status_code != 200 or not wait:
            return ""
        event = answer.json()["event_id"]
        try:
            async with self.http.stream("GET", f"/gradio_api/call/{name}/{event}") as stream:
                text = (await stream.aread()).decode()
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return ""
        broken = any(words in text for words in BROKEN)
        self.answers["broken" if broken else f"{name} answered"] += 1
        return text


def hostile_files(folder: Path) -> list[Path]:
    """GIFs of some kilobytes that unpack to almost as many pixels as are accepted."""
    files = [folder / f"hostile{index}.gif" for index in range(HOSTILE)]
    for index, file in enumerate(files):
        color = f"color=c=0x{index + 1:02x}0000:s=3000x3000:r=10:d=11"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", color, file]
        subprocess.run(command, check=True)
    return files


async def watch(visitor: Client, until: Callable[[], bool]) -> None:
    """Ask for the page again and again."""
    while not until():
        await visitor.ask("GET", "/")
        await visitor.ask("GET", "/config")
        await asyncio.sleep(PAUSE)


async def probe(url: str, folder: Path, seconds: float) -> dict:
    """Time requests of one visitor while others have hostile files looked at."""
    answers, alone, times, unused = Counter(), [], [], []
    end = time.perf_counter() + QUIET
    await watch(Client(url, 1, answers, alone), lambda: time.perf_counter() > end)
    attackers = [Client(url, 1000 + index, answers, unused) for index in range(HOSTILE)]

    async def attack(client: Client, file: Path) -> float:
        started = time.perf_counter()
        await client.call("preflight", await client.upload(file), "preview", None, None)
        return time.perf_counter() - started

    files = hostile_files(folder)
    looks = [
        asyncio.create_task(attack(client, file))
        for client, file in zip(attackers, files, strict=True)
    ]
    end = time.perf_counter() + seconds
    await watch(
        Client(url, 2, answers, times),
        lambda: all(look.done() for look in looks) or time.perf_counter() > end,
    )
    looked = [round(seconds, 1) for seconds in await asyncio.gather(*looks)]
    return {
        "looks_s": looked, "alone": summary(Counter(), alone), "meanwhile": summary(answers, times),
    }  # fmt: skip


async def flood(url: str, app: psutil.Process, options: Options) -> dict:
    """All clients at once, each of which does something else every time."""
    answers, times, memory = Counter(), [], []
    before, end = _megabytes(app), time.perf_counter() + options.seconds

    async def weigh() -> None:
        while time.perf_counter() < end:
            memory.append(_megabytes(app))
            await asyncio.sleep(SAMPLE)

    async def live(number: int) -> None:
        client, dice = Client(url, number, answers, times), random.Random(number)
        jobs: list[str] = []
        while time.perf_counter() < end:
            what = dice.choice(("open", "open", "preflight", "leave", "order", "status", "cancel"))
            if what == "open":
                await client.ask("GET", f"/?job={dice.choice(jobs)}" if jobs else "/")
            elif what == "status":
                await client.call("status", dice.choice(jobs) if jobs else "nobody-has-this-run")
            elif what == "cancel" and jobs:
                await client.call("cancel", jobs.pop())
            elif what in ("preflight", "leave", "order"):
                clip = await client.upload(CLIP)
                if clip is None:
                    continue
                if what == "order":
                    job = await client.order(clip, "preview", 0, *[None] * parameters)
                    jobs += [job] if job else []
                else:
                    data = (clip, "preview", None, None)
                    await client.call("preflight", *data, wait=what == "preflight")
            await asyncio.sleep(dice.random())
        for job in jobs:
            await client.call("cancel", job)

    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        info = (await http.get("/gradio_api/info")).json()
        parameters = len(info["named_endpoints"]["/generate"]["parameters"]) - 3
    await asyncio.gather(weigh(), *(live(number) for number in range(options.clients)))
    await asyncio.sleep(SETTLE)
    late = memory[len(memory) // 2 :]
    slope = np.polyfit(np.arange(len(late)) * SAMPLE / 60, late, 1)[0] if len(late) > 1 else 0.0
    return summary(answers, times) | {
        "memory_mb": {"before": before, "most": max(memory), "after": _megabytes(app)},
        "memory_mb_per_minute_in_the_second_half": round(float(slope), 2),
    }


def _megabytes(app: psutil.Process) -> int:
    return round(app.memory_info().rss / 1e6)


def left_behind(runs: Path) -> dict:
    """States of the jobs in a folder, and files that were not written to their end."""
    records = [folder / "job.json" for folder in runs.iterdir() if folder.is_dir()]
    states = Counter(json.loads(r.read_text())["state"] if r.exists() else "no record"
                     for r in records)  # fmt: skip
    partial = [str(path.relative_to(runs)) for path in runs.rglob("*.partial-*")]
    return {"jobs": dict(states), "half_written_files": partial}


def summary(answers: Counter, times: list[float]) -> dict:
    quantiles = {f"p{q}_s": round(float(np.percentile(times, q)), 3) for q in (50, 90, 99)}
    return {"requests": len(times), **quantiles, "answers": dict(answers.most_common())}


def main(options: Options) -> None:
    figures = {"machine": machine()}
    with tempfile.TemporaryDirectory() as name, socket.socket() as chosen:
        folder = Path(name)
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
        chosen.close()
        environment = os.environ | {
            "GRADIO_SERVER_PORT": str(port), "DS4D_RUNS": str(folder / "runs"),
            "GRADIO_TEMP_DIR": str(folder / "uploads"), "DS4D_TRUSTED_HOPS": "1",
        }  # fmt: skip
        app = subprocess.Popen([sys.executable, "app.py"], env=environment, stdout=sys.stderr)
        url = f"http://127.0.0.1:{port}"
        try:
            while not _answers(url):
                time.sleep(0.2)
            figures["hostile"] = asyncio.run(probe(url, folder, options.seconds))
            figures["flood"] = asyncio.run(flood(url, psutil.Process(app.pid), options))
            figures["left_behind"] = left_behind(folder / "runs")
            children = psutil.Process(app.pid).children(recursive=True)
            figures["processes_after_the_flood"] = len(children)
        finally:
            app.terminate()
            app.wait()
        _, left = psutil.wait_procs(children, timeout=15)
        figures["orphans"] = [" ".join(process.cmdline()) for process in left]
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
