"""Needs of the networks: weights and a GPU, checked before anything is computed or fetched."""

from __future__ import annotations

from dataclasses import replace

from ..config import MachineConfig
from ..errors import UserError
from ..format import file_size
from ..run.device import is_small, pick
from ..run.engines import check_licences
from ..weights import CATALOGUE, find


def fitted(machine: MachineConfig) -> MachineConfig:
    """The machine with low_memory on a GPU that is small, as in `pipeline.generate`."""
    return replace(machine, low_memory=True) if is_small(pick(machine.device)) else machine


def check_machine(name: str, weights: str, machine: MachineConfig, instead: str) -> None:
    """Check that a network which was asked for has its weights, and a GPU.

    On a CPU it takes hours, so it runs there only with weights that are on the disk already.

    Args:
        name: of the engine or command, for the message.
        instead: advice for a machine that cannot run it.

    Raises:
        UserError: weights are missing or not for commercial use; or there is no GPU, and they would
            have to be downloaded.
    """
    check_licences((weights,), machine)
    found = find(weights, machine.weights)
    if found.where == "missing":
        raise UserError(f"The weights {weights} of {name} are not here: {found.message}.", instead)
    if found.where == "hub" and pick(machine.device).type != "cuda":
        needed = file_size(CATALOGUE[weights].bytes)
        raise UserError(f"{name} needs a GPU, which is not here, and weights of {needed}.", instead)
