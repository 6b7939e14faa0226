"""Depths and hidden colours of a clip, on a CPU.

prior = Prior.load()
surfaces = prior(frames)  # [T, S, S, 4] uint8 RGBA, straight alpha, one moving object
surfaces.front, surfaces.back  # [T, S, S] depths in widths of the frame, larger is farther away
surfaces.back_colors       # [T, S, S, 3] colours of the last surface
surfaces.spreads           # [T, S, S, 3] how far off the three may be
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot, pad

from .network import FOREGROUND, SLANT_BINS, STEEPEST, ShapePrior, Sizes, likeliest, slant_bins
from .weights import WEIGHTS, load_weights

GROUP = 6  # frames that are seen together, as in training
FILL = 0.88  # of the network's frame that the clip's bounding box takes
TURN = math.radians(8)  # scale of changes of the slant from one frame to the next


@dataclass(frozen=True)
class Told:
    """Maps of T frames of S x S pixels, NaN-free; outside the silhouettes they mean nothing."""

    front: np.ndarray  # [T, S, S] float32 depth of the first surface, widths of the frame
    back: np.ndarray  # [T, S, S] float32 depth of the last surface
    back_colors: np.ndarray  # [T, S, S, 3] float32 in [0, 1]
    spreads: np.ndarray  # [T, S, S, 3] float32 mean absolute error to expect of each of the three
    slants: np.ndarray  # [T] radians, positive: the right side is farther away
    slant_chances: np.ndarray  # [T, bins] of slant_bins()
    target: float = 0.0  # depth of the middle of the box that the object fills over the clip

    @property
    def confidences(self) -> np.ndarray:
        """[T, S, S, 3] in (0, 1], 1 = certain; a half where the error is .07."""
        return np.exp(-10 * self.spreads)


class Prior:
    """The trained network."""

    def __init__(self, network: ShapePrior):
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, file: Path = WEIGHTS, device: str = "cpu") -> Prior:
        """The network of a file that train.py wrote."""
        weights, sizes = load_weights(file)
        network = ShapePrior(Sizes(**sizes))
        network.load_state_dict(weights, strict=False)
        return cls(network.to(device))

    @torch.inference_mode()
    def __call__(
        self,
        frames: np.ndarray,  # [T, S, S, 4] uint8 RGBA, straight alpha
        slant: float | np.ndarray | None = None,  # radians, of all frames or [T]; None = estimated
        evidence: np.ndarray | None = None,  # [bins] log-likelihoods of slant_bins()
    ) -> Told:
        T, S = frames.shape[:2]
        crop = _crop(frames[..., 3])
        images = _cropped(frames, crop, self.network.sizes.pixels)
        count = math.ceil(T / GROUP)
        groups = [list(range(start, T, count)) for start in range(count)]
        encoded = [self.network.encode(images[group][None]) for group in groups]
        logits = torch.empty(T, SLANT_BINS)
        for group, seen in zip(groups, encoded, strict=True):
            logits[group] = self.slant_logits(images[group][None], seen.slants)[0]
        slants, chances = likely_slants(logits, evidence)
        if slant is not None:
            slants = torch.as_tensor(slant, dtype=slants.dtype).expand(T).clamp(-STEEPEST, STEEPEST)
            nearest = (slant_bins() - slants[:, None]).abs().argmin(1)
            chances = one_hot(nearest, SLANT_BINS).to(chances.dtype)
        maps, targets = torch.empty(T, 8, *images.shape[-2:]), []
        for group, seen in zip(groups, encoded, strict=True):
            surfaces = self.network.decode(images[group][None], seen.features, slants[group][None])
            spread = spreads(surfaces.log_spreads, images[group], slants[group], chances[group])
            depths = torch.stack([surfaces.front, surfaces.back], 1)
            depths = without_teeth(depths, images[group][:, 3:] > 0.5)
            targets.append(float(surfaces.targets))
            maps[group] = torch.cat([depths, surfaces.back_colors, spread], 1)
        left, top, side = crop
        maps[:, [0, 1, 5, 6]] *= side / S
        whole = _pasted(maps, images[:, 3:], crop, S).movedim(1, -1).numpy()
        return Told(
            front=whole[..., 0],
            back=whole[..., 1],
            back_colors=whole[..., 2:5].clip(0, 1),
            spreads=whole[..., 5:].clip(1e-4, None),
            slants=slants.numpy(),
            slant_chances=chances.numpy(),
            target=float(np.mean(targets)) * side / S,
        )

    def slant_logits(self, images: Tensor, logits: Tensor) -> Tensor:
        """Slant logits [B, T, bins] on the CPU: mean over the clips and their mirror images."""
        mirrored = self.network.encode(images.flip(-1)).slants
        return (logits.float() + mirrored.float().flip(-1)).cpu() / 2


def likely_slants(logits: Tensor, evidence: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """Most likely course of the slant over T frames [T], radians, and chances [T, bins].

    Neighbouring frames have similar slants: the forward-backward algorithm weighs what all frames
    say. Frames look alike, so that a clip counts no more than GROUP independent ones.
    """
    T, bins = logits.shape
    log_chances = logits.log_softmax(-1) * min(1.0, GROUP / T)
    if evidence is not None:
        log_chances = log_chances + torch.as_tensor(evidence, dtype=log_chances.dtype) / T
    middles = slant_bins(logits.device)
    change = -(middles[:, None] - middles).abs() / (TURN * max(1.0, GROUP / T))
    change = change.log_softmax(-1)
    before, after = [log_chances[0]], [torch.zeros(bins)]
    for frame in range(1, T):
        before.append(log_chances[frame] + (before[-1][:, None] + change).logsumexp(0))
        following = log_chances[T - frame] + after[-1]
        after.append((change + following).logsumexp(1))
    chances = (torch.stack(before) + torch.stack(after[::-1])).softmax(-1)
    return likeliest(chances), chances


def spreads(log_spreads: Tensor, images: Tensor, slants: Tensor, chances: Tensor) -> Tensor:
    """Mean absolute errors [T, 3, S, S] to expect: the network's own for this slant, and what a
    wrong slant would add to depths."""
    size = images.shape[-1]
    slopes = slant_bins(images.device).tan()
    off = (chances * (slopes - slants.tan()[:, None]).abs()).sum(-1)  # [T]
    x = (torch.arange(size, device=images.device) + 0.5) / size
    alpha = images[:, 3]
    center = (alpha * x).sum((1, 2)) / alpha.sum((1, 2)).clamp(min=FOREGROUND)
    tilt = off[:, None, None] * (x - center[:, None, None]).abs()
    own = log_spreads.clamp(-6, 1).exp()
    return torch.cat([own[:, :2] + tilt[:, None].expand(-1, 2, size, size), own[:, 2:]], 1)


def without_teeth(depths: Tensor, inside: Tensor) -> Tensor:
    """Medians of 3 x 3 pixels of maps [N, C, S, S], of those that are inside [N, 1, S, S].

    The network was trained on silhouettes from other sides, too, and where it doubts how far these
    reach, it puts a pixel in every other row of a column there.
    """
    known = pad(depths.where(inside, torch.nan), (1, 1, 1, 1), value=torch.nan)
    around = torch.stack([known[..., y : y + depths.shape[2], x : x + depths.shape[3]]
                          for y in range(3) for x in range(3)])  # fmt: skip
    return around.nanmedian(0).values.where(inside, depths)


def resize(images: Tensor, size: int) -> Tensor:
    """Premultiplied images [N, C, H, W] at another size, averaged where they shrink."""
    shrinks = size < images.shape[-1]
    mode = {"mode": "bilinear", "align_corners": False, "antialias": shrinks}
    return images if images.shape[-1] == size else interpolate(images, (size, size), **mode)


def _crop(alphas: np.ndarray) -> tuple[int, int, int]:
    """Left, top and side of the square around all silhouettes [T, S, S], with its margin."""
    rows, columns = (np.flatnonzero((alphas > 127).any(axes)) for axes in ((0, 2), (0, 1)))
    if len(rows) == 0:
        return 0, 0, alphas.shape[1]
    low = np.array([columns[0], rows[0]])
    high = np.array([columns[-1], rows[-1]]) + 1
    side = math.ceil((high - low).max() / FILL)
    left, top = np.floor((low + high - side) / 2).astype(int)
    return int(left), int(top), side


def _cropped(frames: np.ndarray, crop: tuple[int, int, int], size: int) -> Tensor:
    """The network's frames [T, 4, size, size]: premultiplied, transparent outside the clip."""
    left, top, side = crop
    S = frames.shape[1]
    cut = np.zeros((len(frames), side, side, 4), np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, S), min(top + side, S)
    cut[:, y0 - top : y1 - top, x0 - left : x1 - left] = frames[:, y0:y1, x0:x1]
    images = torch.from_numpy(cut).movedim(-1, 1).float() / 255
    images[:, :3] *= images[:, 3:]
    return resize(images, size)


def _pasted(maps: Tensor, alphas: Tensor, crop: tuple[int, int, int], size: int) -> Tensor:
    """Maps [T, C, s, s] of the crop in the whole frame [T, C, size, size].

    Means over what the mattes [T, 1, s, s] of the crop cover: beyond them, maps mean nothing.
    """
    left, top, side = crop
    weights = alphas + FOREGROUND
    large = interpolate(
        torch.cat([maps * weights, weights], 1), (side, side), mode="bilinear", align_corners=False
    )
    large = large[:, :-1] / large[:, -1:]
    whole = torch.zeros(*maps.shape[:2], size, size)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, size), min(top + side, size)
    whole[..., y0:y1, x0:x1] = large[..., y0 - top : y1 - top, x0 - left : x1 - left]
    return whole
