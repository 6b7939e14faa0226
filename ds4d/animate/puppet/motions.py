"""Motions of a puppet: how the whole bends at a phase of the loop, and how its limbs turn.

Positions are complex numbers: x to the right and y upward from the middle of the object's base, in
heights of the object. Angles are radians, counter-clockwise. Every motion is periodic in its phase,
so that the loop has no seam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import PchipInterpolator

from .limbs import Limb

Field = Callable[[np.ndarray], np.ndarray]  # positions -> positions, both complex


@dataclass(frozen=True)
class Shape:
    """An object as a puppet."""

    width: float  # in heights
    limbs: tuple[Limb, ...]
    paths: tuple[np.ndarray, ...]  # the limbs' paths [N] complex, in heights

    def of_kind(self, kind: str) -> list[int]:
        """Indices of limbs of a kind, from left to right by their tips."""
        found = [index for index, limb in enumerate(self.limbs) if limb.kind == kind]
        return sorted(found, key=lambda index: self.paths[index][-1].real)


@dataclass(frozen=True)
class Turn:
    """A limb's rotation around its joint."""

    angle: float  # at its tip
    stiff: float = 0.7  # share of the angle at its joint, in [0, 1]; the less, the more it bends
    shift: complex = 0.0  # of the tip, in heights


@dataclass(frozen=True)
class Pose:
    """A puppet at one phase."""

    whole: Field
    turns: dict[int, Turn] = field(default_factory=dict)  # by index of the limb


def wave_of(phase: float) -> float:
    return float(np.sin(2 * np.pi * phase))


def breathe(shape: Shape, phase: float, amount: float) -> Pose:
    """The body widens and rises a little; its upper part follows later."""

    def whole(z: np.ndarray) -> np.ndarray:
        y = z.imag.clip(0, 1)
        breath = np.sin(2 * np.pi * (phase - 0.12 * y))
        wider = 1 + amount * 0.035 * breath * np.sin(np.pi * y)
        return z.real * wider + 1j * (z.imag + amount * 0.022 * y * breath)

    slow = wave_of(phase - 0.2)
    turns = {index: Turn(amount * 0.05 * slow * _outward(shape, index)) for index in _free(shape)}
    return Pose(whole, turns)


def sway(shape: Shape, phase: float, amount: float) -> Pose:
    """The body bends from side to side above its base, like a plant."""
    most = amount * min(0.24, 0.3 / max(shape.width, 1e-3))

    def bend(y: np.ndarray) -> np.ndarray:
        return most * y * np.sin(2 * np.pi * (phase - 0.13 * y))

    lag = wave_of(phase - 0.22)
    return Pose(_bent(bend), {index: Turn(-0.5 * most * lag, 0.3) for index in _free(shape)})


def hop(shape: Shape, phase: float, amount: float) -> Pose:
    """A crouch, a jump and a soft landing; area is kept while the body is squashed."""
    tall = 1 + amount * (float(_SQUASH(phase)) - 1)
    up = amount * 0.2 * float(_FLIGHT(phase))

    def whole(z: np.ndarray) -> np.ndarray:
        return z.real / tall + 1j * (z.imag * tall + up)

    late = float(_SQUASH((phase - 0.05) % 1)) - 1
    turns = {index: Turn(-amount * 1.6 * late * _outward(shape, index), 0.5)
             for index in shape.of_kind("arm")}  # fmt: skip
    return Pose(whole, turns)


def nod(shape: Shape, phase: float, amount: float) -> Pose:
    """The head nods twice: the limb that sticks out upward, else the upper part of the body."""
    dip = wave_of(2 * phase) * (0.75 + 0.25 * wave_of(phase))
    heads = [index for index in range(len(shape.limbs)) if _is_head(shape, index)]
    calm = Pose(_bent(lambda y: amount * 0.02 * y * wave_of(phase)))
    if heads:
        head = max(heads, key=lambda index: shape.limbs[index].radius)
        return Pose(calm.whole, {head: Turn(amount * 0.2 * dip * _outward(shape, head), 0.6)})
    neck = 0.55
    most = amount * min(0.2, 0.16 / max(shape.width, 1e-3))

    def bend(y: np.ndarray) -> np.ndarray:
        return most * dip * _smooth((y - neck) / (1 - neck))

    return Pose(_bent(bend))


def wave(shape: Shape, phase: float, amount: float) -> Pose:
    """One arm rises and waves; the body leans away a little.

    Without an arm, the body itself waves.
    """
    arms = [index for index in _free(shape) if shape.limbs[index].kind == "arm"]
    arms = arms or shape.of_kind("top")
    if not arms:
        return sway(shape, phase, amount)
    arm = max(arms, key=lambda index: shape.limbs[index].length / shape.limbs[index].radius)
    path = shape.paths[arm]
    way = path[-1] - path[0]
    side = 1 if way.real >= 0 else -1
    raised = 1 - np.cos(2 * np.pi * phase)  # 0 .. 2
    missing = float(np.clip(0.9 - way.imag / max(abs(way), 1e-6), 0, 1.2))
    lift = side * 0.35 * missing * min(1.0, raised)
    swing = 0.28 * wave_of(3 * phase) * min(1.0, raised)
    lean = amount * 0.03 * side * min(1.0, raised)
    return Pose(_bent(lambda y: -lean * y), {arm: Turn(amount * (lift + swing), 0.6)})


def walk(shape: Shape, phase: float, amount: float) -> Pose:
    """Feet lift in turn while the body bobs; without feet, the object rocks from side to side."""
    feet = shape.of_kind("foot")
    if len(feet) < 2:
        return waddle(shape, phase, amount)
    sideways = (
        len(feet) > 2
    )  # an animal from its side swings its legs, a person from the front lifts
    turns = {}
    for number, foot in enumerate(feet):
        step = 2 * phase + number / 2 + (0.08 * (number // 2) if sideways else 0)
        lift = max(0.0, float(np.cos(2 * np.pi * step)))
        swing = (0.26 if sideways else 0.05) * wave_of(step)
        turns[foot] = Turn(amount * swing, 0.8, amount * (0.045 if sideways else 0.07) * 1j * lift)
    for number, arm in enumerate(shape.of_kind("arm")):
        turns[arm] = Turn(amount * 0.16 * wave_of(2 * phase + number / 2), 0.5)
    bob = amount * 0.014 * wave_of(4 * phase - 0.15)
    tilt = amount * (0.015 if sideways else 0.05) * wave_of(2 * phase + 0.25)

    def whole(z: np.ndarray) -> np.ndarray:
        y = z.imag.clip(0, 1)
        return _bent(lambda height: tilt * height)(z) + 1j * bob * _smooth(y / 0.4)

    return Pose(whole, turns)


def waddle(shape: Shape, phase: float, amount: float) -> Pose:
    """The object rocks from corner to corner of its base, with a little squash at each landing."""
    lean = amount * 0.085 * wave_of(2 * phase)
    corner = -np.sign(lean) * 0.3 * shape.width  # counter-clockwise turns stand on the left
    tall = 1 + amount * 0.035 * float(np.cos(2 * np.pi * 4 * phase + np.pi))

    def whole(z: np.ndarray) -> np.ndarray:
        squashed = z.real / tall + 1j * z.imag * tall
        return (squashed - corner) * np.exp(1j * lean) + corner

    return Pose(whole)


MOTIONS: dict[str, Callable[[Shape, float, float], Pose]] = {
    "breathe": breathe, "sway": sway, "hop": hop, "nod": nod, "wave": wave, "walk": walk,
}  # fmt: skip


def suited(shape: Shape) -> tuple[str, str]:
    """The motion that suits a shape, and the reason in a few words."""
    arms, feet = shape.of_kind("arm"), shape.of_kind("foot")
    if len(feet) > 2 or (len(feet) == 2 and shape.width > 1.1):
        return "walk", f"it stands on {len(feet)} feet"
    if arms and any(shape.limbs[a].length > 4 * shape.limbs[a].radius for a in arms):
        return "wave", "something sticks out like an arm"
    if len(feet) == 2:
        return "walk", "it stands on two feet"
    if shape.width < 0.8:
        return "sway", "it is tall"
    return "hop", "it is compact"


def _free(shape: Shape) -> list[int]:
    """Limbs that do not stand on the ground."""
    return [index for index, limb in enumerate(shape.limbs) if limb.kind != "foot"]


def _is_head(shape: Shape, index: int) -> bool:
    """True for a limb in the upper half that is thick or points upward."""
    limb, path = shape.limbs[index], shape.paths[index]
    upper = path[-1].imag > 0.55 and path[0].imag > 0.4
    return upper and limb.kind != "foot" and limb.length < 6 * limb.radius


def _outward(shape: Shape, index: int) -> int:
    """Sign of the turn that raises a limb: 1 on the right side, -1 on the left."""
    path = shape.paths[index]
    return 1 if (path[-1] - path[0]).real >= 0 else -1


def _bent(angle: Callable[[np.ndarray], np.ndarray]) -> Field:
    """Bend the vertical axis by an angle (clockwise) at each height; widths stay as they are."""
    heights = np.linspace(0, 1, 65)
    slope = 1j * np.exp(-1j * angle(heights))
    axis = np.concatenate([[0], np.cumsum((slope[1:] + slope[:-1]) / 2) / 64])

    def whole(z: np.ndarray) -> np.ndarray:
        y = z.imag.clip(0, 1)
        turn = np.exp(-1j * angle(y))
        middle = np.interp(y, heights, axis.real) + 1j * np.interp(y, heights, axis.imag)
        return middle + (z.real + 1j * (z.imag - y)) * turn

    return whole


def _smooth(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


def _periodic(phases: list[float], values: list[float]) -> PchipInterpolator:
    """Monotone curve through values at phases in [0, 1), repeated."""
    at = np.array(phases)
    return PchipInterpolator(np.concatenate([at - 1, at, at + 1]), values * 3)


_SQUASH = _periodic(
    [0, 0.18, 0.3, 0.45, 0.6, 0.7, 0.82, 0.92], [1, 0.84, 1.1, 1, 1.06, 0.84, 1.03, 0.985]
)


def _FLIGHT(phase: float) -> float:
    """Height of a jump in [0, 1]: a parabola between leaving the ground and landing."""
    share = (phase - 0.26) / (0.64 - 0.26)
    return max(0.0, 4 * share * (1 - share))
