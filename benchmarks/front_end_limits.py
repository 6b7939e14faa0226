"""Limits of the embedded multi-view engine: python -m benchmarks.front_end_limits ASSETS

All animated objects on which the shape prior was not trained, each in the liveliest of its clips
from three sides (a three-quarter view of the front, one of the back, and a random one): views at
three moments from the held-out cameras, before any optimization, with parts of the estimate
replaced by the truth, and the error of the depth of the cameras' target. Every other object is for
decisions, the rest for the report. ASSETS holds the files that training/shape_prior/README.md
describes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from tyro.conf import Positional

from ds4d.cameras import orbit_cameras
from ds4d.multiview.inflate.model import assembled
from ds4d.multiview.shape_prior.inference import WEIGHTS, Prior, Told
from examples.make_case import HELD_OUT
from training.shape_prior.assets import Asset, read_folder, split, surface_points
from training.shape_prior.views import slants, splat

from .asset_cases import centred, draw, interpolated, liveliest, turned
from .front_end import Truth, best_shift, drawn, scores, shifted

SIDES = (45.0, 225.0)  # degrees that objects are turned to the left, beside a random angle
EVERY, MOMENTS = 2, (1, 5, 9)  # frames of a clip, and those of them that are compared
SIZE = 256  # pixels
POINTS = 250_000  # on an object, for its true surfaces
COLUMNS = ("billboard", "now", "one shift", "slant", "slant and shift", "middle surface")


@dataclass(frozen=True)
class Case:
    """A clip with its truth."""

    name: str
    group: str  # category of the object
    decides: bool
    frames: np.ndarray  # [T, SIZE, SIZE, 4] uint8
    middle: np.ndarray  # [T, SIZE, SIZE] depth midway between the surfaces from the origin, widths
    inside: np.ndarray  # [T, SIZE, SIZE] bool, pixels where it is known
    slants: np.ndarray  # [T] radians
    truth: Truth


def main(
    assets: Positional[Path],
    weights: Path = WEIGHTS,
    to: Path | None = None,
    only: str | None = None,
) -> None:
    """Measure all clips and print the table.

    Args:
        assets: folder of objects_*.npz and clips_*.npz.
        weights: of the shape prior.
        to: JSON file for a row for each clip.
        only: decide or report.
    """
    objects = [asset for asset in split(read_folder(assets))[1] if asset.clips]
    prior, rows = Prior.load(weights), []
    for index, asset in enumerate(sorted(objects, key=lambda asset: asset.key)):
        if only in (None, ("decide", "report")[index % 2]):
            turns = (*SIDES, 360 * np.random.default_rng(index).random())
            rows += [measure(prior, case_of(asset, turn, index % 2 == 0)) for turn in turns]
            print(json.dumps(rows[-1]), flush=True)
            if to:
                to.write_text(json.dumps(rows, indent=1))
    print("\n| objects | clips |", " | ".join(COLUMNS), "| target |")
    print("|---" * (3 + len(COLUMNS)) + "|")
    for half in ("decide", "report"):
        for group in ("", "animal", "human"):
            own = [row for row in rows if row["half"] == half and group in row["group"]]
            if own:
                means = [np.mean([row[column] for row in own], 0) for column in COLUMNS]
                cells = [f"{psnr:.1f} / {iou:.3f}" for psnr, iou in means]
                cells.append(f"{np.mean([row['target'] for row in own]):.3f}")
                print("|", " | ".join([f"{half} {group}", str(len(own)), *cells]), "|")


def case_of(asset: Asset, turn: float, decides: bool) -> Case:
    """The liveliest clip of an object that is turned to the left by an angle, degrees."""
    poses = turned(centred(interpolated(liveliest(asset))), np.radians(turn))[::EVERY]
    front, others = orbit_cameras([0.0], size=SIZE), orbit_cameras(HELD_OUT, size=SIZE)
    frames = np.concatenate([draw(asset, pose, front) for pose in poses])
    images = np.stack([draw(asset, poses[moment], others) for moment in MOMENTS])
    names = [f"heldout/az{azimuth:+04d}" for azimuth in HELD_OUT]
    truth = Truth(list(MOMENTS), others, names, images, None)
    middle, inside = true_middles(asset, poses, float(front.centres().norm()))
    leaning = slants(torch.from_numpy(middle), torch.from_numpy(inside)).numpy()
    name = f"{asset.name} {turn:.0f}"
    inside &= frames[..., 3] > 127
    return Case(name, asset.category, decides, frames, middle, inside, leaning, truth)


def true_middles(asset: Asset, poses: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Depths [T, SIZE, SIZE] midway between the first and the last surface, world units (which are
    widths of the frame) beyond the origin, and where there are any."""
    corners, weights = (array.numpy() for array in surface_points(asset, POINTS)[:2])
    points = (poses[:, corners] * weights[..., None]).sum(2)
    x, y, z = np.moveaxis(points, 2, 0)
    scale = distance / (distance + y)
    placed = tuple(torch.from_numpy(p[None]) for p in (x * scale + 0.5, 0.5 - z * scale, y))
    inside, *ends = splat(placed, SIZE)
    first, last = (placed[2].gather(2, end) for end in ends)
    shape = (len(poses), SIZE, SIZE)
    return ((first + last) / 2)[0].reshape(shape).numpy(), inside[0].reshape(shape).numpy()


def measure(prior: Prior, case: Case) -> dict:
    """PSNR-FG, dB, and IoU of each column, slants found and true, the error of the target."""
    told = prior(case.frames)
    leaning = prior(case.frames, slant=case.slants)
    half, off = (told.back - told.front) / 2, (told.back + told.front) / 2 - case.middle
    known = replace(told, front=case.middle - half, back=case.middle + half, target=0.0)
    pasted = case.frames[list(MOMENTS)][:, None].repeat(len(HELD_OUT), 1)
    row = {
        "case": case.name,
        "group": case.group,
        "half": "decide" if case.decides else "report",
        "slants": [round(float(np.degrees(s.mean())), 1) for s in (told.slants, case.slants)],
        "target": round(abs(float(told.target - off[case.inside].mean())), 4),
        "billboard": _score(pasted, case),
    }
    row["now"], row["one shift"], row["shift"] = _seen(told, case)
    row["slant"], row["slant and shift"], _ = _seen(leaning, case)
    row["middle surface"] = _seen(known, case)[0]
    return row


def _seen(told: Told, case: Case) -> tuple[tuple, tuple, float]:
    """Scores as told and after the best shift along the viewing direction, and the shift."""
    model = assembled(case.frames, told, orbit_cameras([0.0], size=SIZE))
    solids = [model.solid(moment) for moment in MOMENTS]
    shift = best_shift([solid.vertices for solid in solids], case.truth)
    moved = [replace(solid, vertices=shifted(solid.vertices, shift)) for solid in solids]
    pictures = [drawn(each, case.truth) for each in (solids, moved)]
    return *(_score(picture, case) for picture in pictures), round(float(shift), 3)


def _score(pictures: np.ndarray, case: Case) -> tuple[float, float]:
    found = scores(pictures, case.truth)
    return found["psnr_fg"], found["mask_iou"]


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
