"""DSFD against a slow, literal transcription of eq. 1 and 2, and its properties."""

import numpy as np
import pytest
import torch

from ds4d.fourd.dsfd import EPSILON, decouple, dynamic, view_features

T, V, H, W, D = 4, 3, 2, 3, 5
KINDS = ("none", "frames", "dsfd")


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


def test_dynamics_are_orthogonal_to_their_reference():
    """Of each token, or of a whole map; eps in the denominator is what is left of it."""
    f = features()
    for reference in (f[T // 2], f.mean(0)):
        of_tokens = dynamic(f, reference, "token") * reference
        assert of_tokens.sum(-1).abs().max() < 1e-5
        of_maps = dynamic(f, reference, "map") * reference
        assert of_maps.sum((-3, -2, -1)).abs().max() < 1e-5


def test_the_middle_frame_has_no_dynamics_of_its_own():
    assert decouple(features(), reference="middle")[T // 2, ..., D:].abs().max() < 1e-5


def test_a_token_that_is_only_scaled_is_static_by_itself_but_not_in_a_map():
    """The two readings of eq. 1 differ here."""
    f = features()[:1].repeat(T, 1, 1, 1, 1)
    f[1, 0, 0, 0] *= 3
    assert decouple(f, "token", "middle")[..., D:].abs().max() < 1e-4
    assert decouple(f, "map", "middle")[1, 0, ..., D:].abs().min() > 1e-3


def test_references_both_is_the_mean_of_each():
    f = features()
    both, middle, average = (decouple(f, "token", r) for r in ("both", "middle", "average"))
    torch.testing.assert_close(both, (middle + average) / 2)


def test_ablations_have_features_as_they_are_or_none():
    f = features()
    of = {name: view_features(f.half(), name) for name in KINDS}
    assert torch.equal(of["frames"], f.half().float())
    assert torch.equal(of["dsfd"], decouple(f.half()))
    assert of["none"].numel() == 0 and len(of["none"]) == T


def test_motion_of_one_token_leaves_the_others_static():
    f = features()[:1].repeat(T, 1, 1, 1, 1)
    f[1, 0, 0, 0] += 1
    rest = decouple(f, "token", "middle")[..., D:].abs().amax(-1)
    assert rest[1, 0, 0, 0] > 0.1
    rest[1, 0, 0, 0] = 0
    assert rest.max() < 1e-5


def test_half_precision_features_are_decoupled_in_float32():
    assert decouple(features().half()).dtype == torch.float32
