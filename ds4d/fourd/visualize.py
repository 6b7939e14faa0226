"""What the method looks at, as pictures (paper figure 8): dynamic features over the frames, and
what each view has to say about each Gaussian."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import imageio.v3 as iio
import numpy as np
import torch
from torch import Tensor

from ..clip.video import write_video
from ..config import FourdConfig
from ..images import over, tile
from ..run.workspace import Workspace
from ..splatting.splats import render
from .asset import Asset
from .dsfd import decouple

SIDE = 192  # of a view, pixels
SHOWN = 7  # views, of more
BRIGHTEST = 0.995  # share of all tokens that is not brighter than the top of the scale
UNSEEN = 0.88  # grey of Gaussians that a view does not see


def write(
    asset: Asset,
    images: np.ndarray,  # [T, V, S, S, 4] uint8
    features: Tensor,  # [T, V, h, w, D]
    workspace: Workspace,
    rasterizer: str = "auto",
) -> None:
    """previews/dynamics.mp4 where DSFD was at work, previews/scores.jpg where TSSF was; what an
    earlier run left goes."""
    for name in ("dynamics.mp4", "scores.jpg"):
        (workspace / "previews" / name).unlink(missing_ok=True)
    if asset.config.features == "dsfd":
        with workspace.replacing("previews/dynamics.mp4") as path:
            write_video(path, dynamics(images, features, asset.config), fps=12)
    if asset.config.features != "none":
        with workspace.replacing("previews/scores.jpg") as path:
            iio.imwrite(path, scores(asset, images, rasterizer), quality=90)


def dynamics(
    images: np.ndarray,  # [T, V, S, S, 4] uint8
    features: Tensor,  # [T, V, h, w, D]
    config: FourdConfig,
) -> Iterator[np.ndarray]:  # T pictures [H, W, 3] uint8
    """How long the dynamic part of each token is (eq. 2), over its view; one scale for all."""
    views = _shown(images.shape[1])
    heat = _heat(features[:, views], config)
    legend = _legend("moves", "still")
    for frame, maps in zip(images[:, views], heat, strict=True):
        pictures = [_warmed(*pair) for pair in zip(_resized(over(frame)), maps, strict=True)]
        yield tile(np.stack([*pictures, legend]), columns=4)


@torch.no_grad()
def scores(
    asset: Asset,
    images: np.ndarray,  # [T, V, S, S, 4] uint8
    rasterizer: str = "auto",
) -> np.ndarray:  # [H, W, 3] uint8
    """The views at the moment that is farthest from the middle frame, and below each the Gaussians
    of that moment, seen from there, in the colours of the view's weights (eq. 3)."""
    views = _shown(images.shape[1])
    frame = _farthest(asset)
    maps = asset.maps[frame].float()
    weights = asset.network.tssf.weights(maps, asset.lookup)  # [V, N]
    splats = asset.splats(float(asset.positions[frame]))
    cameras = asset.cameras.resized(SIDE, SIDE)
    drawn = []
    for view in views:
        share = (weights[view] / weights.max()).cpu().numpy()
        colors = _colors(share).astype(np.float32) / 255
        colors[asset.lookup.visible[view].cpu().numpy() == 0] = UNSEEN
        colored = replace(splats, colors=torch.from_numpy(colors).to(splats.means.device))
        drawn.append(render(colored, cameras[view], backend=rasterizer)[0][0])
    drawn = (torch.stack(drawn).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    blank = np.full_like(drawn[0], 255)
    pictures = _resized(over(images[frame, views]))
    legend = _legend(f"{float(weights.max()):.0%}", "0%")
    return tile(np.stack([*pictures, blank, *drawn, legend]), columns=len(views) + 1)


def _shown(views: int) -> list[int]:
    return np.linspace(0, views - 1, min(views, SHOWN)).round().astype(int).tolist()


def _heat(features: Tensor, config: FourdConfig) -> np.ndarray:
    """Lengths of the dynamic features, [T, V, h, w] in [0, 1]."""
    lengths = []
    for view in features.split(1, 1):  # decoupled, they take three times the memory
        dynamic = decouple(view, config.projection, config.reference)[..., features.shape[-1] :]
        lengths.append(dynamic.norm(dim=-1))
    heat = torch.cat(lengths, 1).cpu().numpy()
    return np.clip(heat / max(np.quantile(heat, BRIGHTEST), 1e-6), 0, 1)


def _farthest(asset: Asset) -> int:
    """The frame at which the Gaussians are farthest from where they are in the middle one."""
    places = [asset.splats(float(position)).means for position in asset.positions]
    middle = places[len(places) // 2]
    return int(torch.stack([(means - middle).norm(dim=-1).mean() for means in places]).argmax())


def _warmed(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture in grey under the colours of a map [h, w] in [0, 1]."""
    heat = cv2.resize(heat, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    grey = picture.mean(-1, keepdims=True)
    share = 0.75 * np.minimum(1, 2 * heat)[..., None]  # what is still keeps its grey
    return (grey * (1 - share) + _colors(heat) * share).astype(np.uint8)


def _colors(values: np.ndarray) -> np.ndarray:
    """From blue at 0 to red at 1, [..., 3] uint8."""
    levels = (values.reshape(-1, 1) * 255).round().astype(np.uint8)
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1]
    return colors.reshape(*values.shape, 3)


def _resized(pictures: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in pictures])


def _legend(top: str, bottom: str) -> np.ndarray:
    """The scale of colours beside its ends in words, [SIDE, SIDE, 3] uint8."""
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    scale = np.linspace(1, 0, SIDE - 40)[:, None].repeat(20, 1)
    picture[20:-20, 30:50] = _colors(scale)
    for text, row in ((top, 32), (bottom, SIDE - 22)):
        cv2.putText(picture, text, (60, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 60, 1, cv2.LINE_AA)
    return picture
