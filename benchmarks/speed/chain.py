"""Whole runs of a bundled clip: seconds and memory by stage."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
QUICK = [
    "--clip.frames", "3", "--clip.size", "32", "--features.grid", "4", "--mesh.resolution", "32",
    "--fourd.points", "100", "--fourd.static-iterations", "2", "--fourd.dynamic-iterations", "2",
    "--fourd.image-size", "32", "--fourd.plane-size", "8",
    "--videos.size", "32", "--videos.seconds", "0.2",
]  # fmt: skip


def run(quick: bool, clip: str = "frog.mp4", preset: str = "preview") -> Iterator[dict]:
    """Yield one row per stage and one for the whole command, including Python's start-up."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ds4d", "generate", str(CLIPS / clip), "--out", folder]
        command += ["--preset", preset, *(QUICK if quick else [])]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        stages = json.loads((Path(folder) / "run.json").read_text())["stages"]
    whole = {"seconds": round(seconds, 2)}
    for name in ("peak_memory_mb", "gpu_peak_memory_mb"):
        peaks = [stage[name] for stage in stages.values() if name in stage]
        whole |= {name: max(peaks)} if peaks else {}
    for name, facts in (stages | {"whole command": whole}).items():
        kept = ("engine", "seconds", "peak_memory_mb", "gpu_peak_memory_mb")
        row = {"part": "chain", "clip": clip, "preset": preset, "stage": name}
        yield row | {key: facts[key] for key in kept if key in facts}
