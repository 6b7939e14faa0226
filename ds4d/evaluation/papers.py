"""Scores of the papers, from the images of an evaluation folder and from the asset itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..cameras import orbit_cameras
from ..config import MachineConfig
from ..errors import UserError
from ..fourd.asset import Asset
from ..images import over
from ..render.turntable import render_views
from ..run.device import pick, release
from ..run.events import Event, Stage
from ..weights import fetching
from . import frechet, metrics, networks, protocol

WEIGHTS = {
    "clip": networks.CLIP, "lpips": "lpips-vgg16", "fvd": networks.I3D_WEIGHTS,
    "fvd-sets": networks.I3D_WEIGHTS, "fid-vid": networks.INCEPTION,
    "clip-t": networks.CLIP_LAION, "clip-d": networks.CLIP_LAION,
}  # fmt: skip
OF_ASSET = ("clip-t", "clip-d")  # rendered anew; the others compare files with the truth
OF_SETS = ("fvd-sets", "fid-vid")  # Frechet distances of all videos or frames together
CLIP_T_AZIMUTHS = {"front": 0.0, "back": 180.0, "side": 90.0}
VIEWPOINTS = 10  # of clip-d, around the object, in every frame
SIZE = 512  # pixels; of these renders

Score = Callable[[np.ndarray, np.ndarray], float]  # frames of a view and their truth [T, H, W, 3]


def score(
    names: tuple[str, ...],
    folder: Path,  # as `protocol.evaluate` writes it
    case: Path,
    asset: Asset,
    frames: np.ndarray,  # [T, S, S, 4] uint8, the cut-out input
    machine: MachineConfig,
) -> Stage[dict[str, Any]]:
    """Scores by name: the mean over frames and held-out views, or of the asset's own renders.

    clip, ms-ssim: higher is better. All others: lower is better.

    Raises:
        UserError: weights are missing or do not fit.
    """
    found: dict[str, Any] = {}
    for number, name in enumerate(names):
        yield Event("evaluation", number, len(names), name)
        if name in WEIGHTS:
            yield from fetching("evaluation", WEIGHTS[name], machine.weights)
        if name in OF_ASSET:
            found[name] = _of_asset(name, asset, frames, machine)
        elif name in OF_SETS:
            found[name] = of_sets(name, list(views(folder, case)), machine)
        else:
            measure = _measure(name, machine)
            found[name] = round(float(np.mean([measure(*pair) for pair in views(folder, case)])), 4)
        release()
    yield Event("evaluation", len(names), len(names), "done")
    return found


def views(folder: Path, case: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Predicted and true frames of each held-out view, over white, [T, H, W, 3] uint8 twice."""
    for name, files in protocol.truth_sets(case).items():
        if name != "orbit":
            yield tuple(np.stack([_on_white(place / file) for file in files])
                        for place in (folder, case))  # fmt: skip


def of_sets(
    name: str,
    pairs: list[tuple[np.ndarray, np.ndarray]],  # frames of a view and their truth
    machine: MachineConfig,
) -> Any:
    """A Frechet distance of sets, of as many views as there are.

    fvd-sets: of the logits of all videos. fid-vid: of Inception's features of frames, "views" as a
    mean over views, "pooled" of the frames of all views together.

    Raises:
        UserError: there is a single video.
    """
    device = pick(machine.device)
    if name == "fvd-sets":
        if len(pairs) < 2:
            raise UserError(
                "A distance of sets needs at least two videos.", "Leave fvd-sets out of --metrics."
            )
        i3d = networks.load_i3d(machine.weights, device)
        sets = [np.stack([networks.video_logits(i3d, video) for video in videos])
                for videos in zip(*pairs, strict=True)]  # fmt: skip
        return round(frechet.of_sets(*sets), 4)
    embed = networks.inception_features(networks.load_inception(machine.weights, device))
    seen = [(embed(own), embed(true)) for own, true in pairs]
    own, true = (np.concatenate(side) for side in zip(*seen, strict=True))
    each = [frechet.of_sets(*view) for view in seen]
    return {"views": round(float(np.mean(each)), 4), "pooled": round(frechet.of_sets(own, true), 4)}


def _measure(name: str, machine: MachineConfig) -> Score:
    """The mean of a metric over the frames of one view, with its network loaded."""
    device = pick(machine.device)
    if name == "clip":
        embed = networks.clip_features(networks.load_clip(networks.CLIP, machine.weights, device))
        return lambda own, true: float(networks.cosine(embed(own), embed(true)).mean())
    if name == "fvd":
        i3d = networks.load_i3d(machine.weights, device)
        return lambda own, true: frechet.of_pair(
            networks.video_logits(i3d, own), networks.video_logits(i3d, true)
        )
    if name == "lpips":
        one = networks.load_lpips(machine.weights, device)
    else:
        similarity = metrics.ms_ssim
        one = similarity if name == "ms-ssim" else lambda a, b: (1 - similarity(a, b)) / 2
    return lambda own, true: float(np.mean([one(*pair) for pair in zip(own, true, strict=True)]))


def _of_asset(name: str, asset: Asset, frames: np.ndarray, machine: MachineConfig) -> Any:
    """4DGen's measures: of neighbouring frames from three sides, or of all sides with the input."""
    device = pick(machine.device)
    network = networks.load_clip(networks.CLIP_LAION, machine.weights, device)
    embed = networks.clip_features_4dgen(network)

    def seen(azimuth: float) -> np.ndarray:
        """Features of all frames from one side, [T, D]."""
        cameras = orbit_cameras([azimuth], size=SIZE)
        renders = [render_views(asset, cameras, [position], machine.rasterizer)[0]
                   for position in asset.positions.tolist()]  # fmt: skip
        return embed(over(np.stack(renders)))

    if name == "clip-t":
        sides = {side: seen(azimuth) for side, azimuth in CLIP_T_AZIMUTHS.items()}
        return {side: round(float(networks.spherical(f[:-1], f[1:]).mean()), 5)
                for side, f in sides.items()}  # fmt: skip
    reference = embed(over(frames))
    around = [seen(azimuth) for azimuth in np.arange(VIEWPOINTS) * 360 / VIEWPOINTS]
    return round(float(np.mean([networks.spherical(side, reference) for side in around])), 5)


def _on_white(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    return over(pixels) if pixels.shape[-1] == 4 else pixels
