"""The preflight report as JSON or as sentences, and the pictures that a run would use, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..errors import UserError
from ..images import save_images
from ..run.estimate import expected
from ..run.events import result
from ..run.hardware import cores, gpu_name
from . import paths
from .checks import Report, inspect_clip


def facts(path: Path, config: Config) -> dict[str, Any]:
    """The report on a clip, as docs/clips.md lists it.

    Raises:
        UserError: a run would refuse the clip.
    """
    paths.check(path, config.clip)
    return _facts(inspect_clip(path, config.clip), config)


def _facts(report: Report, config: Config) -> dict[str, Any]:
    costs = expected(config, len(report.used), gpu_name(), cores())
    seconds = report.used_seconds
    return {
        "kind": report.kind,
        "seconds": report.seconds,
        "fps": report.fps,
        "source_frames": report.source_frames,
        "width": report.width,
        "height": report.height,
        "frames": [
            {
                "index": int(index),
                "seconds": None if seconds is None else float(seconds[number]),
                "position": float(report.positions[number]),
            }
            for number, index in enumerate(report.used)
        ],
        "alpha": report.alpha,
        "object_pixels": report.object_pixels,
        "crop": report.crop,
        "checks": [
            {
                "name": check.name,
                "fine": check.fine,
                "sentence": check.sentence,
                "hint": check.hint,
            }
            for check in report.checks
        ],
        "warnings": list(report.warnings),
        "left_out": list(report.left_out),
        "expected": {
            "seconds": round(sum(cost.seconds for cost in costs), 1),
            "memory_gb": round(max(cost.memory_gb for cost in costs), 2),
        },
    }


def as_text(found: dict[str, Any]) -> str:
    """The facts as lines for a terminal."""
    size = f"{found['width']} x {found['height']} pixels, {found['source_frames']} frames"
    length = f", {found['seconds']:.2f} s" if found["seconds"] is not None else ""
    lines = [f"{found['kind']}: {size}{length}"]
    for check in found["checks"]:
        mark = "  " if check["fine"] else "! "
        lines.append(f"{mark}{check['name']}: {check['sentence']} {check['hint']}".rstrip())
    if found["left_out"]:
        lines.append(f"Left out: {', '.join(found['left_out'])}")
    cost = found["expected"]
    lines.append(f"A run takes about {cost['seconds']:.0f} s and {cost['memory_gb']:.1f} GB.")
    return "\n".join(lines)


def as_json(found: dict[str, Any]) -> str:
    """The facts as JSON; names that are no text in UTF-8 are kept readable."""
    return json.dumps(found, indent=1)


def write_pictures(
    path: Path, config: Config, frames_folder: Path | None, mattes_folder: Path | None
) -> None:
    """Write the frames that a run would use, and their mattes by the embedded engines, as PNGs.

    Mattes are as large as the clip is shown, at most 1080 pixels; what was cut off is 0.

    Raises:
        UserError: a folder is not empty.
    """
    from .. import clip
    from ..matting import alpha, classical

    if frames_folder is not None and frames_folder == mattes_folder:
        raise UserError("Frames and mattes have the same names.", "Give a folder for each.")
    for folder in (frames_folder, mattes_folder):
        if (
            folder is not None
            and folder.exists()
            and (not folder.is_dir() or any(folder.iterdir()))
        ):
            raise UserError(f"The folder {folder} is not empty.", "Give one that does not exist.")
    read = result(clip.read(path, config.clip), lambda event: None)
    if frames_folder is not None:
        save_images(frames_folder, read.frames)
    if mattes_folder is not None:
        engine = alpha if alpha.usable(read.frames) else classical
        mattes = result(engine.run(read.frames), lambda event: None)
        top, bottom, left, right = read.cut
        save_images(mattes_folder, np.pad(mattes, ((0, 0), (top, bottom), (left, right))))
