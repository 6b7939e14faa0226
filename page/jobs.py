"""What the page does: runs of visitors, their cancelling, bundled examples, and the clean-up.

Every handler answers with a value for each of OUTPUTS; `put` leaves out what does not change.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr

from ds4d.config import Config
from ds4d.errors import UserError
from ds4d.workspace import Workspace, content_key

from . import lanes
from .panels import (
    EXAMPLES,
    KEEP_HOURS,
    clip_preview,
    example_clip,
    headline,
    notice,
    preset_of,
    title_of,
)
from .settings import configure
from .stages import Progress, duration

RUNS = Path(os.environ.get("DS4D_RUNS", Path(tempfile.gettempdir()) / "ds4d-runs")).resolve()
SECONDS_BETWEEN_UPDATES = 0.35
VIDEOS = {"front": "Front", "back": "Back", "left": "Left", "right": "Right", "bullet": "Frozen"}

# What the page shows of a run: component -> the stage that makes it, and its file in the folder.
ARTIFACTS = {
    "matte": ("matting", "previews/matting.jpg"),
    "grid": ("multiview", "multiview/grid.mp4"),
    "mesh": ("mesh", "mesh.glb"),
    "orbit": ("videos", "videos/orbit.mp4"),
    **{name: ("videos", f"videos/{name}.mp4") for name in VIDEOS},
    "archive": ("export", "exports/ds4d.zip"),
    "asset": ("export", "fourd.safetensors"),
    "take_orbit": ("videos", "videos/orbit.mp4"),
}
OUTPUTS = (*ARTIFACTS, "notice", "welcome", "strip", "live", "head", "run", "cancel", "session")

log = logging.getLogger("ds4d.app")


@dataclass
class Session:
    """What one visitor's tab has going on."""

    folders: dict[str, Path] = field(default_factory=dict)  # content of a clip -> its run folder
    progress: Progress = field(default_factory=Progress)
    running: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def folder(self, clip: Path) -> Path:
        """The same clip goes on in the same folder, so only what changed is made again."""
        return self.folders.setdefault(content_key(clip), RUNS / uuid.uuid4().hex)


def put(**values) -> tuple:
    """Values for OUTPUTS; what is not named stays as it is."""
    return tuple(values.get(name, gr.skip()) for name in OUTPUTS)


def generate(
    clip: str | None,
    preset: str,
    seed: int,
    session: Session | None,
    frames: int | None = None,
    size: int | None = None,
    drawing_steps: int | None = None,
    resolution: int | None = None,
    points: int | None = None,
    most_points: int | None = None,
    static_steps: int | None = None,
    dynamic_steps: int | None = None,
    coarse_size: int | None = None,
    fine_size: int | None = None,
    video_size: int | None = None,
    video_seconds: float | None = None,
    mesh: str | None = None,
) -> Iterator[tuple]:
    """Make a 4D asset and its videos from a short clip of one object.

    Args:
        clip: a video, GIF or WebP.
        preset: preview, standard or paper.
        seed: the only source of randomness.
        frames: and all after it up to video_seconds: instead of the preset's value.
        mesh: the object's shape from elsewhere, as glb, obj or ply; it is fitted to the views.
    """
    session = session or Session()
    session.progress = progress = Progress()
    session.ended.clear()
    session.running.set()
    try:
        if clip is None:
            raise UserError("There is no clip yet.", "Upload one, or pick an example.")
        values = {
            "frames": frames, "size": size, "drawing_steps": drawing_steps,
            "resolution": resolution, "points": points, "most_points": most_points,
            "static_steps": static_steps, "dynamic_steps": dynamic_steps,
            "coarse_size": coarse_size, "fine_size": fine_size, "video_size": video_size,
            "video_seconds": video_seconds,
        }  # fmt: skip
        config = configure(preset, seed, values, mesh)
        yield put(session=session, notice="", strip=progress.strip())
        yield from follow(Path(clip), session, config)
    except UserError as error:
        progress.halt("failed")
        yield failed(progress, error.sentence, error.hint)
        raise gr.Error(str(error), visible=False, print_exception=False) from error
    except Exception as error:
        reference = uuid.uuid4().hex[:8]
        log.exception("run failed, reference %s", reference)
        progress.halt("failed")
        sentence = f"Something broke that should not (reference {reference})."
        hint = "Another clip may work; what was finished is kept."
        yield failed(progress, sentence, hint)
        raise gr.Error(f"{sentence} {hint}", visible=False, print_exception=False) from error
    finally:  # a cancelled run ends here: closing the generator stopped the stage at its last event
        progress.halt("stopped")
        session.running.clear()
        session.ended.set()


def follow(clip: Path, session: Session, config: Config) -> Iterator[tuple]:
    """Run the pipeline and turn its events into what the page shows."""
    folder, progress = session.folder(clip), session.progress
    workspace = Workspace(folder)
    shown: set[str] = set()
    updated = 0.0
    with closing(lanes.run(clip, workspace, config)) as events:
        for event in events:
            moved = progress.take(event, workspace.record["stages"], folder)
            if not moved and time.monotonic() - updated < SECONDS_BETWEEN_UPDATES:
                continue
            fresh = {name for name in progress.stages if progress.is_done(name)} - shown
            shown |= fresh
            yield put(strip=progress.strip(), live=progress.live(), **artifacts(folder, fresh))
            updated = time.monotonic()
    progress.finish(workspace.record["stages"])
    took = f"Made here in {duration(progress.seconds)}. {progress.engines()}"
    yield put(  # everything once more: a program that calls gets this last answer only
        **artifacts(folder, set(progress.stages)),
        strip=progress.strip(),
        live=progress.live(),
        head=headline("Your object, in four dimensions", took),
        **ready("Make it again"),
    )


def begin(session: Session | None) -> tuple:
    """Clear the page for a new run and offer to cancel it, also while it waits for its turn."""
    session = session or Session()
    session.progress = Progress()
    cleared = {name: gr.update(value=None, visible="hidden") for name in ARTIFACTS}
    return put(
        **cleared,
        notice=notice("Waiting for its turn.", "One run at a time."),
        welcome=gr.update(visible=False),
        strip=session.progress.strip(),
        live="",
        head="",
        run=gr.update(interactive=False),
        cancel=gr.update(visible=True),
        session=session,
    )


def stop(session: Session) -> tuple:
    """Answer once the run has really ended."""
    if session.running.is_set():
        session.ended.wait(timeout=60)
    text = notice("Cancelled.", "What is finished is kept: press Go on to continue from here.")
    return put(notice=text, strip=session.progress.strip(), **ready("Go on"))


def failed(progress: Progress, sentence: str, hint: str) -> tuple:
    text = notice(sentence, hint, kind="error")
    return put(notice=text, strip=progress.strip())


def ready(label: str | None = None) -> dict:
    """The buttons of a page that waits for its visitor; without a label it stays as it was."""
    run = gr.update(interactive=True) if label is None else gr.update(value=label, interactive=True)
    return {"run": run, "cancel": gr.update(visible=False)}


def show_example(event: gr.EventData) -> tuple:
    """The bundled result of an example at once; its clip is ready to be run again here."""
    name = event._data["name"]
    folder = EXAMPLES / "results" / name
    progress = Progress.of_run(folder)
    text = f"Made earlier with the {preset_of(folder)} preset. {progress.engines()}"
    shown = artifacts(folder, set(progress.stages))
    clip = str(example_clip(name))
    return clip, clip_preview(clip), *put(
        **{key: shown.get(key, gr.update(value=None, visible="hidden")) for key in ARTIFACTS},
        notice="",
        welcome=gr.update(visible=False),
        strip=progress.strip(),
        live=progress.live(),
        head=headline(title_of(name), text),
        **ready("Run it again here"),
    )


def artifacts(folder: Path, stages: set[str]) -> dict:
    """The files that these stages left in a run folder, for the components that show them."""
    return {
        name: gr.update(value=str(folder / path), visible=True)
        for name, (stage, path) in ARTIFACTS.items()
        if stage in stages and (folder / path).exists()
    }


def sweep() -> None:
    """Delete the runs in which no stage has begun or ended for KEEP_HOURS."""
    for folder in RUNS.iterdir():
        if time.time() - folder.stat().st_mtime > KEEP_HOURS * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_hourly() -> None:
    while True:
        sweep()
        time.sleep(3600)
