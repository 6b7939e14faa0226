"""A plump frog prince who hops on the spot; his crown lags behind."""

from __future__ import annotations

import math

import numpy as np

from examples.parts import (
    Part,
    ball,
    cone,
    ellipsoid,
    eye,
    limb,
    mapped,
    mirrored,
    moved,
    ring,
    squash,
    turn,
)

GREEN, LIGHT, DARK, ORANGE, GOLD = "#6cc23a", "#f3efb4", "#2b8a4a", "#ff8d3a", "#f7b21e"
GROUND = -0.36


def hop(time: float) -> tuple[float, float, float]:
    """Height above the ground, stretch of the body, joy of the arms: crouch, leap, land, settle."""
    start, end = 0.27, 0.73
    air = (time - start) / (end - start)
    if 0 < air < 1:
        rise = math.sin(math.pi * air)
        return 0.62 * air * (1 - air), 1 + 0.12 * rise**0.7, rise**1.5
    if air <= 0:
        return 0.0, 1 - 0.17 * math.sin(math.pi * max(time - 0.05, 0.0) / (start - 0.05)), 0.0
    return 0.0, 1 - 0.26 * math.exp(-26 * (time - end)) * math.sin(56 * (time - end)), 0.0


def parts(time: float) -> list[Part]:
    height, stretch, joy = hop(time)
    blink = math.exp(-(((time - 0.93) / 0.022) ** 2))
    body = mapped(torso() + face(time, 1 - 0.9 * blink), squash(stretch), (0, 0, GROUND))
    body += moved(crown(), top(stretch))
    body += mirrored(hind_leg(height, stretch) + arm(stretch, joy))
    return mapped(moved(body, (0, 0, height - 0.1)), 0.86 * np.eye(3))


def top(stretch: float) -> np.ndarray:
    return np.array([0, -0.01, GROUND + stretch * (0.20 - GROUND)])


def torso() -> list[Part]:
    return [
        ellipsoid((0, 0.02, -0.17), (0.215, 0.19, 0.175), color=GREEN, color2=LIGHT,
                  pattern="belly", scale=0.62),
        ellipsoid((0, 0.035, -0.16), (0.209, 0.182, 0.178), color=GREEN, color2=DARK,
                  pattern="spots", scale=0.11, blend=0.015),
        ellipsoid((0, -0.01, 0.05), (0.225, 0.175, 0.135), color=GREEN, blend=0.09),
    ]  # fmt: skip


def face(time: float, open_: float) -> list[Part]:
    lids = mirrored([ball((0.125, -0.04, 0.165), 0.082, color=GREEN, blend=0.04)])
    gaze = (8 * math.sin(2 * math.pi * time), 6 * math.sin(2 * math.pi * (time - 0.2)))
    eyes = [
        part
        for side in (-1, 1)
        for part in eye((side * 0.127, -0.094, 0.178), 0.064, (gaze[0], gaze[1]), "#e9a21f", open_)
    ]
    mouth = ring((0, -0.172, 0.10), 0.105, 0.0075, 0.95, color="#3a2a20", gloss=0.0)
    cheeks = mirrored(
        [ellipsoid((0.152, -0.115, 0.022), (0.034, 0.03, 0.026), color="#f58f86", gloss=0.1)]
    )
    nostrils = mirrored([ball((0.022, -0.18, 0.082), 0.007, color=DARK, gloss=0.0)])
    return lids + eyes + mapped([mouth], turn("x", 8), (0, -0.17, 0)) + cheeks + nostrils


def crown() -> list[Part]:
    band = [cone((0, 0, 0), 0.022, 0.062, 0.070, color=GOLD, gloss=1.0)]
    for k in range(6):
        c, s = math.cos(math.pi * (k / 3 + 1 / 6)), math.sin(math.pi * (k / 3 + 1 / 6))
        tip = (0.082 * c, 0.082 * s, 0.088)
        band.append(limb((0.062 * c, 0.062 * s, 0.01), tip, 0.026, 0.006, color=GOLD, gloss=1.0))
        band.append(ball(tip, 0.015, color=("#e5354b", "#3a78e0")[k % 2], gloss=1.0))
    return band


def hind_leg(height: float, stretch: float) -> list[Part]:
    """A folded leg on the right; in the air its foot reaches for the ground."""
    lift = (stretch - 1) * 0.25
    heel = np.array([0.235, -0.075, GROUND + 0.012 - min(height, 0.075)])
    thigh = ellipsoid((0.2, 0.05, -0.235 + lift), (0.095, 0.125, 0.105), color=GREEN, color2=DARK,
                      pattern="spots", scale=0.085, blend=0.02)  # fmt: skip
    shin = limb((0.235, 0.03, -0.27 + lift), heel + (0, 0.015, 0.018), 0.055, 0.03, color=GREEN,
                blend=0.03)  # fmt: skip
    return [thigh, shin, *toes(heel, 0.06, 0.5)]


def arm(stretch: float, joy: float) -> list[Part]:
    """The right arm: props the chest up (joy 0), or is thrown up in the air (joy 1)."""
    shoulder = np.array([0.125, -0.11, -0.12 + (stretch - 1) * 0.25])
    shoulder += joy * np.array([0.03, 0.03, 0.03])
    down, up = np.array([0.105, -0.205, GROUND + 0.012]), np.array([0.35, -0.13, 0.0])
    side = np.array([0.3, -0.22, -0.25])  # on the way: the hand goes round, not through the thigh
    hand = (1 - joy) ** 2 * down + 2 * joy * (1 - joy) * side + joy**2 * up
    fore = limb(shoulder, hand + (0, 0, 0.02 * (1 - joy)), 0.05, 0.03, color=GREEN, blend=0.03)
    return [fore, *toes(hand, 0.048, 0.25 + 0.5 * joy, 1.4 * joy)]


def toes(place: np.ndarray, length: float, outward: float, upright: float = 0.0) -> list[Part]:
    """Three round toes, spread flat on the ground or, `upright` radians later, like a hand."""
    parts = []
    for spread in (-0.6, 0.0, 0.6):
        a = spread + outward
        ahead = np.array([math.sin(a), -math.cos(a) * math.cos(upright),
                          math.cos(a) * math.sin(upright) - 0.05])  # fmt: skip
        tip = place + length * ahead
        parts.append(limb(place, tip, 0.022, 0.012, color=ORANGE, blend=0.012))
        parts.append(ball(tip, 0.019, color=ORANGE, blend=0.01))
    return parts
