"""Densification: Gaussians with the largest gradients are cloned or split, useless ones removed
(paper section 3.5: the top 2.5 %; docs/method.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..config import FourdConfig
from .gaussians import Gaussians

SPLIT_SHRINK = 1.6  # how much smaller each half of a split Gaussian is


class Densifier:
    """Densification of the Gaussians: its schedule and the gradient statistics that guide it."""

    def __init__(self, config: FourdConfig, count: int, device: torch.device):
        self.config = config
        self.statistics = Statistics.zeros(count, device)

    def collects(self, step: int) -> bool:
        """True where statistics are collected at a step."""
        return step < self.config.densify_until

    def due(self, steps: int) -> bool:
        """True where Gaussians are added and removed after so many steps."""
        config = self.config
        in_range = config.densify_from < steps < config.densify_until
        return in_range and steps % config.densify_every == 0

    def densify(
        self,
        gaussians: Gaussians,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
    ) -> Gaussians:
        """Add and remove Gaussians, and begin new statistics."""
        gaussians = densify(gaussians, optimizer, self.statistics, self.config, generator)
        self.statistics = Statistics.zeros(len(gaussians), gaussians.means.device)
        return gaussians

    def state_dict(self) -> dict[str, Tensor]:
        return {"gradients": self.statistics.gradients, "count": self.statistics.count}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.statistics = Statistics(state["gradients"], state["count"])


@dataclass
class Statistics:
    """Image-space gradients of the N centres since the last densification."""

    gradients: Tensor  # [N] sum of norms
    count: Tensor  # [N] images in which the Gaussian was seen

    @staticmethod
    def zeros(count: int, device: torch.device) -> Statistics:
        return Statistics(torch.zeros(count, device=device), torch.zeros(count, device=device))

    def add(self, gradients: Tensor) -> None:
        """Add gradients of the projected centres in B images, [B, N, 2]."""
        norms = gradients.square().sum(-1).sqrt()
        self.gradients += norms.sum(0)
        self.count += (norms > 0).sum(0)

    def mean(self) -> Tensor:
        """Mean norm over the images that show the Gaussian, [N]."""
        return self.gradients / self.count.clamp(min=1)


def densify(
    gaussians: Gaussians,
    optimizer: torch.optim.Optimizer,
    statistics: Statistics,
    config: FourdConfig,
    generator: torch.Generator,
) -> Gaussians:
    """Clone or split the Gaussians with the largest gradients, then remove useless ones.

    Small ones are cloned; large ones are replaced by two smaller ones at random places inside
    them. The optimizer's parameter groups of the same names follow.
    """
    count = len(gaussians)
    chosen = _largest(statistics.mean(), config, config.max_gaussians - count)
    large = gaussians.log_scales.exp().amax(-1) > config.split_scale
    clones = torch.nonzero(chosen & ~large)[:, 0]
    halves = torch.nonzero(chosen & large)[:, 0].repeat(2)
    kept = torch.nonzero(~(chosen & large))[:, 0]
    source = torch.cat([kept, clones, halves])
    fresh = torch.arange(len(source), device=source.device) >= len(kept)
    gaussians = take(gaussians, optimizer, source, fresh)
    if len(halves):
        _scatter(gaussians, slice(len(source) - len(halves), None), generator)
    return take(gaussians, optimizer, torch.nonzero(~_useless(gaussians, config))[:, 0])


def _largest(gradients: Tensor, config: FourdConfig, room: int) -> Tensor:
    """Mask [N] of the top share of the Gaussians that have a gradient, `room` at most."""
    count = min(int(config.densify_share * int((gradients > 0).sum())), max(room, 0))
    mask = torch.zeros_like(gradients, dtype=torch.bool)
    mask[gradients.topk(count).indices] = True
    return mask


def _useless(gaussians: Gaussians, config: FourdConfig) -> Tensor:
    """Mask [N] of Gaussians that are too faint, too small or too large."""
    largest = gaussians.log_scales.exp().amax(-1)
    smallest_allowed, largest_allowed = config.prune_scales
    faint = gaussians.logits.sigmoid() < config.prune_opacity
    return faint | (largest < smallest_allowed) | (largest > largest_allowed)


@torch.no_grad()
def _scatter(gaussians: Gaussians, halves: slice, generator: torch.Generator) -> None:
    """Move the halves of split Gaussians to random places inside the old one and shrink them."""
    scales = gaussians.log_scales[halves].exp()
    steps = torch.randn(scales.shape, generator=generator).to(scales) * scales
    gaussians.means[halves] += rotate(gaussians.quats[halves], steps)
    gaussians.log_scales[halves] = (scales / SPLIT_SHRINK).log()


def rotate(quats: Tensor, vectors: Tensor) -> Tensor:
    """Rotate vectors [N, 3] by quaternions [N, 4] (w, x, y, z; any length)."""
    w, axis = normalize(quats, dim=-1).split([1, 3], -1)
    twice = 2 * torch.linalg.cross(axis, vectors)
    return vectors + w * twice + torch.linalg.cross(axis, twice)


def take(
    gaussians: Gaussians,
    optimizer: torch.optim.Optimizer,
    source: Tensor,  # [M] index of the old Gaussian that each new one comes from
    fresh: Tensor | None = None,  # [M] mask of those whose optimizer moments start at zero
) -> Gaussians:
    """Select Gaussians by index, with their optimizer moments."""
    tensors = {}
    for group in optimizer.param_groups:
        if group["name"] not in gaussians.tensors():
            continue
        old = group["params"][0]
        new = old.detach()[source].clone().requires_grad_()
        state = optimizer.state.pop(old, {})
        for name in ("exp_avg", "exp_avg_sq"):
            if name in state:
                state[name] = state[name][source].clone()
                if fresh is not None:
                    state[name][fresh] = 0
        if state:
            optimizer.state[new] = state
        group["params"] = [new]
        tensors[group["name"]] = new
    return Gaussians(**tensors)
