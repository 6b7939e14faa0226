"""Adding and removing Gaussians: the paper's top 2.5 % of gradients (method.md section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..config import FourdConfig
from .gaussians import Gaussians

SPLIT_SHRINK = 1.6  # how much smaller each half of a split Gaussian is


@dataclass
class Statistics:
    """Image-space gradients of the centres since Gaussians were last added."""

    gradients: Tensor  # [N] sum of norms
    count: Tensor  # [N] images in which the Gaussian was seen

    @staticmethod
    def zeros(count: int, device: torch.device) -> Statistics:
        return Statistics(torch.zeros(count, device=device), torch.zeros(count, device=device))

    def add(self, gradients: Tensor) -> None:
        """Gradients of the projected centres in B images, [B, N, 2]."""
        norms = gradients.square().sum(-1).sqrt()
        self.gradients += norms.sum(0)
        self.count += (norms > 0).sum(0)

    def mean(self) -> Tensor:
        return self.gradients / self.count.clamp(min=1)


def densify(
    gaussians: Gaussians,
    optimizer: torch.optim.Optimizer,
    statistics: Statistics,
    config: FourdConfig,
    generator: torch.Generator,
) -> Gaussians:
    """Clone or split the Gaussians with the largest gradients, then remove useless ones.

    Small ones are cloned; large ones are replaced by two smaller ones drawn from their own extent.
    The optimizer's groups of the same names are renewed in step.
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
    """Mask of the top share of the Gaussians that have a gradient at all, `room` at most."""
    wanted = min(int(config.densify_share * int((gradients > 0).sum())), max(room, 0))
    mask = torch.zeros_like(gradients, dtype=torch.bool)
    mask[gradients.topk(wanted).indices] = True
    return mask


def _useless(gaussians: Gaussians, config: FourdConfig) -> Tensor:
    largest = gaussians.log_scales.exp().amax(-1)
    smallest_allowed, largest_allowed = config.prune_scales
    faint = gaussians.logits.sigmoid() < config.prune_opacity
    return faint | (largest < smallest_allowed) | (largest > largest_allowed)


@torch.no_grad()
def _scatter(gaussians: Gaussians, halves: slice, generator: torch.Generator) -> None:
    """Move both halves of split Gaussians to random places inside the old one, and shrink them."""
    scales = gaussians.log_scales[halves].exp()
    steps = torch.randn(scales.shape, generator=generator).to(scales) * scales
    gaussians.means[halves] += rotate(gaussians.quats[halves], steps)
    gaussians.log_scales[halves] = (scales / SPLIT_SHRINK).log()


def rotate(quats: Tensor, vectors: Tensor) -> Tensor:
    """Vectors [N, 3] turned by quaternions [N, 4] (w, x, y, z; any length)."""
    w, axis = normalize(quats, dim=-1).split([1, 3], -1)
    twice = 2 * torch.linalg.cross(axis, vectors)
    return vectors + w * twice + torch.linalg.cross(axis, twice)


def take(
    gaussians: Gaussians,
    optimizer: torch.optim.Optimizer,
    source: Tensor,  # [M] which old Gaussian each new one comes from
    fresh: Tensor | None = None,  # [M] those whose optimizer moments start at zero
) -> Gaussians:
    """New Gaussians out of old ones, with the optimizer's moments carried along."""
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
