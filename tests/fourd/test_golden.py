"""HexPlane, deformation and regularizers against stored results of the published code."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from ds4d.config import FourdConfig
from ds4d.fourd.losses import regularizers
from tests.fourd.official import NAMES, Official, load
from tests.paths import GOLDEN, golden_cases

RECORDS = GOLDEN / "g4"
CASES = [
    path.name.removesuffix("_tensors.safetensors")
    for path in golden_cases("g4/*_tensors.safetensors")
]
TOLERANCE = 1e-5  # of the largest number of each tensor, about what float32 is good for
INPUTS = {"means": "xyz", "log_scales": "scales", "quats": "rotations", "logits": "opacity",
          "sh": "shs"}  # fmt: skip
SWITCHES = {"no_dx": "means", "no_ds": "log_scales", "no_dr": "quats", "no_do": "logits",
            "no_dshs": "sh"}  # fmt: skip


@dataclasses.dataclass
class Case:
    stored: dict[str, torch.Tensor]
    official: Official
    raw: dict[str, torch.Tensor]
    times: torch.Tensor  # [N]


@pytest.fixture(scope="module", params=CASES)
def case(request) -> Case:
    from safetensors.torch import load_file

    settings = json.loads((RECORDS / f"{request.param}.json").read_text()).get("args", {})
    # STAG4D's code has neither switches nor heads for opacity and colour in use.
    used = tuple(n for switch, n in SWITCHES.items() if not settings.get(switch, n in NAMES_OFF))
    stored = load_file(RECORDS / f"{request.param}_tensors.safetensors")
    state = load_file(RECORDS / f"{request.param}_state.safetensors")
    official = load(state, used, multiply=settings.get("apply_rotation", False))
    raw = {ours: stored[theirs] for ours, theirs in INPUTS.items() if theirs in stored}
    raw["means"].requires_grad_()
    return Case(stored, official, raw, stored["time"][:, 0].requires_grad_())


NAMES_OFF = ("logits", "sh")  # heads that are off where the settings do not say


def agree(got: torch.Tensor, want: torch.Tensor, name: str) -> None:
    got, want = got.detach().reshape(want.shape), want.detach()
    difference = float((got - want).abs().max() / want.abs().max())
    assert difference < TOLERANCE, f"{name}: {difference:.1e}"


def test_features_hidden_and_heads(case):
    agree(case.official.features(case.raw["means"], case.times), case.stored["plane_features"], "")
    hidden = case.official.hidden(case.raw["means"], case.times)
    agree(hidden, case.stored["feature_out"], "feature_out")
    for name, head in case.official.heads(hidden).items():
        agree(head, case.stored[f"head_{NAMES[name]}"], name)


def test_what_moves_and_every_gradient(case):
    moved = case.official(case.raw, case.times)
    loss = torch.zeros(())
    for ours, theirs in INPUTS.items():
        if f"out_{theirs}" in case.stored:
            agree(moved[ours], case.stored[f"out_{theirs}"], theirs)
        if f"loss_w_{theirs}" in case.stored:
            loss = loss + (moved[ours] * case.stored[f"loss_w_{theirs}"]).sum()
    agree(loss, case.stored["loss"], "loss")
    at = [case.raw["means"], case.times]
    for tensor in (*at, *case.official.network.parameters(), *case.official.others.parameters()):
        tensor.grad = None
    loss.backward()
    found = case.official.gradients() | {"xyz": at[0].grad, "time": at[1].grad}
    names = {name.removeprefix("grad/") for name in case.stored if name.startswith("grad/")}
    assert names == found.keys()
    for name in names:
        agree(found[name], case.stored[f"grad/{name}"], name)


def test_regularizers_and_their_gradients(case):
    planes, stored = case.official.network.planes, case.stored
    time, space = planes.smoothness()
    agree(time, stored["reg_time(_time_regulation)"], "time")
    agree(space, stored["reg_plane(_plane_regulation)"], "space")
    agree(planes.sparseness(), stored["reg_l1(_l1_regulation)"], "sparse")
    config = dataclasses.replace(
        FourdConfig(), smooth_time=0.01, sparse_time=0.0001, smooth_space=0.0002
    )
    total = regularizers(case.official.network, config)
    agree(total, stored["reg_compute_regulation(0.01,0.0001,0.0002)"], "weighted")
    planes.zero_grad()
    total.backward()
    prefix = "grad_compute_regulation/"
    names = {name.removeprefix(prefix) for name in stored if name.startswith(prefix)}
    gradients = case.official.gradients()
    assert names == {name for name in gradients if ".grids." in name}
    for name in names:
        agree(gradients[name], stored[prefix + name], name)
