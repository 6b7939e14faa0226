"""Canonical Gaussians: raw parameters, activations and initialization."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from ..splatting.knn import mean_squared_neighbour_distance
from ..splatting.splats import Splats

SH_C0 = 0.28209479177387814  # value of the constant spherical harmonic
INITIAL_OPACITY = 0.1
FAINT = 0.05  # opacity below which a given Gaussian is no start
BALL = 0.5 * 0.5473  # radius of random starts, world units; 0.5 in the published code's units
LONGEST_GLIDE = 0.04  # world units from one frame to the next


@dataclass
class Gaussians:
    """Raw parameters of N Gaussians (docs/method.md, section 6)."""

    means: Tensor  # [N, 3] world
    log_scales: Tensor  # [N, 3]
    quats: Tensor  # [N, 4] w, x, y, z, any length
    logits: Tensor  # [N] opacity before the sigmoid
    sh0: Tensor  # [N, 3] colour as the coefficient of the constant harmonic
    # [N, B, 3] offsets of sh0 at B moments, evenly spread over the clip; none in older assets
    sh0_knots: Tensor = field(default_factory=lambda: torch.zeros(0, 0, 3))

    def __post_init__(self):
        if len(self.sh0_knots) != len(self.means):
            self.sh0_knots = self.means.new_zeros(len(self.means), 0, 3)

    def __len__(self) -> int:
        return len(self.means)

    def tensors(self) -> dict[str, Tensor]:
        """Parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def colors(self, sh0_offsets: Tensor | None = None) -> Tensor:
        """Colours [N, 3], not below 0; with offsets [..., N, 3] of sh0, those of moments."""
        sh0 = self.sh0 if sh0_offsets is None else self.sh0 + sh0_offsets
        return (0.5 + SH_C0 * sh0).clamp(min=0)

    def sh0_offsets(self, positions: Tensor) -> Tensor | None:
        """Offsets [K, N, 3] of sh0 at K places in the clip, linear between the knots; None where
        colours are constant."""
        knots = self.sh0_knots.shape[1]
        if not knots:
            return None
        places = positions[:, None] * (knots - 1)
        weights = 1 - (places - torch.arange(knots, device=positions.device)).abs()  # [K, B]
        # One product of matrices for all channels: faster than a small one for each Gaussian.
        mixer = torch.kron(weights.clamp(min=0), torch.eye(3, device=positions.device))
        mixed = self.sh0_knots.flatten(1) @ mixer.T  # [N, 3 K]
        return mixed.unflatten(1, (-1, 3)).transpose(0, 1)


def random_points(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points [count, 3], uniform in a ball, and grey colours [count, 3] (docs/method.md, section
    6)."""
    directions = torch.randn(count, 3, generator=generator)
    radii = BALL * torch.rand(count, 1, generator=generator) ** (1 / 3)
    return radii * torch.nn.functional.normalize(directions, dim=-1), torch.full((count, 3), 0.5)


def from_points(
    points: Tensor,  # [N, 3] world
    colors: Tensor,  # [N, 3] in [0, 1]
    knots: int = 0,  # moments at which colours may differ
) -> Gaussians:
    """Isotropic, faint Gaussians on the points; their scale is the distance to the neighbours."""
    distances = mean_squared_neighbour_distance(points).sqrt()
    quats = points.new_zeros(len(points), 4)
    quats[:, 0] = 1
    return Gaussians(
        means=points.clone(),
        log_scales=distances.log()[:, None].repeat(1, 3),
        quats=quats,
        logits=points.new_full((len(points),), INITIAL_OPACITY).logit(),
        sh0=(colors - 0.5) / SH_C0,
        sh0_knots=points.new_zeros(len(points), knots, 3),
    )


def thinned(splats: Splats, count: int, generator: torch.Generator) -> Splats:
    """At most `count` of the Gaussians, enlarged so that they cover what all of them did.

    Faint ones are left out, opaque and large ones are preferred.
    """
    splats = splats[splats.opacities >= FAINT]
    if len(splats) <= count:
        return splats
    areas = splats.scales.topk(2, dim=-1).values.prod(-1)
    # The largest keys log(u) / w are a weighted sample without replacement (Efraimidis and
    # Spirakis 2006); torch.multinomial takes 2^24 weights at most and depends on the device.
    draws = torch.rand(len(splats), generator=generator, dtype=torch.float64).to(areas.device)
    chosen = (draws.log() / (areas * splats.opacities).double()).topk(count).indices
    grown = areas.sum() / areas[chosen].sum()
    return replace(splats[chosen], scales=splats.scales[chosen] * grown.sqrt())


def from_splats(splats: Splats, knots: int = 0) -> Gaussians:
    """Gaussians of these shapes, opacities and colours, whose parameters can be optimized."""
    return Gaussians(
        means=splats.means.clone(),
        log_scales=splats.scales.clamp(min=1e-6).log(),
        quats=splats.quats.clone(),
        logits=splats.opacities.clamp(1e-4, 1 - 1e-4).logit(),
        sh0=(splats.colors - 0.5) / SH_C0,
        sh0_knots=splats.means.new_zeros(len(splats), knots, 3),
    )


@dataclass
class Offsets:
    """Offsets to the raw parameters at K moments: from the deformation network, but colours."""

    means: Tensor  # [K, N, 3]
    log_scales: Tensor  # [K, N, 3]
    quats: Tensor  # [K, N, 4]
    sh0: Tensor | None = None  # [K, N, 3]; None where colours are constant

    def interpolate(self, other: Offsets, weight: float) -> Offsets:
        """Interpolate towards `other` with a weight in [0, 1].

        Gaussians that move farther than LONGEST_GLIDE switch at 0.5: in fast motion the same
        Gaussian may show another part of the object in the next frame, and would be seen flying
        through the air.
        """
        far = (other.means - self.means).norm(dim=-1, keepdim=True) > LONGEST_GLIDE  # [K, N, 1]
        weights = torch.where(far, float(weight >= 0.5), weight)
        return Offsets(
            torch.lerp(self.means, other.means, weights),
            torch.lerp(self.log_scales, other.log_scales, weights),
            torch.lerp(self.quats, other.quats, weights),
            None if self.sh0 is None else torch.lerp(self.sh0, other.sh0, weights),
        )


def deformed(gaussians: Gaussians, offsets: Offsets) -> tuple[Tensor, Tensor, Tensor]:
    """Deformed means [K, N, 3], quats [K, N, 4] and scales [K, N, 3] (paper eq. 5)."""
    return (
        gaussians.means + offsets.means,
        gaussians.quats + offsets.quats,
        (gaussians.log_scales + offsets.log_scales).exp(),
    )


def snapshot(gaussians: Gaussians, offsets: Offsets, antialiased: bool) -> Splats:
    """Activated Gaussians at one moment (K = 1)."""
    means, quats, scales = deformed(gaussians, offsets)
    return Splats(
        means=means[0],
        quats=torch.nn.functional.normalize(quats[0], dim=-1),
        scales=scales[0],
        opacities=gaussians.logits.sigmoid(),
        colors=gaussians.colors(None if offsets.sh0 is None else offsets.sh0[0]).clamp(max=1),
        antialiased=antialiased,
    )
