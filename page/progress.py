"""How far a run is, and how that looks: the strip of stages and the live picture, as HTML."""

from __future__ import annotations

import html
import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ds4d.run.events import STAGES, Event

from .files import served_anew

# One card of the strip may stand for two stages: the visitor need not know them apart.
CARDS = (
    ("Clip", ("clip",), "reads the clip and picks frames evenly"),
    ("Matte", ("matting",), "cuts the object out of every frame"),
    ("Six views", ("multiview", "features"), "imagines every frame from six sides"),
    ("Mesh", ("mesh",), "finds the shape of the middle frame"),
    ("4D", ("fourd",), "fits Gaussians that move with the clip"),
    ("Videos", ("videos", "export"), "films the result and packs the files"),
)
CARD_OF = {stage: title for title, stages, _ in CARDS for stage in stages}
ENGINES = {
    "alpha": "from the clip's own transparency",
    "rembg": "by a pretrained network (rembg)",
    "zero123plus": "drawn by Zero123++",
    "dinov2": "described by DINOv2",
    "instantmesh": "made by InstantMesh",
    "classical": "by background model and graph cut",
    "given": "brought along",
    "inflate": "inflated from the mattes",
    "descriptors": "described by colour and gradients",
    "inflated": "inflated with the views",
    "visual_hull": "carved from the silhouettes",
}
NOUNS = {"matting": "mattes", "multiview": "views", "features": "patches", "mesh": "mesh"}
PICTURED = {"fourd": "A frame of the clip, its render, and the render from another side."}
STATES = {
    "waiting": "waiting",
    "running": "running",
    "done": "done",
    "before": "done before",
    "stopped": "stopped here",
    "failed": "failed here",
}
CURVE_POINTS = 160  # more would not be seen, and travel with every update


@dataclass
class StageState:
    """What is known about one stage; `facts` is its entry in run.json once it is done."""

    state: str = "waiting"  # one of STATES
    step: int = 0
    total: int = 0
    message: str = ""
    picture: Path | None = None  # the newest one
    rows: list[dict[str, float]] = field(default_factory=list)  # step, loss, psnr, ...
    warnings: list[str] = field(default_factory=list)  # sentences that came with events
    marks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=60))  # when, step
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """Steps per second over the last few events."""
        if len(self.marks) < 2:
            return None
        (began, first), (now, last) = self.marks[0], self.marks[-1]
        return (last - first) / (now - began) if now > began and last > first else None


class Progress:
    """All stages of one run, fed by the pipeline's events."""

    def __init__(self):
        self.stages = {name: StageState() for name in STAGES}
        self.current = STAGES[0]

    @classmethod
    def of_run(cls, folder: Path) -> Progress:
        """The state of a finished run, read from its folder."""
        progress = cls()
        record = json.loads((folder / "run.json").read_text())["stages"]
        for name, stage in progress.stages.items():
            stage.state, stage.facts = "done", record.get(name, {})
            stage.picture, stage.rows = _kept(folder, name)
        progress.current = "fourd"
        return progress

    def take(
        self,
        event: Event,  # its picture is not looked at
        record: Mapping[str, Any],  # run.json's "stages"
        folder: Path,  # the run folder, where the pictures of skipped stages lie
        picture: Path | None = None,
        at: float = 0.0,  # when it happened, seconds
    ) -> None:
        """Note an event."""
        stage = self.stages[event.stage]
        if stage.state == "waiting":
            for name in STAGES[: STAGES.index(event.stage)]:
                self._end(name, record)
            stage.state, self.current = "running", event.stage
        stage.step, stage.total = event.step, event.total
        if event.warning:
            stage.warnings.append(event.message)
        else:
            stage.message = event.message or stage.message
        stage.marks.append((at, event.step))
        stage.picture = picture or stage.picture
        if event.metrics:
            stage.rows.append({"step": event.step, **event.metrics})
        if event.skipped:
            stage.state, stage.facts = "before", record.get(event.stage, {})
            stage.picture, stage.rows = _kept(folder, event.stage)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Every stage is done."""
        for name in STAGES:
            self._end(name, record)
        self.current = "fourd"

    def halt(self, state: str) -> None:
        """The running stage goes no further: "stopped" or "failed"."""
        stage = self.stages[self.current]
        if stage.state == "running" or state == "failed":
            stage.state = state

    def _end(self, name: str, record: Mapping[str, Any]) -> None:
        stage = self.stages[name]
        if stage.state == "running":
            stage.state, stage.facts = "done", record.get(name, {})

    def is_done(self, stage: str) -> bool:
        return self.stages[stage].state in ("done", "before")

    @property
    def warnings(self) -> list[str]:
        """What the visitor should know, each sentence once, also from stages done before."""
        every = [
            warning
            for stage in self.stages.values()
            for warning in (*stage.warnings, *stage.facts.get("warnings", ()))
        ]
        return list(dict.fromkeys(every))

    @property
    def seconds(self) -> float:
        return sum(stage.facts.get("seconds", 0.0) for stage in self.stages.values())

    def engines(self) -> str:
        """Who did what, in one sentence."""
        names = [
            f"{NOUNS[name]} {ENGINES.get(stage.facts['engine'], stage.facts['engine'])}"
            for name, stage in self.stages.items()
            if "engine" in stage.facts
        ]
        return f"Engines: {', '.join(names)}." if names else ""

    def strip(self) -> str:
        """The cards of all stages, and the warnings so far."""
        cards = (
            _card(title, what, [self.stages[name] for name in names])
            for title, names, what in CARDS
        )
        warnings = "".join(f"<li>{html.escape(warning)}</li>" for warning in self.warnings)
        return (
            f'<ol class="strip" aria-label="Stages">{"".join(cards)}</ol>'
            f'<ul class="warnings">{warnings}</ul>'
        )

    def live(self) -> str:
        """The newest picture of the running stage with its figures and curves."""
        stage = self.stages[self.current]
        if stage.picture is None and not stage.rows:
            return ""
        figures = _figures(stage)
        curves = _curve(stage.rows, "psnr", "PSNR, dB") + _curve(stage.rows, "loss", "Loss")
        picture, shape, words = "", "is-wide", stage.message
        if stage.picture is not None:
            picture = f"<figure>{_image(stage.picture, 'Newest picture')}</figure>"
            width, height = _size(stage.picture)
            shape = "is-wide" if width > 2 * height else ""
            words = PICTURED.get(self.current, stage.message)
        title = html.escape(CARD_OF[self.current])
        return (
            f'<section class="live {shape}">{picture}<div><h3>{title}</h3>'
            f'<p>{html.escape(words)}</p><dl class="figures">{figures}</dl>'
            f'<div class="curves">{curves}</div></div></section>'
        )


def _kept(folder: Path, stage: str) -> tuple[Path | None, list[dict[str, float]]]:
    """The picture and the rows of figures that a finished stage left in the run folder."""
    picture, rows = folder / f"previews/{stage}.jpg", folder / f"previews/{stage}.json"
    return (
        picture if picture.exists() else None,
        json.loads(rows.read_text()) if rows.exists() else [],
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them: 0.4 s, 12 s, 3 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _card(title: str, what: str, parts: list[StageState]) -> str:
    """One card for one or two stages; it is as far as the part that is at work."""
    running = next((p for p in parts if p.state in ("running", "stopped", "failed")), None)
    if running:
        state = running.state
    elif any(part.state == "waiting" for part in parts):
        state = "waiting" if parts[0].state == "waiting" else "running"
    else:
        state = "before" if all(part.state == "before" for part in parts) else "done"
    seconds = sum(part.facts.get("seconds", 0.0) for part in parts)
    note = what
    if state == "running" and running:
        note = _pace(running)
    elif state in ("done", "before"):
        engines = [part.facts["engine"] for part in parts if "engine" in part.facts]
        note = "; ".join(ENGINES.get(engine, engine) for engine in engines) or what
    label = STATES[state] + (f" in {duration(seconds)}" if state == "done" and seconds else "")
    done = running.step / running.total if running and running.total else 0.0
    share = 1.0 if state in ("done", "before") else done
    shots = [part.picture for part in parts if part.picture is not None]
    shot = _image(shots[0], f"{title}: newest picture") if shots else ""
    return (
        f'<li class="card is-{state}" data-card="{title}" data-state="{state}">'
        f'<div class="shot">{shot}</div><h3>{title}</h3><p class="state">{label}</p>'
        f'<div class="bar"><i style="width:{share:.1%}"></i></div>'
        f'<p class="note">{html.escape(note)}</p></li>'
    )


def _pace(stage: StageState) -> str:
    """Where a running stage is: step of total and time left."""
    if not stage.total:
        return stage.message
    text = f"{stage.step:,} of {stage.total:,}"
    if stage.rate and stage.step < stage.total:
        text += f", {duration((stage.total - stage.step) / stage.rate)} left"
    return text


def _figures(stage: StageState) -> str:
    newest = {name: value for row in stage.rows for name, value in row.items()}
    known = {
        "PSNR": f"{newest['psnr']:.1f} dB" if "psnr" in newest else None,
        "Loss": f"{newest['loss']:.4g}" if "loss" in newest else None,
        "Gaussians": f"{newest['gaussians']:,.0f}" if "gaussians" in newest else None,
        "Speed": f"{stage.rate:.1f} steps/s" if stage.rate and stage.state == "running" else None,
        "Time": duration(stage.facts["seconds"]) if "seconds" in stage.facts else None,
    }
    return "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in known.items() if v)


def _curve(rows: Iterable[Mapping[str, float]], name: str, label: str) -> str:
    """One metric over the steps as a small inline drawing."""
    points = [(row["step"], row[name]) for row in rows if name in row and np.isfinite(row[name])]
    points = points[:: max(1, len(points) // CURVE_POINTS)]
    if len(points) < 3:
        return ""
    steps, values = np.array(points, float).T
    x = (steps - steps[0]) / max(steps[-1] - steps[0], 1e-9) * 300
    y = 56 - (values - values.min()) / max(np.ptp(values), 1e-9) * 52
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return (
        f'<figure class="curve"><figcaption>{label}<span>{values.min():.4g} to '
        f'{values.max():.4g}</span></figcaption><svg viewBox="0 0 300 60" role="img" '
        f'aria-label="{label} over the steps" preserveAspectRatio="none">'
        f'<polyline points="{path}"/></svg></figure>'
    )


def _image(path: Path, alt: str) -> str:
    width, height = _size(path)
    return (
        f'<img alt="{html.escape(alt)}" src="{served_anew(path)}" width="{width}" '
        f'height="{height}">'
    )


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture, from its first bytes."""
    with Image.open(path) as image:
        return image.size
