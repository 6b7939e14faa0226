"""The hardware that runs are computed on, found without importing torch."""

from __future__ import annotations

import os

from ds4d.config import MachineConfig
from ds4d.errors import UserError
from ds4d.run.engines import not_commercial
from ds4d.run.hardware import cores, gpu_name
from ds4d.weights import find

__all__ = ["check", "cores", "gpu_name", "runs_zero123plus", "obstacle"]

DRAFTERS = {  # engines that make clips of pictures, or pictures: name -> weights
    "wan": "wan2.2-ti2v-5b",
    "svd": "svd-xt",
    "sdxl": "sdxl-base",
}


NETWORKS = {  # engines that take long on a CPU: name -> weights
    "sam2": "sam2.1-hiera-tiny",
    "zero123plus": "zero123plus-v1.2",
    "l4gm": "l4gm-recon",
}


def runs_zero123plus() -> bool:
    """True if Zero123++ generates the six views here."""
    return offers("zero123plus")


def offers(engine: str) -> bool:
    """True if an engine of mattes or views can run here; those of NETWORKS need a GPU, or a folder
    of weights.

    Not where its weights are not for commercial use, and those of this page have to be.
    """
    machine, weights = MachineConfig(), NETWORKS.get(engine)
    if weights is None:
        return True
    if not_commercial((weights,), machine):
        return False
    folder = machine.weights
    return bool(gpu_name()) or bool(folder and find(weights, folder).where == "folder")


def obstacle(engine: str) -> str:
    """The reason why an engine of DRAFTERS cannot run here, as a sentence; empty if it can.

    It needs a GPU and its weights. On a CPU it takes hours, so that only weights in the operator's
    own folder are used there. On ZeroGPU, where seconds count, nothing is downloaded.
    """
    machine, weights = MachineConfig(), DRAFTERS[engine]
    if not_commercial((weights,), machine):
        return "Its weights are not for commercial use."
    folder = machine.weights
    if not gpu_name() and not folder:
        return "It needs a GPU, which this machine does not have."
    found = find(weights, folder)
    if found.where == "folder":
        return ""
    if not gpu_name():
        return "It needs a GPU, which this machine does not have."
    if found.where == "missing" or os.environ.get("SPACES_ZERO_GPU") and found.where == "hub":
        return "Its weights are not on this machine."
    return ""


def check(engine: str) -> None:
    """Check that an engine that makes drafts can run here. Raises UserError if not."""
    if engine == "puppet":
        return
    if engine not in DRAFTERS:
        raise UserError("There is no such engine.", f"Choose one of puppet, {', '.join(DRAFTERS)}.")
    if reason := obstacle(engine):
        raise UserError(f"{engine} cannot run here. {reason}", "The puppet needs neither.")
