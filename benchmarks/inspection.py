"""Seconds that `inspect` takes on clips, as a user waits for it: a process of its own for each.

python -m benchmarks.inspection CLIP [CLIP ...] [--json benchmarks/results/inspection.json]

The long clip of README.md is made by

ffmpeg -f lavfi -i testsrc2=size=3840x2160:rate=60:duration=3 -vf noise=alls=6:allf=t
    -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params keyint=60 -crf 26 part.mp4
ffmpeg -stream_loop 19 -i part.mp4 -c copy long.mp4
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import tyro


@dataclasses.dataclass(frozen=True)
class Options:
    clips: tyro.conf.Positional[tuple[Path, ...]]
    """what is inspected"""
    json: Path | None = None
    """file for the rows as JSON"""


def measure(clip: Path) -> dict:
    """Size and length of a clip, seconds until `inspect` has answered, and those of all cores."""
    command = [sys.executable, "-m", "ds4d", "inspect", str(clip), "--json"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {
        "clip": clip.name, "size": [answer["width"], answer["height"]],
        "frames": answer["source_frames"], "clip_seconds": answer["seconds"],
        "seconds": round(seconds, 2), "processor_seconds": round(used, 2),
    }  # fmt: skip


def main(options: Options) -> None:
    rows = []
    for clip in options.clips:
        rows.append(measure(clip))
        print(json.dumps(rows[-1]), flush=True)
    if options.json:
        lines = ",\n".join(json.dumps(row) for row in rows)
        options.json.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
