"""Contact sheets of held-out objects: the truth, the network's shells and inflated ones, all round.

python -m training.shape_prior.sheets --assets ASSETS --out sheet.png --names pig stag
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from ds4d.multiview.shape_prior.inference import GROUP, WEIGHTS, Prior

from .assets import read_folder, split
from .motion import Variation
from .validate import ROUND, inflated
from .views import PointClouds, render_clips, splat

AZIMUTHS = (0, 45, 90, 135, 180, 270)  # degrees
DISTANCE = 0.5 / math.tan(math.radians(15))  # of the camera, in widths of the frame
FINER = 3  # points along a pixel
RIM = 30  # points between the first and the last surface along the outline
PAPER = 0.92  # grey behind the objects


@dataclass(frozen=True)
class Sheets:
    """Settings."""

    assets: Path
    out: Path
    names: tuple[str, ...]
    weights: Path = WEIGHTS
    seed: int = 0
    size: int = 160
    points: int = 150_000


def main(settings: Sheets) -> None:
    """Write one sheet: three rows for each object."""
    _, held_out = split(read_folder(settings.assets))
    by_name = {asset.name: asset for asset in held_out}
    assets = [by_name[name] for name in settings.names]
    prior, clouds = Prior.load(settings.weights), PointClouds(assets, settings.points)
    rows = []
    for index in range(len(assets)):
        rows += compare(prior, clouds, index, settings)
    Image.fromarray((np.concatenate(rows) * 255).astype(np.uint8)).save(settings.out)


def compare(prior: Prior, clouds: PointClouds, index: int, settings: Sheets) -> list[np.ndarray]:
    """Rows of the truth, the network and inflation."""
    front = 2 * math.pi * np.random.default_rng([settings.seed, index]).random()
    views = []
    for azimuth in AZIMUTHS:
        rng = torch.Generator().manual_seed(index)  # the same moments from all sides
        views.append(
            render_clips(
                clouds,
                torch.tensor([index]),
                GROUP if azimuth == 0 else 1,
                settings.size,
                rng,
                Variation.none(),
                torch.tensor([front + math.radians(azimuth)]),
                0.0,
            )
        )
    images = views[0].images[0].movedim(1, -1)  # [T, S, S, 4]
    straight = images[..., :3] / images[..., 3:].clamp(min=1e-3)
    frames = torch.cat([straight, images[..., 3:]], -1)
    surfaces = prior((frames * 255).round().byte().numpy())
    mask = views[0].mask[0, 0]
    half = ROUND * inflated(mask[None])[0]
    network = [
        torch.from_numpy(m[0]) for m in (surfaces.front, surfaces.back, surfaces.back_colors)
    ]
    plain = [-half, half, straight[0]]
    truth = [_over(view.images[0, 0].movedim(0, -1)) for view in views]
    rows = [truth]
    for first, last, hidden in (network, plain):
        shell = _shell(mask, first, last, straight[0], hidden)
        rows.append([_seen(*shell, math.radians(a), settings.size) for a in AZIMUTHS])
    return [np.concatenate(row, 1) for row in rows]


def _over(rgba: Tensor) -> np.ndarray:
    return (rgba[..., :3] + PAPER * (1 - rgba[..., 3:])).clamp(0, 1).numpy()


def _shell(
    mask: Tensor, first: Tensor, last: Tensor, colors: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Points [N, 3] (right, down, forward) of two surfaces and a rim, and their colours [N, 3]."""
    maps = torch.cat([torch.stack([first, last]), colors.movedim(-1, 0), hidden.movedim(-1, 0)])
    inside = mask[None, None].float()
    weighted = torch.cat([maps[None] * inside, inside], 1)
    fine = interpolate(weighted, scale_factor=FINER, mode="bilinear")[0]
    size = fine.shape[-1]
    solid = fine[-1] > 0.5
    maps = fine[:-1] / fine[-1:].clamp(min=1e-6)
    rim = solid & (max_pool2d(1.0 - solid[None].float(), 5, 1, 2)[0] > 0)
    row, column = solid.nonzero().unbind(1)
    r, c = rim.nonzero().unbind(1)
    share = torch.linspace(0, 1, RIM)[:, None]
    depth = torch.cat([
        maps[0, row, column], maps[1, row, column],
        (maps[0, r, c] + share * (maps[1, r, c] - maps[0, r, c])).flatten(),
    ])  # fmt: skip
    paint = torch.cat(
        [maps[2:5, row, column].T, maps[5:8, row, column].T, maps[2:5, r, c].T.repeat(RIM, 1)]
    )
    x = (torch.cat([column, column, c.repeat(RIM)]) + 0.5) / size - 0.5
    y = (torch.cat([row, row, r.repeat(RIM)]) + 0.5) / size - 0.5
    spread = (DISTANCE + depth) / DISTANCE
    return torch.stack([x * spread, y * spread, depth], 1), paint


def _seen(points: Tensor, colors: Tensor, azimuth: float, size: int) -> np.ndarray:
    """The points from another azimuth [size, size, 3]."""
    x, y, z = points.unbind(1)
    z = z - z.mean()
    cos, sin = math.cos(azimuth), math.sin(azimuth)
    x, z = x * cos + z * sin, z * cos - x * sin
    scale = DISTANCE / (DISTANCE + z)
    placed = tuple(v[None, None] for v in (x * scale + 0.5, y * scale + 0.5, z))
    hit, nearest, _ = splat(placed, size)
    image = torch.where(hit[0, 0, :, None], colors[nearest[0, 0]], PAPER)
    return image.reshape(size, size, 3).clamp(0, 1).numpy()


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Sheets))
