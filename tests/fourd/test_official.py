"""Published networks, restated by hand in float64: depth, all heads, boxes, products of turns."""

import itertools

import numpy as np
import pytest
import torch

from tests.fourd.official import NAMES, load, product

N, W, C, TIMES, LEVELS = 9, 6, 3, 4, 2
SIZES = {"means": 3, "log_scales": 3, "quats": 4, "logits": 1, "sh": 48}


def published(cells: tuple[int, int, int], depth: int) -> dict[str, torch.Tensor]:
    """A state dict as published code writes it, of random numbers."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    state = {"grid.aabb": torch.tensor([[1.5, 1.125, 0.875], [-1.5, -0.75, -1.25]])}
    for level in range(LEVELS):
        axes = [cell * 2**level for cell in cells] + [TIMES]
        for plane, (a, b) in enumerate(itertools.combinations(range(4), 2)):
            state[f"grid.grids.{level}.{plane}"] = 1 + 0.5 * random(1, C, axes[b], axes[a])
    sizes = [(W, LEVELS * C)] + [(W, W)] * (depth - 1)
    layers = {f"feature_out.{2 * index}": size for index, size in enumerate(sizes)}
    for name, size in SIZES.items():
        layers |= {f"{NAMES[name]}.1": (W, W), f"{NAMES[name]}.3": (size, W)}
    for name, (rows, columns) in layers.items():
        state |= {f"{name}.weight": random(rows, columns), f"{name}.bias": random(rows)}
    return {f"deformation_net.{name}": tensor for name, tensor in state.items()}


def look_up(plane: np.ndarray, x: float, y: float) -> np.ndarray:
    """[C, h, w] at (x, y) in [-1, 1], corners aligned, border held: a sum over all cells."""
    _, height, width = plane.shape
    column = np.clip((x + 1) / 2 * (width - 1), 0, width - 1)
    row = np.clip((y + 1) / 2 * (height - 1), 0, height - 1)
    rows = np.clip(1 - np.abs(np.arange(height) - row), 0, None)
    columns = np.clip(1 - np.abs(np.arange(width) - column), 0, None)
    return np.einsum("chw,h,w->c", plane, rows, columns)


def literal(state: dict, point: np.ndarray, time: float, depth: int) -> dict[str, np.ndarray]:
    """Output of each head for one point, after hustvl/4DGaussians' definition."""
    s = {k.removeprefix("deformation_net."): v.double().numpy() for k, v in state.items()}
    first, last = s["grid.aabb"]
    at = [*((point - first) * 2 / (last - first) - 1), time]
    features = []
    for level in range(LEVELS):
        value = np.ones(C)
        for plane, (a, b) in enumerate(itertools.combinations(range(4), 2)):
            value = value * look_up(s[f"grid.grids.{level}.{plane}"][0], at[a], at[b])
        features.append(value)
    x = np.concatenate(features)
    for index in range(depth):
        x = np.maximum(x, 0) if index else x
        x = s[f"feature_out.{2 * index}.weight"] @ x + s[f"feature_out.{2 * index}.bias"]
    out = {}
    for name, theirs in NAMES.items():
        h = s[f"{theirs}.1.weight"] @ np.maximum(x, 0) + s[f"{theirs}.1.bias"]
        out[name] = s[f"{theirs}.3.weight"] @ np.maximum(h, 0) + s[f"{theirs}.3.bias"]
    return out


@pytest.mark.parametrize("cells", [(4, 3, 5), (4, 4, 4)])
@pytest.mark.parametrize("depth", [1, 3])
def test_matches_the_letter(cells, depth):
    state = published(cells, depth)
    official = load(state, tuple(NAMES))
    official.network.double()
    official.others.double()
    for name, tensor in official.parameters().items():
        tensor.copy_(state[name].view_as(tensor))  # the loaded ones were rounded
    generator = torch.Generator().manual_seed(1)
    raw = {
        name: torch.randn(N, *shape, generator=generator, dtype=torch.float64)
        for name, shape in {**{n: (s,) for n, s in SIZES.items()}, "sh": (16, 3)}.items()
    }
    times = torch.linspace(-0.3, 1.3, N, dtype=torch.float64)  # beyond the clip, too
    moved = official(raw, times)
    for n in range(N):
        heads = literal(state, raw["means"][n].numpy(), float(times[n]), depth)
        for name, head in heads.items():
            want = raw[name][n].numpy() + head.reshape(raw[name][n].shape)
            np.testing.assert_allclose(moved[name][n].detach(), want, atol=1e-9, rtol=1e-9)


def test_every_number_of_the_file_is_kept():
    state = published((3, 3, 3), 2)
    official = load(state, tuple(NAMES))
    found = official.parameters()
    assert found.keys() == state.keys() - {"deformation_net.grid.aabb"}
    for name, tensor in found.items():
        assert torch.equal(tensor, state[name].float().view_as(tensor)), name


def test_heads_out_of_use_leave_their_parameters_alone():
    state = published((3, 4, 5), 1)
    raw = {name: torch.rand(N, size) for name, size in SIZES.items()}
    moved = load(state, ("means", "quats"))(raw, torch.rand(N))
    assert torch.equal(moved["log_scales"], raw["log_scales"])
    assert not torch.equal(moved["means"], raw["means"])


def test_multiplied_rotations_are_products_of_length_one():
    half = torch.tensor(0.5).sqrt()
    about_x, about_y = (
        torch.tensor([[half, half, 0, 0]]),
        torch.tensor([[3 * half, 0, 3 * half, 0]]),
    )
    wanted = torch.tensor([[0.5, 0.5, 0.5, 0.5]])  # w, x, y, z: ij = k
    torch.testing.assert_close(product(about_x, about_y), wanted)
    state = published((3, 4, 5), 1)
    raw = {name: torch.rand(N, size) for name, size in SIZES.items()}
    official = load(state, ("means", "quats"), multiply=True)
    times = torch.rand(N)
    turns = official.heads(official.hidden(raw["means"], times))["quats"]
    torch.testing.assert_close(official(raw, times)["quats"], product(raw["quats"], turns))
