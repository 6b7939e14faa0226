"""The choice of engines by "auto", and the identity of weights in content keys."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
import torch

from ds4d import doctor, weights
from ds4d.config import Config, MachineConfig
from ds4d.errors import UserError
from ds4d.run import engines
from ds4d.run.engines import identity, usable
from ds4d.weights import Found
from page import progress

NAMES = ("dinov2-base",)


@pytest.fixture
def found(monkeypatch, tmp_path):
    """Let every weights be found in the place that a test names."""

    def at(where: str, message: str = "somewhere"):
        path = None if where in ("hub", "missing") else tmp_path
        monkeypatch.setattr(weights, "find", lambda *_: Found(path, where, message))

    return at


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU of so many GB."""

    def of(gb: float):
        class Properties:
            total_memory = gb * 1e9

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)

    return of


@pytest.mark.parametrize("where", ["folder", "cache", "hub"])
def test_a_gpu_takes_weights_from_everywhere(found, gpu, where):
    gpu(24)
    found(where)
    assert usable(NAMES, MachineConfig(), gpu_gb=8)[0]


def test_a_small_gpu_is_reported_with_the_memory_it_lacks(found, gpu):
    gpu(4)
    found("cache")
    fine, why = usable(NAMES, MachineConfig(), gpu_gb=8)
    assert not fine and "4 GB" in why and "8" in why


@pytest.mark.parametrize("where, fine", [("folder", True), ("cache", False), ("hub", False)])
def test_a_cpu_takes_only_what_its_owner_gave_it(found, where, fine):
    found(where)
    assert usable(NAMES, MachineConfig(device="cpu"), gpu_gb=8)[0] is fine


def test_a_light_network_also_runs_on_a_cpu_once_it_is_downloaded(found):
    found("cache")
    assert usable(NAMES, MachineConfig(device="cpu"), gpu_gb=8, cpu_takes=("folder", "cache"))[0]


def test_missing_weights_are_reported_with_their_reason(found):
    found("missing", "not on this machine, and the hub cannot be reached")
    fine, why = usable(NAMES, MachineConfig(device="cpu"), gpu_gb=8)
    assert not fine and "hub cannot be reached" in why


def test_a_run_for_commercial_use_takes_no_other_weights(found):
    found("folder")
    machine = MachineConfig(device="cpu", commercial=True)
    assert usable(NAMES, machine, gpu_gb=8)[0]
    fine, why = usable(("zero123plus-v1.2",), machine, gpu_gb=8)
    assert not fine and "not for commercial use: their licence forbids it" in why
    engines.check_licences(NAMES, machine)
    with pytest.raises(UserError, match="l4gm-recon are not for commercial use"):
        engines.check_licences((*NAMES, "l4gm-recon"), machine)
    engines.check_licences(("l4gm-recon",), MachineConfig(commercial=False))


@pytest.mark.parametrize(("value", "said"), [("1", True), ("", False), ("0", False)])
def test_the_environment_says_whether_use_is_commercial(monkeypatch, value, said):
    monkeypatch.setenv("DS4D_COMMERCIAL", value)
    assert MachineConfig().commercial is said
    machine = MachineConfig(device="cpu")
    assert ("commercial" in engines.conditions(machine)) is said


def test_other_weights_in_the_same_folder_are_other_weights(found, tmp_path):
    found("folder")
    (tmp_path / "model.safetensors").write_bytes(b"one")
    before = identity(NAMES, MachineConfig())
    (tmp_path / "model.safetensors").write_bytes(b"another")
    assert identity(NAMES, MachineConfig()) != before


def test_downloaded_weights_are_their_pinned_revision(found):
    found("cache")
    (name,) = identity(NAMES, MachineConfig())
    assert weights.CATALOGUE["dinov2-base"].revision in name


def test_a_name_without_an_engine_is_an_error():
    engines.check_name("auto", "auto", "classical")
    with pytest.raises(ValueError, match="green"):
        engines.check_name("green", "auto", "classical")


@pytest.mark.parametrize("part", ["matting", "multiview", "features", "mesh"])
def test_every_engine_is_described_to_users(part):
    """The doctor's lists and the page's words know every choice of the config."""
    hint = get_type_hints(type(getattr(Config(), part)))["engine"]
    names = set(get_args(hint)) - {"auto"}
    pretrained = {engine.name for engine in doctor.pretrained() if engine.stage == part}
    embedded = {name for name in names if name in doctor.EMBEDDED[part]}
    assert names == pretrained | embedded
    assert names <= set(progress.ENGINES)
