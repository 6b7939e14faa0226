"""Samplers of training pairs: a frame and two of its views, i.i.d. or in shuffled epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..config import FourdConfig

AGAIN = 1_000_003  # more than the epochs of a run: where the views of a second visit are looked up


@dataclass(frozen=True)
class Pair:
    """A frame and two different views of it.

    Losses of pixels and mattes apply to both views, the perceptual loss to the second alone: with
    config.front_always the first is the real front view, 0.
    """

    frame: int
    first: int
    second: int


class Sampler(Protocol):
    def sample(self, index: int, frame: int | None = None) -> Pair:
        """Pair number `index`, from 0 on; of a random frame unless one is given."""
        ...


def build_sampler(
    config: FourdConfig, frames: int, views: int, seed: int, generator: torch.Generator
) -> Sampler:
    """The sampler that config.shuffled selects; the i.i.d. one draws from the generator."""
    if config.shuffled:
        return EpochSampler(frames, views, config.front_always, seed)
    return IIDSampler(frames, views, config.front_always, generator)


def sample_batch(
    sampler: Sampler, step: int, count: int, frame: int | None = None
) -> dict[str, torch.Tensor]:
    """The pairs of a step that draws `count`, as "frames" [count] and "views" [count, 2]."""
    pairs = [sampler.sample(step * count + index, frame) for index in range(count)]
    return {
        "frames": torch.tensor([pair.frame for pair in pairs]),
        "views": torch.tensor([(pair.first, pair.second) for pair in pairs]),
    }


class IIDSampler:
    """Independent draws, as in STAG4D, on which DS4D builds (docs/method.md, section 6)."""

    def __init__(self, frames: int, views: int, front_always: bool, generator: torch.Generator):
        self.frames, self.views, self.front_always = frames, views, front_always
        self.generator = generator

    def sample(self, index: int, frame: int | None = None) -> Pair:
        if frame is None:
            frame = self._randint(self.frames)
        first = 0 if self.front_always else self._randint(self.views)
        return Pair(frame, first, (first + 1 + self._randint(self.views - 1)) % self.views)

    def _randint(self, bound: int) -> int:
        return int(torch.randint(bound, (), generator=self.generator))


class EpochSampler:
    """Frames in shuffled epochs, and the views of each frame in shuffled epochs of their own.

    All images are seen equally often, and where one step pulls the parameters towards its frame,
    the steps around it soon pull them back. With `weights`, an epoch has a frame of weight 1.5 once
    or twice, and one of weight 0.5 or not. Stateless but for them: any index can be asked for.
    """

    def __init__(self, frames: int, views: int, front_always: bool, seed: int):
        self.frames, self.views, self.front_always = frames, views, front_always
        self.seed = seed
        self.weights: np.ndarray | None = None  # [frames], of mean 1; None = all equal

    def sample(self, index: int, frame: int | None = None) -> Pair:
        visit = index  # number of earlier pairs of the same frame
        if frame is None:
            visit, place = divmod(index, self.frames)
            order = self._order(visit)
            frame = int(order[place])
            visit += AGAIN * int((order[:place] == frame).sum())
        if self.front_always:
            return Pair(frame, 0, 1 + self._shuffled(1 + frame, visit, self.views - 1))
        first, second = (self._shuffled(1 + frame, 2 * visit + i, self.views) for i in (0, 1))
        if first == second:  # the last view of one epoch and the first of the next
            second = self._shuffled(1 + frame, 2 * visit + 2, self.views)
        return Pair(frame, first, second)

    def _order(self, epoch: int) -> np.ndarray:
        """The frames of an epoch [frames]."""
        random = np.random.default_rng((self.seed, 0, epoch))
        frames = np.arange(self.frames)
        if self.weights is not None:  # systematic resampling
            ends = np.cumsum(self.weights) / self.weights.sum()
            frames = np.searchsorted(ends[:-1], (frames + random.random()) / self.frames)
        return random.permutation(frames)

    def _shuffled(self, stream: int, index: int, size: int) -> int:
        """Item `index` of an endless row of permutations of range(size), one row per stream."""
        epoch, place = divmod(index, size)
        return int(np.random.default_rng((self.seed, stream, epoch)).permutation(size)[place])
