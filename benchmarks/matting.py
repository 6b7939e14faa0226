"""Classical matting against true mattes: cut-out objects in front of twelve synthetic backgrounds.

python -m benchmarks.matting [CASE ...] [--only white,wood] [--frames 24] [--size 512]
python -m benchmarks.matting --assets FOLDER --half report --size 384

A case is any input of `generate` with an alpha channel, or one of the shape prior's held-out
objects that move. It is composed over each background with sensor noise, encoded as H.264 and read
back as a user's clip would be.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import imageio_ffmpeg
import numpy as np
import tyro

from benchmarks import asset_cases, matting_backgrounds
from ds4d import clip
from ds4d.cameras import orbit_cameras
from ds4d.clip import squares
from ds4d.config import ClipConfig
from ds4d.matting import camera, classical
from ds4d.run.events import Event, Stage, result
from training.shape_prior.assets import CLIP_POSES, Asset, read_folder, split

OCTOPUS = Path(__file__).parents[1] / "examples" / "clips" / "octopus.webp"
NOISE = 2.5  # grey levels, standard deviation
CRF = 23  # of x264
MEASURES = ("iou", "iou_min", "thin", "edge", "seconds")
THIN = 0.04  # of the image's size; widest limb that counts as thin


@dataclasses.dataclass(frozen=True)
class Options:
    cases: tyro.conf.Positional[tuple[Path, ...]] = (OCTOPUS,)
    """clips or case folders with an alpha channel"""
    assets: Path | None = None
    """folder of the shape prior's objects; the cases are the held-out animated ones of them"""
    half: Literal["both", "decide", "report"] = "both"
    """half of those objects: one to decide on, one to report"""
    only: str = ",".join(matting_backgrounds.NAMES)
    """backgrounds, by commas"""
    frames: int = 24
    """frames of each clip; a held-out object's clip has eight"""
    size: int = 512
    """side of the frames, pixels"""
    json: Path | None = None
    """file for the rows as JSON"""


def measure(case: str, colors: np.ndarray, opacity: np.ndarray, name: str) -> dict:
    """One object before one background.

    Args:
        case: name of the object.
        colors: [T, S, S, 3] float32 in 0..255.
        opacity: [T, S, S] float32 in 0..1.
        name: the background's.

    Returns: iou: mean over the frames of the masks' intersection over union, and iou_min the worst
        frame's; thin: the same around thin limbs alone; edge: mean error of opacity within 3 pixels
        of the true edge; flicker: mean change of opacity against the frame before, moved along the
        true picture's flow, as a share of the object's area, and flicker_true the same of the true
        mattes; seconds of processor time per frame; the warnings that were given. Where the camera
        drifts, also unsteady: how far the object wanders in its squares and would not before a
        camera that stands still, and unsteady_fixed the same with one square for all frames.
    """
    pictures, truth = matting_backgrounds.compose(name, colors, opacity)
    seen = _recorded(pictures)
    started = time.process_time()
    warnings, alphas = _finished(classical.run(seen))
    seconds = (time.process_time() - started) / len(seen)
    found = alphas / np.float32(255)
    ious = _iou(found, truth)
    flows = _flows(pictures)
    return {
        "case": case, "background": name,
        "iou": round(float(ious.mean()), 4), "iou_min": round(float(ious.min()), 4),
        "thin": _thin_iou(found, truth),
        "edge": round(_edge_error(found, truth), 4),
        "flicker": round(_flicker(found, flows), 4),
        "flicker_true": round(_flicker(truth, flows), 4),
        "seconds": round(seconds, 3), "warnings": warnings,
        **(_unsteady(seen, alphas, truth, opacity) if name == "drift" else {}),
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


def _drawn(asset: Asset, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One of an object's clips from a random side, as `_object` returns it."""
    rng = np.random.default_rng(seed)
    first = CLIP_POSES * rng.integers(asset.clips)
    turn, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0, 15)
    poses = asset_cases.centred(asset.poses[first : first + CLIP_POSES])
    camera = orbit_cameras([0], elevation, size=size)
    frames = [asset_cases.draw(asset, p, camera)[0] for p in asset_cases.turned(poses, turn)]
    rgba = np.stack(frames).astype(np.float32)
    return rgba[..., :3], rgba[..., 3] / 255


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


def _unsteady(
    seen: np.ndarray,  # [T, S, S, 3] uint8
    alphas: np.ndarray,  # [T, S, S] uint8, found
    truth: np.ndarray,  # [T, S, S] true mattes, before a camera that drifts
    still: np.ndarray,  # [T, S, S] true mattes, before one that stands still
) -> dict[str, float]:
    """Root mean square of the true object's way in its squares against the way before a camera that
    stands still, in sides of a square of the object's area."""
    chosen = squares.choose(alphas, ClipConfig().margin, camera.motion(seen, alphas))
    extent = np.sqrt((still > 0.5).sum(axis=(1, 2)).mean())
    way = _middles(truth) - _middles(still)

    def spread(way: np.ndarray) -> float:
        return round(float(np.sqrt(way.var(axis=0).sum()) / extent), 4)

    return {"unsteady": spread(way - chosen.places[:, :2]), "unsteady_fixed": spread(way)}


def _middles(mattes: np.ndarray) -> np.ndarray:
    """Centres of mass of mattes [T, S, S]: [T, 2], x and y."""
    y, x = np.mgrid[: mattes.shape[1], : mattes.shape[2]]
    mass = mattes.sum(axis=(1, 2))
    return (
        np.stack([(mattes * x).sum(axis=(1, 2)), (mattes * y).sum(axis=(1, 2))], 1) / mass[:, None]
    )


def _thin_iou(found: np.ndarray, truth: np.ndarray) -> float | None:
    """IoU around parts that are thinner than THIN of the image; None where there are none."""
    width = round(THIN * truth.shape[1])
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    common = either = 0
    for a, b in zip(found > 0.5, truth > 0.5, strict=True):
        solid = b.astype(np.uint8)
        thin = solid - cv2.morphologyEx(solid, cv2.MORPH_OPEN, disc)
        thin = cv2.morphologyEx(thin, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))  # no corners
        near = cv2.dilate(thin, disc) > 0
        near &= (solid == 0) | (thin > 0)
        common += (a & b & near).sum()
        either += ((a | b) & near).sum()
    return round(float(common / either), 4) if either else None


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


def _summary(rows: list[dict]) -> str:
    """Means over the kinds of backgrounds, as a table."""
    kinds = {
        "plain": matting_backgrounds.PLAIN,
        "textured, still": matting_backgrounds.TEXTURED[:-1],
        "textured, the camera drifts": matting_backgrounds.TEXTURED[-1:],
    }
    columns = ("backgrounds", "IoU", "worst clip", "worst frame", "thin", "edge", "seconds")
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for kind, names in kinds.items():
        chosen = [row for row in rows if row["background"] in names]
        if chosen:
            value = {key: [r[key] for r in chosen if r[key] is not None] for key in MEASURES}
            cells = [np.mean(value["iou"]), min(value["iou"]), min(value["iou_min"])]
            cells += [np.mean(value[key] or np.nan) for key in ("thin", "edge", "seconds")]
            lines.append(f"| {kind} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    return "\n".join(lines)


def _objects(options: Options) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, colours and opacities of each object."""
    if options.assets is None:
        for case in options.cases:
            yield case.resolve().stem, *_object(case, options.frames, options.size)
        return
    _, held_out = split(read_folder(options.assets))
    animated = sorted((asset for asset in held_out if asset.clips), key=lambda asset: asset.key)
    for seed, asset in enumerate(animated):
        if options.half in ("both", ("decide", "report")[seed % 2]):
            yield asset.name, *_drawn(asset, options.size, seed)


def main(options: Options) -> None:
    cv2.setNumThreads(1)
    rows = []
    for case, colors, opacity in _objects(options):
        for name in options.only.split(","):
            rows.append(measure(case, colors, opacity, name))
            print(json.dumps(rows[-1]), flush=True)
    print("\n" + _summary(rows))
    if options.json:
        lines = ",\n".join(json.dumps(row) for row in rows)
        options.json.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
