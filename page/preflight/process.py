"""A process that makes the report on one uploaded clip: `python -m page.preflight.process`.

It is started before there is a clip, so that slow imports are done when one comes. It reads one
line of JSON from standard input (the clip's path, the settings of the clip, and limits), writes one
line to standard output (a report, or why the clip cannot be used), and ends. It also ends when its
input is closed: the visitor has left, or the page has ended. A file that crashes it, or uses up its
time or memory, harms nobody else.
"""

from __future__ import annotations

import base64
import io
import json
import os
import resource
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np

THUMBNAIL_HEIGHT = 72  # pixels
NICE = 10  # the page and its runs come first
KEPT = ("name", "seconds", "fps", "width", "height", "source_frames")  # of a Report, as they are


def main() -> None:
    os.nice(NICE)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is not the answer
    orders: Queue[str] = Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    from ds4d.preflight import checks  # noqa: F401  takes a second, so before the clip comes

    order = json.loads(orders.get())
    limit(order["cpu_seconds"], order["memory_bytes"])
    found = answer(Path(order["clip"]), order["config"])
    print(json.dumps(found, default=np.generic.item), file=answers, flush=True)
    os._exit(0)  # threads of decoders are not waited for


def limit(cpu_seconds: int, memory_bytes: int) -> None:
    """Limit what this process and those that it starts may use; the system enforces it."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(clip: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The report on a clip, or {"sentence", "hint"} of the reason why it cannot be used."""
    from ds4d.config import ClipConfig
    from ds4d.errors import UserError
    from ds4d.preflight.checks import inspect_clip
    from ds4d.run.structure import structure

    from ..errors import explain

    try:
        report = inspect_clip(clip, structure(settings, ClipConfig))
    except MemoryError:
        return vars(UserError(f"{clip.name} needs too much memory.", "Scale it down."))
    except Exception as error:
        explained = explain(error)
        return {"sentence": explained.sentence, "hint": explained.hint}
    facts = {name: getattr(report, name) for name in KEPT}
    if report.used_seconds is None:
        marks = report.used / max(report.source_frames - 1, 1)
    else:
        marks = report.used_seconds / max(report.seconds, 1e-6)
    checks = [dict(vars(check)) for check in report.checks]
    thumbnails = [_thumbnail(picture) for picture in report.thumbnails]
    lists = {"used": report.used.tolist(), "marks": marks.clip(0, 1).tolist()}
    return facts | lists | {"checks": checks, "thumbnails": thumbnails}


def _thumbnail(picture: np.ndarray) -> str:
    """A picture [H, W, 3 or 4] uint8 as the data URL of a small JPEG."""
    from PIL import Image

    from ds4d.images import checkerboard, over

    if picture.shape[2] == 4:
        picture = over(picture, checkerboard(*picture.shape[:2], 8))
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL_HEIGHT * 3, THUMBNAIL_HEIGHT))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _listen(orders: Queue[str]) -> None:
    """Hand on the order; end the process when standard input is closed."""
    line = sys.stdin.readline()
    if line:
        orders.put(line)
        sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
