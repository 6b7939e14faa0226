"""TSSF against slow, literal transcriptions of eq. 3 and 4 and of the distance-aware variant."""

import numpy as np
import pytest
import torch

from ds4d.cameras import rig_cameras
from ds4d.fourd.gaussians import from_points
from ds4d.fourd.tssf import DEPTH_SIZE, TSSF, Lookup
from ds4d.splatting import rasterize

V, C, N, SIDE, CHANNELS = 7, 4, 12, 5, 6
FUSIONS = [("front",), ("average",), ("ga",), ("ga", "elements", "channel")]
FUSIONS += [("da", distance) for distance in ("elements", "scalar", "alone")]
FUSIONS += [("da", distance, "channel") for distance in ("elements", "scalar", "alone")]


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


def network(fusion: tuple[str, ...]) -> TSSF:
    torch.manual_seed(1)
    return TSSF(CHANNELS, C, *fusion)


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
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 3 and 4 for one Gaussian: softmax over the views that see it, weighted sum.

    Returns the sum [C] and the weights [views, 1 or C].
    """
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    scores = np.array([weight @ p + bias for p in points])
    if any(seen):
        scores = np.array([s if o else s - np.inf for s, o in zip(scores, seen, strict=True)])
    exponents = np.exp(scores - scores.max(0))
    weights = exponents / exponents.sum(0)
    return sum(w * p for w, p in zip(weights, points, strict=True)), weights


def literal_distance(tssf: TSSF, view: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Input of the fusion for a view that sees a point, by the reading of DA."""
    if tssf.distance == "scalar":
        return np.concatenate([view, [sum(abs(a - b) for a, b in zip(view, front, strict=True))]])
    each = [abs(a - b) for a, b in zip(view, front, strict=True)]
    return np.array(each) if tssf.distance == "alone" else np.concatenate([view, each])


def literal_fusion(tssf: TSSF, maps: torch.Tensor, lookup: Lookup) -> tuple[np.ndarray, np.ndarray]:
    """Fused features [N, C'] and what each view has to say [V, N], the mean over channels."""
    points, visible = literal_points(tssf, maps, lookup), lookup.visible.numpy()
    out, say = [], np.zeros((V, N))
    for n in range(N):
        seen = visible[:, n]
        if tssf.fusion == "front":
            out.append(points[0, n])
            say[0, n] = 1
        elif tssf.fusion == "average":
            out.append(points[:, n].sum(0) / max(seen.sum(), 1))
            say[:, n] = 1 / max(seen.sum(), 1)
        elif tssf.fusion == "ga":
            fused, weights = literal_merge(list(points[:, n]), list(seen), tssf.score)
            out.append(fused)
            say[:, n] = weights.mean(-1)
        else:
            front, others = points[0, n], []
            for v in range(1, V):
                told = literal_distance(tssf, points[v, n], front)
                others.append(told if seen[v] else 0 * told)
            fused, among = literal_merge(others, list(seen[1:]), tssf.score_others)
            padded = np.concatenate([front, np.zeros(len(fused) - C)])
            pair = [padded, fused]
            fused, weights = literal_merge(pair, [seen[0], seen[1:].max()], tssf.score_pair)
            out.append(fused)
            say[0, n], say[1:, n] = weights[0].mean(), (weights[1] * among).mean(-1)
        say[:, n] *= seen
    return np.array(out), say


@pytest.mark.parametrize("fusion", FUSIONS, ids="-".join)
def test_matches_the_letter(fusion):
    """Also shows that reducing the maps before sampling changes nothing but the rounding."""
    tssf, (maps, lookup) = network(fusion), scene()
    features, weights = literal_fusion(tssf, maps, lookup)
    got = tssf(tssf.reduced(maps), lookup)
    assert got.shape == (N, tssf.out_width)
    np.testing.assert_allclose(got.detach(), features, atol=5e-6)
    got = tssf.weights(tssf.reduced(maps), lookup)
    np.testing.assert_allclose(got.detach(), weights, atol=2e-6)


def test_points_alone_have_their_features_reduced_before_or_after_they_are_sampled():
    """The linear layer on P tokens of a map, instead of on N points, in float64."""
    tssf, (maps, lookup) = network(("ga",)).double(), scene()
    maps, lookup = maps.double(), Lookup(lookup.grid.double(), lookup.visible.double())
    before = lookup.sample(tssf.reduced(maps)) + tssf.reduce.bias * lookup.visible[..., None]
    after = tssf.reduce(lookup.sample(maps)) * lookup.visible[..., None]
    torch.testing.assert_close(before, after, atol=1e-12, rtol=0)
    np.testing.assert_allclose(before.detach(), literal_points(tssf, maps, lookup), atol=1e-12)


@pytest.mark.parametrize("fusion", FUSIONS, ids="-".join)
def test_a_view_that_sees_nothing_has_no_say(fusion):
    tssf, (maps, lookup) = network(fusion), scene()
    visible = lookup.visible.clone()
    visible[3] = 0
    lookup = Lookup(lookup.grid, visible)
    before = tssf(tssf.reduced(maps), lookup)
    maps[3] += 100
    torch.testing.assert_close(tssf(tssf.reduced(maps), lookup), before)
    weights = tssf.weights(tssf.reduced(maps), lookup)
    assert weights[3].abs().max() == 0
    if fusion[0] != "front":
        torch.testing.assert_close(weights.sum(0), visible.amax(0))


@pytest.mark.parametrize("fusion", FUSIONS, ids="-".join)
def test_what_nobody_sees_has_no_features_and_gradients_stay_finite(fusion):
    tssf, (maps, lookup) = network(fusion), scene()
    fused = tssf(tssf.reduced(maps), lookup)
    assert fused[0].abs().max() == 0
    fused.square().sum().backward()
    for name, parameter in tssf.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        shift = "score" in name and name.endswith("bias")  # of all scores: softmax ignores it
        assert parameter.grad.abs().max() > 0 or shift, name


def crowd() -> tuple:
    """A cloud of Gaussians, some hidden by others, some beyond the pictures' border."""
    generator = torch.Generator().manual_seed(3)
    points = 1.3 * torch.rand(60, 3, generator=generator) - 0.65
    gaussians = from_points(points, torch.rand(60, 3, generator=generator))
    gaussians.logits[:], gaussians.log_scales[:] = 4, -2.3
    return gaussians, rig_cameras(64)


def literal_projection(point: list[float], viewmat: np.ndarray, K: np.ndarray) -> tuple:
    """Pixel and depth of a place, pinhole, in float64."""
    x, y, z = (sum(viewmat[r, c] * point[c] for c in range(3)) + viewmat[r, 3] for r in range(3))
    return K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2], z


@pytest.mark.parametrize("tolerance", [0.02, 0.1])
def test_centres_are_projected_and_tested_against_the_depth_by_the_letter(tolerance):
    gaussians, cameras = crowd()
    lookup = Lookup.of(gaussians, cameras, "depth", tolerance)
    drawn = cameras.resized(DEPTH_SIZE, DEPTH_SIZE)
    _, _, surface = rasterize(
        gaussians.means, gaussians.quats, gaussians.log_scales.exp(), gaussians.logits.sigmoid(),
        gaussians.colors(), drawn.viewmats, drawn.Ks, DEPTH_SIZE, DEPTH_SIZE,
    )  # fmt: skip
    counts = {"seen": 0, "hidden": 0, "outside": 0}
    for v in range(len(cameras)):
        viewmat, K = (x[v].double().numpy() for x in (cameras.viewmats, cameras.Ks))
        for n, point in enumerate(gaussians.means.double().tolist()):
            x, y, depth = literal_projection(point, viewmat, K)
            place = [2 * x / cameras.width - 1, 2 * y / cameras.height - 1]
            np.testing.assert_allclose(lookup.grid[v, n], place, atol=2e-6)
            if depth <= 0 or max(map(abs, place)) > 1:
                counts["outside"] += 1
                assert lookup.visible[v, n] == 0
                continue
            column, row = ((p + 1) / 2 * DEPTH_SIZE for p in place)
            nearest = float(surface[v, int(row), int(column), 0])
            if min(abs(column - round(column)), abs(row - round(row))) < 1e-3:
                continue  # between two pixels
            seen = nearest == 0 or depth <= nearest + tolerance
            counts["seen" if seen else "hidden"] += 1
            assert lookup.visible[v, n] == seen
    assert min(counts.values()) > 20, counts


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
