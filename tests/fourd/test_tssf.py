"""TSSF against slow, literal transcriptions of eq. 3 and 4 and of the distance-aware variant."""

import numpy as np
import pytest
import torch

from ds4d.cameras import rig_cameras
from ds4d.fourd.gaussians import from_points
from ds4d.fourd.tssf import TSSF, Lookup

V, C, N, SIDE, CHANNELS = 7, 4, 12, 5, 6


def scene(seed: int = 0) -> tuple[torch.Tensor, Lookup]:
    """Feature maps [V, h, w, 2D] of one moment and a lookup in which some views see nothing."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(V, SIDE, SIDE, CHANNELS, generator=generator)
    grid = torch.rand(V, N, 2, generator=generator) * 1.9 - 0.95
    visible = (torch.rand(V, N, generator=generator) > 0.3).float()
    visible[:, 0] = 0  # seen by nobody
    visible[0, 1] = 0  # not by the front
    visible[1:, 2] = 0  # by the front alone
    return maps, Lookup(grid, visible)


def network(fusion: str) -> TSSF:
    torch.manual_seed(1)
    return TSSF(CHANNELS, C, fusion)


def literal_sample(feature_map: np.ndarray, x: float, y: float) -> np.ndarray:
    """Bilinear sample of [h, w, D] at (x, y) in [-1, 1], pixel centres at half cells."""
    column, row = (x + 1) / 2 * SIDE - 0.5, (y + 1) / 2 * SIDE - 0.5
    total = np.zeros(feature_map.shape[-1])
    for r in (int(np.floor(row)), int(np.floor(row)) + 1):
        for c in (int(np.floor(column)), int(np.floor(column)) + 1):
            if 0 <= r < SIDE and 0 <= c < SIDE:
                total += (1 - abs(row - r)) * (1 - abs(column - c)) * feature_map[r, c]
    return total


def literal_points(tssf: TSSF, maps: torch.Tensor, lookup: Lookup) -> np.ndarray:
    """The literal order: sample all 2D channels at each point, then the linear layer, then mask."""
    weight, bias = (p.detach().double().numpy() for p in tssf.reduce.parameters())
    points = np.zeros((V, N, C))
    for v in range(V):
        for n in range(N):
            x, y = lookup.grid[v, n].tolist()
            inside = literal_sample(maps[v].double().numpy(), x, y)
            points[v, n] = (weight @ inside + bias) * float(lookup.visible[v, n])
    return points


def literal_merge(
    points: list[np.ndarray], seen: list[float], layer: torch.nn.Linear
) -> np.ndarray:
    """Eq. 3 and 4 for one Gaussian: softmax over the views that see it, weighted sum."""
    weight = layer.weight.detach().double().numpy()[0]
    scores = [float(weight @ p) + layer.bias.item() for p in points]
    if any(seen):
        scores = [s if o else -np.inf for s, o in zip(scores, seen, strict=True)]
    exponents = [np.exp(s - max(scores)) for s in scores]
    return sum(e / sum(exponents) * p for e, p in zip(exponents, points, strict=True))


def literal_fusion(tssf: TSSF, maps: torch.Tensor, lookup: Lookup) -> np.ndarray:
    points, visible = literal_points(tssf, maps, lookup), lookup.visible.numpy()
    out = []
    for n in range(N):
        seen = visible[:, n]
        if tssf.fusion == "average":
            out.append(points[:, n].sum(0) / max(seen.sum(), 1))
        elif tssf.fusion == "ga":
            out.append(literal_merge(list(points[:, n]), list(seen), tssf.score))
        else:
            front = points[0, n]
            others = []
            for v in range(1, V):
                distance = np.abs(points[v, n] - front) * seen[v]
                others.append(np.concatenate([points[v, n], distance]))
            fused = literal_merge(others, list(seen[1:]), tssf.score_others)
            pair = [np.concatenate([front, np.zeros(C)]), fused]
            out.append(literal_merge(pair, [seen[0], seen[1:].max()], tssf.score_pair))
    return np.array(out)


@pytest.mark.parametrize("fusion", ["average", "ga", "da"])
def test_matches_the_letter(fusion):
    """Also shows that reducing the maps before sampling changes nothing but the rounding."""
    tssf, (maps, lookup) = network(fusion), scene()
    got = tssf(tssf.reduced(maps), lookup)
    assert got.shape == (N, tssf.out_width)
    np.testing.assert_allclose(got.detach(), literal_fusion(tssf, maps, lookup), atol=2e-6)


@pytest.mark.parametrize("fusion", ["average", "ga", "da"])
def test_a_view_that_sees_nothing_has_no_say(fusion):
    tssf, (maps, lookup) = network(fusion), scene()
    visible = lookup.visible.clone()
    visible[3] = 0
    lookup = Lookup(lookup.grid, visible)
    before = tssf(tssf.reduced(maps), lookup)
    maps[3] += 100
    torch.testing.assert_close(tssf(tssf.reduced(maps), lookup), before)


@pytest.mark.parametrize("fusion", ["average", "ga", "da"])
def test_what_nobody_sees_has_no_features_and_gradients_stay_finite(fusion):
    tssf, (maps, lookup) = network(fusion), scene()
    fused = tssf(tssf.reduced(maps), lookup)
    assert fused[0].abs().max() == 0
    fused.square().sum().backward()
    for name, parameter in tssf.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0 or name.endswith("score.bias"), name


def test_a_gaussian_behind_another_is_not_visible():
    """Two opaque layers in front of each other along the front camera's axis (the y axis)."""
    rows = torch.linspace(-0.2, 0.2, 15)
    wall = torch.cartesian_prod(rows, rows)
    near = torch.stack([wall[:, 0], torch.full_like(wall[:, 0], -0.2), wall[:, 1]], -1)
    far = near * torch.tensor([0.5, -1.0, 0.5])
    gaussians = from_points(torch.cat([near, far]), torch.rand(2 * len(near), 3))
    gaussians.logits[:] = 6
    visible = Lookup.of(gaussians, rig_cameras(128), "depth").visible
    assert visible[0, : len(near)].min() == 1
    assert visible[0, len(near) :].max() == 0
    back = visible[3]  # azimuth 150: sees the far wall better
    assert back[len(near) :].mean() > 0.9 > back[: len(near)].mean()
    assert Lookup.of(gaussians, rig_cameras(128), "none").visible.min() == 1
