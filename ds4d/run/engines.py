"""The choice of an engine for a stage: which one runs, on which weights, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..config import MachineConfig
from ..errors import UserError


class Choice(Protocol):
    """A stage's choice among engines or networks: an `Engine`, or the 4D stage's `Guidance`."""

    weights: tuple[str, ...]  # in the catalogue; fetched before the stage runs

    @property
    def message(self) -> str:
        """The choice and its reason in a few words, for a person."""

    @property
    def key(self) -> tuple:
        """Parts of the content key of what is made with this choice."""

    @property
    def former_key(self) -> tuple:
        """The same as an earlier version of the program stated them, whose runs are kept."""

    @property
    def facts(self) -> dict[str, Any]:
        """The choice and its reason, for the run's record."""


@dataclass(frozen=True)
class Engine:
    """An engine that was chosen for a stage.

    Engines load their weights when they run and free their memory before they return.
    """

    name: str  # as in the config
    why: str  # plain English
    run: Callable  # the stage's own arguments -> a generator of events that returns the result
    made_from: tuple[str, ...] = ()  # files, seed: what beside the settings decides the result
    weights: tuple[str, ...] = ()  # in the catalogue; fetched before it runs
    formerly_from: tuple[str, ...] | None = None  # what earlier versions knew of `made_from`

    @property
    def message(self) -> str:
        return f"{self.name}: {self.why}"

    @property
    def key(self) -> tuple:
        return ((self.name, *self.made_from),)

    @property
    def former_key(self) -> tuple:
        if self.formerly_from is None:
            return self.key
        return ((self.name, *self.formerly_from),)

    @property
    def facts(self) -> dict[str, Any]:
        return {"engine": self.name, "why": self.why, "weights": self.weights}


def usable(
    weights: tuple[str, ...],  # names in the catalogue
    machine: MachineConfig,
    *,
    gpu_gb: float,  # GPU memory that the network needs
    cpu_takes: tuple[str, ...] = ("folder",),  # on a CPU: where its weights may be, as in `Found`
) -> tuple[bool, str]:
    """Decide whether "auto" takes a pretrained engine on this machine, and say why.

    On a GPU that is large enough: if the weights are on the disk or the hub can be reached. On a
    CPU, where most networks take minutes to hours: if the user's own folder holds the weights, or
    they are where the network is worth its time. Never, if the run is for commercial use and the
    weights are not.
    """
    from ..weights import find
    from .device import pick  # imports torch, which matting without a network does not need

    if forbidden := not_commercial(weights, machine):
        return False, f"{forbidden[0]} is not for commercial use: {forbidden[1]}"
    device = pick(machine.device)
    if device.type == "cuda":
        import torch

        memory = torch.cuda.get_device_properties(device).total_memory / 1e9
        if memory < gpu_gb:
            return False, f"the GPU has {memory:.0f} GB, the pretrained network needs {gpu_gb:g}"
    accepted = ("folder", "cache", "hub") if device.type == "cuda" else cpu_takes
    away = False
    for name in weights:
        found = find(name, machine.weights)
        if found.where == "missing":
            return False, f"weights of {name}: {found.message}"
        if found.where not in accepted:
            return False, "no GPU is here for the pretrained network"
        away = away or found.where == "hub"
    return True, f"its weights {'can be downloaded' if away else 'are there'}, on {device.type}"


def not_commercial(weights: tuple[str, ...], machine: MachineConfig) -> tuple[str, str] | None:
    """The first weights that a run for commercial use may not take, and the reason; or None."""
    from ..weights import CATALOGUE

    if not machine.commercial:
        return None
    reasons = ((name, CATALOGUE[name].not_commercial) for name in weights)
    return next(((name, reason) for name, reason in reasons if reason), None)


def check_licences(weights: tuple[str, ...], machine: MachineConfig) -> None:
    """Raise UserError if the run is for commercial use, and an engine's weights are not."""
    if forbidden := not_commercial(weights, machine):
        raise UserError(
            f"The weights {forbidden[0]} are not for commercial use: {forbidden[1]}.",
            "Leave the choice of the engine to auto, or leave out --commercial (DS4D_COMMERCIAL).",
        )


def identity(weights: tuple[str, ...], machine: MachineConfig) -> tuple[str, ...]:
    """Names and revisions of weights, for the key of what is made with them.

    Weights in the user's own folder are identified by their path and the sizes of their files.
    """
    from ..weights import CATALOGUE, find

    names = []
    for name in weights:
        found = find(name, machine.weights)
        if found.where == "folder":
            names.append(f"{found.path}: {[size for _, size in _sizes(found.path)]}")
        else:
            names.append(f"{name}@{CATALOGUE[name].revision}")
    return tuple(names)


def conditions(machine: MachineConfig) -> tuple:
    """Properties of this machine that decide a choice of engine, known without the network.

    A stage whose settings and conditions are unchanged keeps the engine that it was made with.
    """
    from .device import pick

    own = _sizes(Path(machine.weights)) if machine.weights else []
    kind = machine.chosen_on or pick(machine.device).type
    found = kind, machine.low_memory, machine.weights, own
    return (*found, "commercial") if machine.commercial else found


def _sizes(path: Path) -> list[tuple[str, int]]:
    """Names and sizes, bytes, of the files in a folder, or of the one file."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) or [path]
    return [(str(file.relative_to(path)), file.stat().st_size) for file in files if file.exists()]


def check_name(engine: str, *known: str) -> None:
    """Check a requested engine against the names that are left; `choose` ends with it.

    Raises ValueError for another name, so that a choice of the config without an engine behind it
    never runs some other one.
    """
    if engine not in known:
        raise ValueError(f"there is no engine {engine}; choose from {', '.join(known)}")
