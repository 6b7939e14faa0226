"""Which frame a step draws, and from which two views: thrown with dice, or dealt like cards."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from ..config import FourdConfig


class Deals(Protocol):
    def deal(self, number: int, frame: int | None = None) -> tuple[int, int, int]:
        """Frame and two different views of deal `number` (from 0 on); the frame may be settled.

        With config.front_always the first view is the front, 0, and the second is any other.
        """
        ...


def deals(
    config: FourdConfig, frames: int, views: int, seed: int, generator: torch.Generator
) -> Deals:
    """What config asks for; dice take their numbers from the generator."""
    if config.shuffled:
        return Deck(frames, views, config.front_always, seed)
    return Dice(frames, views, config.front_always, generator)


class Dice:
    """Independent draws, as in STAG4D, on which DS4D builds (method.md section 6)."""

    def __init__(self, frames: int, views: int, front_always: bool, generator: torch.Generator):
        self.frames, self.views, self.front_always = frames, views, front_always
        self.generator = generator

    def deal(self, number: int, frame: int | None = None) -> tuple[int, int, int]:
        if frame is None:
            frame = self._below(self.frames)
        first = 0 if self.front_always else self._below(self.views)
        return frame, first, (first + 1 + self._below(self.views - 1)) % self.views

    def _below(self, bound: int) -> int:
        return int(torch.randint(bound, (), generator=self.generator))


class Deck:
    """Frames from one shuffled deck, and each frame's views from a deck of their own.

    Each card comes once before any comes again: all pictures are seen equally often, and where one
    step pulls the parameters for its frame's sake, the steps around it soon pull them back.
    """

    def __init__(self, frames: int, views: int, front_always: bool, seed: int):
        self.frames, self.views, self.front_always = frames, views, front_always
        self.seed = seed

    def deal(self, number: int, frame: int | None = None) -> tuple[int, int, int]:
        lap = number
        if frame is None:
            lap = number // self.frames
            frame = self._card(0, number, self.frames)
        if self.front_always:
            return frame, 0, 1 + self._card(1 + frame, lap, self.views - 1)
        first, second = (self._card(1 + frame, 2 * lap + i, self.views) for i in (0, 1))
        if first == second:  # the last of one deck and the first of the next
            second = self._card(1 + frame, 2 * lap + 2, self.views)
        return frame, first, second

    def _card(self, owner: int, number: int, size: int) -> int:
        """A card of an owner's endless row of shuffled decks, which needs no memory to go on."""
        deck, place = divmod(number, size)
        return int(np.random.default_rng((self.seed, owner, deck)).permutation(size)[place])
