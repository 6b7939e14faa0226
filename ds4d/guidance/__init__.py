"""Perceptual loss (LPIPS, or SSIM and gradients) and score distillation (SDS by Zero123)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..cameras import Cameras
from ..config import FourdConfig, MachineConfig
from ..errors import UserError
from ..run.device import pick
from ..run.engines import identity, usable
from ..run.events import Stage
from ..weights import find
from .lpips import Perceptual
from .zero123 import Zero123

LPIPS = "lpips-vgg16"  # in the catalogue
LPIPS_GB, SDS_GB = 2.0, 8.0  # GPU memory that they need

__all__ = ["Guidance", "Perceptual", "Zero123", "choose"]


@dataclass(frozen=True)
class Guidance:
    """The chosen perceptual loss and SDS model with the reasons; nothing is loaded yet."""

    perceptual_loss: Literal["lpips", "structural", "off"]
    perceptual_why: str
    sds_model: Literal["zero123-xl", "stable-zero123", "off"]
    sds_why: str
    folder: str  # the user's own folder of weights, or ""
    weights: tuple[str, ...]  # names in the catalogue, to be downloaded before loading
    made_from: tuple[str, ...]  # identity of these weights, for the content key

    @property
    def key(self) -> tuple:
        """Parts of the content key of what is made with this guidance."""
        return (self.perceptual_loss, self.sds_model, *self.made_from), ()

    @property
    def former_key(self) -> tuple:
        return self.key

    @property
    def message(self) -> str:
        """The choice in a few words, for a person."""
        sds = "" if self.sds_model == "off" else f"; score distillation by {self.sds_model}"
        return f"perceptual loss: {self.perceptual_loss} ({self.perceptual_why}){sds}"

    def perceptual(self, device: torch.device) -> Perceptual | None:
        """Load LPIPS; None for the structural loss, which needs no network, and without any.

        Raises:
            UserError: the weights cannot be loaded.
        """
        if self.perceptual_loss != "lpips":
            return None
        from . import lpips

        return lpips.load(self.folder, device)

    def sds(
        self,
        images: np.ndarray,  # [T, V, S, S, 4] uint8 RGBA, view 0 is the front
        cameras: Cameras,  # V
        seed: int,
        device: torch.device,
    ) -> Stage[Zero123 | None]:
        """Load Zero123 and embed every reference image; None where SDS is off.

        Call its forget() at the end to free the networks.

        Raises:
            UserError: the weights cannot be loaded.
        """
        if self.sds_model == "off":
            return None
        zero123 = Zero123.load(self.sds_model, self.folder, device)
        yield from zero123.encode_references(images, cameras, torch.Generator().manual_seed(seed))
        return zero123

    @property
    def facts(self) -> dict[str, Any]:
        """The choice and its reasons, for the run's record."""
        return {
            "perceptual_loss": f"{self.perceptual_loss} ({self.perceptual_why})",
            "sds": f"{self.sds_model} ({self.sds_why})",
            "weights": self.weights,
        }


def choose(config: FourdConfig, machine: MachineConfig) -> Guidance:
    """Choose the perceptual loss and the SDS model.

    On a GPU, LPIPS and Zero123 are used when their weights are on the disk or can be downloaded. On
    a CPU, where LPIPS takes seconds in every step, it has to be requested by name; Zero123 is used
    there when the user's own folder holds it.

    Raises:
        UserError: LPIPS was requested by name, and its weights are missing.
    """
    perceptual, perceptual_why = _perceptual(config, machine)
    sds, sds_why = "off", "its weight is 0"
    if config.sds:
        fine, sds_why = usable((config.sds_model,), machine, gpu_gb=SDS_GB)
        sds = config.sds_model if fine else "off"
    names = ((LPIPS,) if perceptual == "lpips" else ()) + ((sds,) if sds != "off" else ())
    return Guidance(
        perceptual, perceptual_why, sds, sds_why, machine.weights, names, identity(names, machine)
    )


def _perceptual(config: FourdConfig, machine: MachineConfig) -> tuple[str, str]:
    if not config.perceptual:
        return "off", "its weight is 0"
    if config.perceptual_loss == "structural":
        return "structural", "asked for"
    if config.perceptual_loss == "lpips":
        found = find(LPIPS, machine.weights)
        if found.where == "missing":
            raise UserError(
                f"LPIPS was asked for, but the weights of its VGG16 are missing: {found.message}.",
                "Choose the perceptual loss auto: the structural one needs no weights.",
            )
        return "lpips", "asked for"
    if pick(machine.device).type == "cpu":
        return "structural", "LPIPS takes seconds a step on a CPU"
    fine, why = usable((LPIPS,), machine, gpu_gb=LPIPS_GB)
    return ("lpips" if fine else "structural"), why
