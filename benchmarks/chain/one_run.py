"""One run of the command line in a process of its own, and what it took."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ds4d.run.events import STAGES

HERE = Path(__file__).parents[2]
CLIPS = HERE / "examples" / "clips"
BUSY = "nvidia-smi --id=0 --query-gpu=utilization.gpu --format=csv,noheader,nounits -lms 100"


@dataclass(frozen=True)
class Command:
    """A command line without its run folder."""

    arguments: list[str]  # of Python
    checkout: Path  # where it starts
    place: Path  # folder for the run and for compiled kernels


def run(command: Command) -> dict:
    """Seconds, processor seconds, memory and, on a GPU, its busy share of each stage.

    "start" is everything outside the stages: Python, imports, checks. Kernels that are compiled
    stay in `command.place` for the next run.
    """
    out = command.place / "run"
    shutil.rmtree(out, ignore_errors=True)
    command.place.mkdir(parents=True, exist_ok=True)
    caches = {name: str(command.place / name) for name in ("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR")}
    before, started = os.times(), time.perf_counter()
    with open(command.place / "printed.txt", "wb") as printed:
        process = subprocess.Popen(
            [sys.executable, *command.arguments, "--out", str(out)], cwd=command.checkout,
            stdout=printed, stderr=subprocess.STDOUT, env=os.environ | caches,
        )  # fmt: skip
    busy = _watched(process, out)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, after = time.perf_counter() - started, os.times()
    text = (command.place / "printed.txt").read_text(errors="replace")
    record = _stages(out)
    if status:
        done = {stage: facts["seconds"] for stage, facts in record.items()}
        raise SystemExit(
            f"{' '.join(command.arguments)} failed after {json.dumps(done)}:\n{text[-3000:]}"
        )
    names = ("engine", "seconds", "processor_seconds", "peak_memory_mb", "gpu_peak_memory_mb")
    stages = {stage: {n: f[n] for n in names if n in f} for stage, f in record.items()}
    for part in map(json.loads, re.findall(r'^\{"part".*\}$', text, re.MULTILINE)):
        stages[part.pop("part")] = part  # of a stage, printed by `random_networks`
    for stage, share in busy.items():
        stages.get(stage, {})["gpu_busy"] = share
    processor = sum(after[2:4]) - sum(before[2:4])
    for name, whole in (("seconds", seconds), ("processor_seconds", processor)):
        in_stages = sum(facts.get(name, 0) for facts in record.values())
        stages.setdefault("start", {})[name] = round(whole - in_stages, 2)
        stages.setdefault("whole command", {})[name] = round(whole, 2)
    stages["whole command"]["peak_memory_mb"] = round(usage.ru_maxrss / 1e3)
    return {"stages": stages}


def _watched(process: subprocess.Popen, out: Path) -> dict[str, float]:
    """Wait for the end; the GPU's mean busy share by stage, empty without nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return {}
    watch = subprocess.Popen(BUSY.split(), stdout=subprocess.PIPE, text=True)
    shares = defaultdict(list)

    def listen() -> None:
        for line in watch.stdout:
            shares[_stage(out)].append(float(line.split(",")[0]) / 100)

    listener = threading.Thread(target=listen)
    listener.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    watch.terminate()
    listener.join()
    watch.wait()
    return {stage: round(sum(some) / len(some), 2) for stage, some in shares.items()}


def _stage(out: Path) -> str:
    """The stage that runs now: the first that is not recorded yet."""
    done = _stages(out)
    return next((stage for stage in STAGES if stage not in done), "start") if done else "start"


def _stages(out: Path) -> dict[str, dict]:
    """The facts of the stages that a run has finished."""
    try:
        return json.loads((out / "run.json").read_text())["stages"]
    except OSError:
        return {}
