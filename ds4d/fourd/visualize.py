"""Visualizations of the method (paper figure 8): dynamic features over the frames, and the fusion
weights of the views."""

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
MAX_VIEWS = 7  # shown, evenly spaced, of more
TOP_QUANTILE = 0.995  # of the heat, at the top of the scale
HIDDEN = 0.88  # grey of Gaussians that a view does not see


def write(
    asset: Asset,
    images: np.ndarray,  # [T, V, S, S, 4] uint8
    features: Tensor,  # [T, V, h, w, D]
    workspace: Workspace,
    rasterizer: str = "auto",
) -> None:
    """Write previews/dynamics.mp4 of runs with DSFD and previews/scores.jpg of runs with TSSF;
    files of earlier runs are removed."""
    for name in ("dynamics.mp4", "scores.jpg"):
        workspace.remove(f"previews/{name}")
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
    """Heat maps of the norms of the tokens' dynamic parts (eq. 2), over the views; one scale."""
    views = _shown(images.shape[1])
    heat = _heat(features[:, views], config)
    legend = _legend("moves", "still")
    for frame, maps in zip(images[:, views], heat, strict=True):
        pictures = [_overlay(*pair) for pair in zip(_resized(over(frame)), maps, strict=True)]
        yield tile(np.stack([*pictures, legend]), columns=4)


@torch.no_grad()
def scores(
    asset: Asset,
    images: np.ndarray,  # [T, V, S, S, 4] uint8
    rasterizer: str = "auto",
) -> np.ndarray:  # [H, W, 3] uint8
    """The views of the frame that differs most from the middle one, and below each the Gaussians of
    that frame from the same camera, coloured by the view's fusion weights (eq. 3)."""
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
        colors[asset.lookup.visible[view].cpu().numpy() == 0] = HIDDEN
        colored = replace(splats, colors=torch.from_numpy(colors).to(splats.means.device))
        drawn.append(render(colored, cameras[view], backend=rasterizer)[0][0])
    drawn = (torch.stack(drawn).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    blank = np.full_like(drawn[0], 255)
    pictures = _resized(over(images[frame, views]))
    legend = _legend(f"{float(weights.max()):.0%}", "0%")
    return tile(np.stack([*pictures, blank, *drawn, legend]), columns=len(views) + 1)


def _shown(views: int) -> list[int]:
    """Indices of the views that are shown."""
    return np.linspace(0, views - 1, min(views, MAX_VIEWS)).round().astype(int).tolist()


def _heat(features: Tensor, config: FourdConfig) -> np.ndarray:
    """Norms of the dynamic features, [T, V, h, w] in [0, 1]."""
    lengths = []
    for view in features.split(1, 1):  # one at a time: decoupling triples the memory
        dynamic = decouple(view, config.projection, config.reference)[..., features.shape[-1] :]
        lengths.append(dynamic.norm(dim=-1))
    heat = torch.cat(lengths, 1).cpu().numpy()
    return np.clip(heat / max(np.quantile(heat, TOP_QUANTILE), 1e-6), 0, 1)


def _farthest(asset: Asset) -> int:
    """The frame in which the Gaussians are farthest from their places in the middle one."""
    places = [asset.splats(float(position)).means for position in asset.positions]
    middle = places[len(places) // 2]
    return int(torch.stack([(means - middle).norm(dim=-1).mean() for means in places]).argmax())


def _overlay(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Overlay a grey image with the colours of a heat map [h, w] in [0, 1]."""
    heat = cv2.resize(heat, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    grey = picture.mean(-1, keepdims=True)
    share = 0.75 * np.minimum(1, 2 * heat)[..., None]  # static parts keep their grey
    return (grey * (1 - share) + _colors(heat) * share).astype(np.uint8)


def _colors(values: np.ndarray) -> np.ndarray:
    """Colours from blue at 0 to red at 1, [..., 3] uint8."""
    levels = (values.reshape(-1, 1) * 255).round().astype(np.uint8)
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1]
    return colors.reshape(*values.shape, 3)


def _resized(pictures: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in pictures])


def _legend(top: str, bottom: str) -> np.ndarray:
    """Colour scale with labels at its ends, [SIDE, SIDE, 3] uint8."""
    picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    scale = np.linspace(1, 0, SIDE - 40)[:, None].repeat(20, 1)
    picture[20:-20, 30:50] = _colors(scale)
    for text, row in ((top, 32), (bottom, SIDE - 22)):
        cv2.putText(picture, text, (60, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 60, 1, cv2.LINE_AA)
    return picture
