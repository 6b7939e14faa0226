"""DSFD against a slow, literal transcription of eq. 1 and 2, and its properties."""

import numpy as np
import pytest
import torch

from ds4d.fourd.dsfd import EPSILON, decouple, dynamic

T, V, H, W, D = 4, 3, 2, 3, 5


def features(seed: int = 0) -> torch.Tensor:
    return torch.randn(T, V, H, W, D, generator=torch.Generator().manual_seed(seed))


def literal_dynamic(f: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Eq. 1 and 2 for one vector, in float64."""
    dot = sum(a * b for a, b in zip(f, r, strict=True))
    norm = sum(b * b for b in r) + EPSILON
    return np.array([a - dot / norm * b for a, b in zip(f, r, strict=True)])


@pytest.mark.parametrize("projection", ["token", "map"])
@pytest.mark.parametrize("reference", ["middle", "average", "both"])
def test_matches_the_letter(projection, reference):
    f = features()
    got = decouple(f, projection, reference)
    x = f.double().numpy()
    references = {"middle": x[T // 2], "average": x.mean(0)}
    chosen = references.values() if reference == "both" else [references[reference]]
    for t in range(T):
        for v in range(V):
            parts = []
            for r in chosen:
                part = np.zeros((H, W, D))
                if projection == "map":
                    part = literal_dynamic(x[t, v].ravel(), r[v].ravel()).reshape(H, W, D)
                else:
                    for row in range(H):
                        for column in range(W):
                            token = x[t, v, row, column]
                            part[row, column] = literal_dynamic(token, r[v, row, column])
                parts.append(part)
            want = np.concatenate([x[t, v], np.mean(parts, 0)], -1)
            np.testing.assert_allclose(got[t, v].numpy(), want, atol=2e-6)


@pytest.mark.parametrize("projection", ["token", "map"])
def test_a_clip_that_stands_still_has_no_dynamics(projection):
    still = features()[:1].repeat(T, 1, 1, 1, 1)
    assert decouple(still, projection)[..., D:].abs().max() < 1e-5


def test_dynamics_of_a_token_are_orthogonal_to_its_reference():
    f = features()
    rest = dynamic(f, f.mean(0), "token")
    assert (rest * f.mean(0)).sum(-1).abs().max() < 1e-4


def test_motion_of_one_token_leaves_the_others_static():
    f = features()[:1].repeat(T, 1, 1, 1, 1)
    f[1, 0, 0, 0] += 1
    rest = decouple(f, "token", "middle")[..., D:].abs().amax(-1)
    assert rest[1, 0, 0, 0] > 0.1
    rest[1, 0, 0, 0] = 0
    assert rest.max() < 1e-5


def test_half_precision_features_are_decoupled_in_float32():
    assert decouple(features().half()).dtype == torch.float32
