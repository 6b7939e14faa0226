"""Evaluation protocol: renders from the held-out cameras of a case with truth, and their scores.

A case holds heldout/VIEW/0000.png ..., ground truth from still cameras that no stage has seen, and
orbit/0000.png ..., from a camera that circles the object while time plays; cameras.json holds their
poses. Renders of the asset get the same names and sizes in the evaluation folder, and scores are
computed from these files, so that any other program can verify them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..cameras import Cameras, concatenate, read_case_cameras
from ..errors import UserError
from ..fourd.asset import Asset
from ..images import over
from ..render.turntable import render_views
from ..run.events import Event, Stage, gathered
from ..run.parallel import each
from ..run.workspace import Workspace, replacing
from . import consistent4d, metrics


@dataclass(frozen=True)
class Shot:
    """Render to make for one ground-truth image."""

    name: str  # path in the case and in the evaluation folder: "heldout/az-075/0003.png"
    camera: Cameras  # one camera, at the size of the truth image
    position: float  # moment of the clip, in [0, 1]


@dataclass(frozen=True)
class Picture:
    """Image file, decoded for scoring."""

    color: np.ndarray  # [H, W, 3] float32 in [0, 1], over white
    mask: np.ndarray | None  # [H, W] bool, None for an image without alpha


def evaluate(
    asset: Asset,
    case: Path,
    folder: Path,
    rasterizer: str = "auto",
    workspace: Workspace | None = None,  # of the run; needed for Consistent4D's layout
) -> Stage[dict[str, Any]]:
    """Render the held-out and orbit views of a case into `folder`, and score them (`score`).

    Writes heldout/VIEW/NNNN.png and orbit/NNNN.png, RGBA with straight alpha; replaces the folder.
    Raises UserError for a case without truth or without cameras.
    """
    shots = sorted(case_shots(case), key=_moment)
    drawn = 0
    moved = asset.capture_to_world
    if workspace is not None and consistent4d.truth_sets(case):
        moved = consistent4d.placement(workspace)
    with replacing(folder) as aside:
        for (position, _), group in groupby(shots, _moment):  # one deformation per moment
            together = list(group)
            cameras = concatenate([shot.camera for shot in together])
            if moved is not None:
                cameras = moved.cameras(cameras)
            images = render_views(asset, cameras, [position] * len(together), rasterizer)
            for shot, image in zip(together, images, strict=True):
                path = aside / shot.name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path, compress_level=1)
            drawn += len(together)
            preview = over(images[0])
            yield Event("evaluation", drawn, 2 * len(shots), "rendering held-out views", preview)
    return (yield from score(folder, case))


def score(folder: Path, case: Path) -> Stage[dict[str, Any]]:
    """Score the images in `folder` against the truth of the case: the second half of `evaluate`.

    Returns the name of the case and, for "heldout" and "orbit", means of the image metrics and the
    number of images. "heldout" also has "motion_fraction" (share of pixels that move), the motion
    metrics as means over views, and the same by view in "per_view". Values are rounded to 4 digits;
    None where there is no alpha, or no motion, to measure.
    """
    sets = truth_sets(case)
    total = sum(map(len, sets.values()))
    scores: dict[str, list[dict[str, float]]] = {}
    motions: dict[str, dict[str, float | None]] = {}
    done = 0
    for name, files in sets.items():
        predictions = list(each(read_picture, (folder / file for file in files)))
        truths = list(each(read_picture, (case / file for file in files)))
        progress = Event("evaluation", total + done, 2 * total, f"scoring {name}")
        scores[name] = yield from gathered(each(image_metrics, predictions, truths), progress)
        done += len(files)
        if name != "orbit":
            motions[name] = motion_metrics(predictions, truths)

    views = [name for name in sets if name != "orbit"]
    result: dict[str, Any] = {"case": case.absolute().name}
    result["heldout"] = {
        **_means([image for name in views for image in scores[name]]),
        **{metric: _mean([motions[v][metric] for v in views]) for metric in motions[views[0]]},
        "per_view": {
            name.removeprefix("heldout/"): {
                **_means(scores[name]),
                **{metric: _mean([value]) for metric, value in motions[name].items()},
            }
            for name in views
        },
    }
    if "orbit" in scores:
        result["orbit"] = _means(scores["orbit"])
    return result


def truth_sets(case: Path) -> dict[str, list[str]]:
    """Ground-truth images of a case by set ("heldout/VIEW", "orbit"), as relative paths.

    Raises UserError if the case has none.
    """
    if sets := consistent4d.truth_sets(case):
        return sets
    folders = [*sorted((case / "heldout").glob("*")), case / "orbit"]
    sets = {
        folder.relative_to(case).as_posix(): sorted(
            path.relative_to(case).as_posix() for path in folder.glob("*.png")
        )
        for folder in folders
    }
    sets = {name: files for name, files in sets.items() if files}
    if not any(name.startswith("heldout/") for name in sets):
        raise UserError(
            f"The case {case.name} has no ground truth.",
            "Give a case folder with images in heldout/VIEW/0000.png and so on.",
        )
    return sets


def case_shots(case: Path) -> list[Shot]:
    """List a shot for every ground-truth image of a case, ordered by name.

    Frame k of n is at position k / (n - 1). NNNN.png of a still view is frame NNNN; the cameras of
    the orbit are named orbit/NNNN, and their entries state the frame.
    """
    sets = truth_sets(case)
    if consistent4d.truth_sets(case):
        return _consistent4d_shots(case, sets)
    path = case / "cameras.json"
    if not path.exists():
        raise UserError(
            f"The case {case.name} has no camera poses.",
            "A case needs a cameras.json beside its images.",
        )
    try:
        cameras = read_case_cameras(path)
        description = json.loads(path.read_text())
        frames = {entry["name"]: entry.get("frames", "all") for entry in description["cameras"]}
        last = max(description["n_frames"] - 1, 1)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"The cameras.json of the case {case.name} is not valid: {error}.",
            "It needs n_frames and, for each camera, name, frames, c2w_opengl, fov_deg and size.",
        ) from error
    shots = []
    for name, files in sets.items():
        for file in files:
            number = Path(file).stem
            camera = f"orbit/{number}" if name == "orbit" else name
            if camera not in cameras:
                raise UserError(
                    f"The cameras.json of the case {case.name} has no camera named {camera}.",
                    f"Add it, or remove {file}.",
                )
            frame = int(number) if frames[camera] == "all" else frames[camera][0]
            with Image.open(case / file) as image:
                resized = cameras[camera].resized(*image.size)
            shots.append(Shot(file, resized, frame / last))
    return shots


def _consistent4d_shots(case: Path, sets: dict[str, list[str]]) -> list[Shot]:
    """Shots of Consistent4D's layout: the k-th of n images of a view is at position k / (n - 1)."""
    shots = []
    for name, files in sets.items():
        with Image.open(case / files[0]) as image:
            camera = consistent4d.cameras(image.width)[int(name[-1])]
        last = max(len(files) - 1, 1)
        shots += [Shot(file, camera, frame / last) for frame, file in enumerate(files)]
    return shots


def _moment(shot: Shot) -> tuple[float, tuple[int, int]]:
    """Key of shots that can be rendered together: moment and image size."""
    return shot.position, (shot.camera.width, shot.camera.height)


def read_picture(path: Path) -> Picture:
    with Image.open(path) as image:
        mode = "RGBA" if image.has_transparency_data else "RGB"
        return Picture(*metrics.on_white(np.asarray(image.convert(mode))))


def image_metrics(prediction: Picture, truth: Picture) -> dict[str, float]:
    """Image metrics; those that need alpha are left out where it is missing."""
    scores = {
        "psnr": metrics.psnr(prediction.color, truth.color),
        "ssim": metrics.ssim(prediction.color, truth.color),
    }
    if truth.mask is not None:
        scores["psnr_fg"] = metrics.psnr_fg(
            prediction.color, truth.color, prediction.mask, truth.mask
        )
        if prediction.mask is not None:
            scores["mask_iou"] = metrics.mask_iou(prediction.mask, truth.mask)
    return scores


def motion_metrics(predictions: list[Picture], truths: list[Picture]) -> dict[str, float | None]:
    """Motion metrics of the images of one still camera."""
    prediction = np.stack([picture.color for picture in predictions])
    truth = np.stack([picture.color for picture in truths])
    return {
        "motion_fraction": float(metrics.motion_region(truth).mean()),
        "motion_psnr": metrics.motion_psnr(prediction, truth),
        "motion_psnr_frame": metrics.motion_psnr_frame(prediction, truth),
        "temporal_psnr": metrics.temporal_psnr(prediction, truth),
    }


def _means(images: list[dict[str, float]]) -> dict[str, float | None]:
    """Means over images; the IoU is None if any image lacks one."""
    metrics = {metric: None for image in images for metric in image}  # ordered
    means = {metric: _mean([image.get(metric) for image in images]) for metric in metrics}
    means.setdefault("psnr_fg", None)
    if any("mask_iou" not in image for image in images):
        means["mask_iou"] = None
    return {**means, "images": len(images)}


def _mean(values: list[float | None]) -> float | None:
    """Mean of the values that are not None, rounded to 4 digits."""
    present = [value for value in values if value is not None]
    return round(float(np.mean(present)), 4) if present else None
