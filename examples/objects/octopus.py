"""A swimming octopus with a sailor's hat, whose eight arms ripple."""

from __future__ import annotations

import math

import numpy as np

from examples.parts import (
    Part,
    ball,
    between,
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

SKIN, SPOT, TIP, PINK = "#8457d8", "#c9a4ff", "#ff8fb4", "#ff9fb2"
SEGMENTS = 10


def parts(time: float) -> list[Part]:
    phase = 2 * math.pi * time
    stretch = 1 + 0.05 * math.sin(phase)
    head = mapped(mantle() + face(time), squash(stretch), (0, 0, -0.1)) + mapped(
        moved(hat(), (0.02, -0.03, -0.1 + stretch * 0.405)), turn("y", 9), (0, 0, 0.3)
    )
    body = head + [part for k in range(8) for part in arm(k, phase)]
    swaying = mapped(body, turn("y", 4 * math.sin(phase)), (0, 0, -0.1))
    bob = 0.03 * math.sin(phase - 1.1)
    return moved(swaying, (0, 0, bob - 0.005))


def mantle() -> list[Part]:
    return [
        ellipsoid((0, 0.02, 0.115), (0.185, 0.175, 0.195), color=SKIN, color2=SPOT,
                  pattern="spots", scale=0.12, gloss=0.5),
        ellipsoid((0, 0, -0.045), (0.145, 0.135, 0.10), color=SKIN, blend=0.08, gloss=0.5),
    ]  # fmt: skip


def face(time: float) -> list[Part]:
    blink = 1 - 0.9 * math.exp(-(((time - 0.6) / 0.03) ** 2))
    gaze = (9 * math.sin(2 * math.pi * time), -4.0)
    eyes = [
        part
        for side in (-1, 1)
        for part in eye((side * 0.078, -0.122, 0.06), 0.066, gaze, "#22b5a4", blink)
    ]
    cheeks = mirrored(
        [ellipsoid((0.132, -0.105, -0.012), (0.028, 0.03, 0.02), color=PINK, gloss=0.2)]
    )
    smile = ring((0, -0.142, 0.0), 0.036, 0.007, 1.1, color="#3b1f52", gloss=0.0)
    return eyes + cheeks + [smile]


def hat() -> list[Part]:
    navy, white = "#27408b", "#fffdf6"
    return [
        cone((0, 0, 0.0), 0.016, 0.082, 0.086, 0.012, color=white),
        cone((0, 0, 0.004), 0.004, 0.097, 0.097, 0.004, color=navy),
        ellipsoid((0, 0, 0.028), (0.078, 0.078, 0.035), color=white),
        ball((0, 0, 0.066), 0.018, color="#e5354b", gloss=0.6),
    ]


def arm(index: int, phase: float) -> list[Part]:
    """One arm: out from under the head, down, and up again at the tip, with a travelling wave."""
    around = math.radians(45 * index + 22.5)
    outward = np.array([math.sin(around), -math.cos(around), 0.0])
    place = 0.085 * outward + np.array([0, 0, -0.085])
    parts, beat = [], phase + (index % 2) * math.pi
    for k in range(SEGMENTS):
        s = k / (SEGMENTS - 1)
        pitch = -1.15 + 1.9 * s**1.6 + 0.6 * s**0.7 * math.sin(beat - 4.2 * s)
        heading = around + 0.4 * s * math.sin(beat - 2.5 * s + 1.0)
        level, up = np.array([math.sin(heading), -math.cos(heading), 0]), np.array([0, 0, 1.0])
        end = place + 0.04 * (level * math.cos(pitch) + up * math.sin(pitch))
        below = level * math.sin(pitch) - up * math.cos(pitch)
        thick, thin = (0.05 * (1 - 0.8 * (k + j) / SEGMENTS) for j in (0, 1))
        skin = between(SKIN, TIP, s**2)
        parts.append(limb(place, end, thick, thin, color=skin, blend=0.02, gloss=0.5))
        parts.append(ball(place + 0.75 * thick * below, 0.5 * thick, color=PINK, gloss=0.3))
        place = end
    return parts
