"""Classical matting against true mattes: cut-out objects in front of twelve synthetic backgrounds.

python -m benchmarks.matting [CASE ...] [--only white,wood] [--frames 24] [--size 512]

A case is any input of `generate` with an alpha channel. It is composed over each background with
sensor noise, encoded as H.264 and read back as a user's clip would be.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import tyro

from benchmarks import matting_backgrounds
from ds4d import clip
from ds4d.config import ClipConfig
from ds4d.matting import classical
from ds4d.run.events import Event, Stage, result

OCTOPUS = Path(__file__).parents[1] / "examples" / "clips" / "octopus.webp"
NOISE = 2.5  # grey levels, standard deviation
CRF = 23  # of x264


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]] = (OCTOPUS,)
    """clips or case folders with an alpha channel"""
    only: str = ",".join(matting_backgrounds.NAMES)
    """backgrounds, by commas"""
    frames: int = 24
    """frames of each clip"""
    size: int = 512
    """side of the frames, pixels"""
    json: Path | None = None
    """file for the rows as JSON"""


def measure(case: Path, name: str, frames: int, size: int) -> dict:
    """One case before one background.

    Returns: iou: mean over the frames of the masks' intersection over union, and iou_min the worst
        frame's; edge: mean error of opacity within 3 pixels of the true edge; flicker: mean change
        of opacity against the frame before, moved along the true picture's flow, as a share of the
        object's area, and flicker_true the same of the true mattes; seconds of processor time per
        frame; the warnings that were given.
    """
    colors, opacity = _object(case, frames, size)
    pictures, truth = matting_backgrounds.compose(name, colors, opacity)
    seen = _recorded(pictures)
    started = time.process_time()
    warnings, alphas = _finished(classical.run(seen))
    seconds = (time.process_time() - started) / len(seen)
    found = alphas / np.float32(255)
    ious = _iou(found, truth)
    flows = _flows(pictures)
    return {
        "case": case.resolve().stem, "background": name,
        "iou": round(float(ious.mean()), 4), "iou_min": round(float(ious.min()), 4),
        "edge": round(_edge_error(found, truth), 4),
        "flicker": round(_flicker(found, flows), 4),
        "flicker_true": round(_flicker(truth, flows), 4),
        "seconds": round(seconds, 3), "warnings": warnings,
    }  # fmt: skip


def _object(case: Path, frames: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours [T, S, S, 3] float32 in 0..255 and opacities [T, S, S] float32 of a case."""
    _, read = _finished(clip.read(case, ClipConfig(frames=frames)))
    if read.frames.shape[-1] != 4:
        raise SystemExit(f"{case} has no alpha channel.")
    layers = []
    for frame in read.frames.astype(np.float32):
        layer = np.dstack([frame[..., :3] * frame[..., 3:] / 255, frame[..., 3] / 255])
        layers.append(cv2.resize(layer, (size, size), interpolation=cv2.INTER_LINEAR))
    layers = np.stack(layers)
    opacity = layers[..., 3]
    return layers[..., :3] / np.maximum(opacity, 1e-3)[..., None], opacity


def _recorded(pictures: np.ndarray) -> np.ndarray:
    """Simulate camera and encoder: noise and H.264 on images [T, S, S, 3]; uint8."""
    noise = np.random.default_rng(0).normal(0, NOISE, pictures.shape)
    noisy = (pictures + noise + 0.5).clip(0, 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        size = noisy.shape[2], noisy.shape[1]
        writer = imageio_ffmpeg.write_frames(
            str(path), size, fps=24, quality=None, macro_block_size=2,
            output_params=["-crf", str(CRF)], ffmpeg_log_level="error",
        )  # fmt: skip
        writer.send(None)
        for frame in noisy:
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        return _finished(clip.read(path, ClipConfig(frames=len(noisy))))[1].frames


def _finished(stage: Stage) -> tuple[list[str], object]:
    """Run a stage to its end: its warnings and its result."""
    events: list[Event] = []
    value = result(stage, events.append)
    return [event.message for event in events if event.warning], value


# --- measures -----------------------------------------------------------------------------------


def _iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of each frame, [T]."""
    a, b = found > 0.5, truth > 0.5
    return (a & b).sum(axis=(1, 2)) / np.maximum(1, (a | b).sum(axis=(1, 2)))


def _edge_error(found: np.ndarray, truth: np.ndarray) -> float:
    kernel = np.ones((7, 7), np.uint8)
    errors = []
    for a, b in zip(found, truth, strict=True):
        solid = (b > 0.5).astype(np.uint8)
        edge = cv2.dilate(solid, kernel) != cv2.erode(solid, kernel)
        errors.append(np.abs(a - b)[edge].mean())
    return float(np.mean(errors))


def _flows(pictures: np.ndarray) -> list[np.ndarray]:
    """Backward flow: position of each pixel in the previous frame, T - 1 maps [S, S, 2] float32."""
    grey = [cv2.cvtColor(p.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY) for p in pictures]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    y, x = np.mgrid[: grey[0].shape[0], : grey[0].shape[1]].astype(np.float32)
    flows = [dis.calc(now, before, None) for before, now in zip(grey, grey[1:], strict=False)]
    return [np.dstack([x + flow[..., 0], y + flow[..., 1]]) for flow in flows]


def _flicker(alphas: np.ndarray, flows: list[np.ndarray]) -> float:
    changes = [
        np.abs(now - cv2.remap(before, flow, None, cv2.INTER_LINEAR)).sum() / max(1, now.sum())
        for before, now, flow in zip(alphas, alphas[1:], flows, strict=False)
    ]
    return float(np.mean(changes))


def main(options: Options) -> None:
    cv2.setNumThreads(1)
    rows = []
    for case in options.cases:
        for name in options.only.split(","):
            rows.append(measure(case, name, options.frames, options.size))
            print(json.dumps(rows[-1]), flush=True)
    columns = [name for name in rows[0] if name != "warnings"]
    print("\n| " + " | ".join(columns) + " | warned |\n|" + "---|" * (len(columns) + 1))
    for row in rows:
        cells = [str(row[name]) for name in columns] + ["yes" if row["warnings"] else ""]
        print("| " + " | ".join(cells) + " |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
