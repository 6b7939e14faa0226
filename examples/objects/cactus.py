"""A cactus in a clay pot who dances and shakes two maracas."""

from __future__ import annotations

import math
from dataclasses import replace

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

GREEN, GROOVE, CLAY, PETAL, SPINE = "#56b865", "#2f8a52", "#dd7443", "#ff5d8f", "#fff3c4"
SOIL = -0.2
RIBS = {"color": GREEN, "color2": GROOVE, "pattern": "ribs", "scale": 14.0}
TRUNK = ((-0.17, 0.105), (-0.10, 0.118), (-0.03, 0.126), (0.04, 0.13), (0.11, 0.126), (0.17, 0.112))


def parts(time: float) -> list[Part]:
    phase = 2 * math.pi * time
    bounce = squash(1 + 0.06 * math.cos(2 * phase))
    upright = trunk() + face(time) + flower() + shaking_arm(1, phase) + shaking_arm(-1, phase)
    return pot() + mapped(bent(upright, math.radians(34 * math.sin(phase))), bounce, (0, 0, SOIL))


def bent(parts: list[Part], lean: float) -> list[Part]:
    """Parts of an upright stem, each carried along as it leans into an arc, by `lean` radians."""
    bowed, tall = [], 0.45
    for part in parts:
        x, y, z = part.centre
        angle, height = lean * (z - SOIL) / tall, z - SOIL
        along = height * np.sinc(angle / math.pi)
        aside = height * math.sin(angle / 2) * np.sinc(angle / 2 / math.pi)
        axis = replace(part, centre=(x, y, 0.0))
        bowed += moved(mapped([axis], turn("y", math.degrees(angle))), (aside, 0, SOIL + along))
    return bowed


def pot() -> list[Part]:
    return [
        cone((0, 0, -0.325), 0.085, 0.098, 0.138, 0.012, color=CLAY, gloss=0.15),
        cone((0, 0, -0.325), 0.018, 0.128, 0.136, 0.008, color="#fff0d8", gloss=0.15),
        cone((0, 0, -0.225), 0.022, 0.152, 0.156, 0.014, color=CLAY, gloss=0.15),
        cone((0, 0, -0.205), 0.006, 0.132, 0.132, 0.006, color="#5a3826", gloss=0.0),
        *beads(),
    ]


def beads() -> list[Part]:
    """Blue dots on the band around the pot."""
    dots = []
    for k in range(16):
        a = math.pi * k / 8
        dots.append(ball((0.139 * math.cos(a), 0.139 * math.sin(a), -0.325), 0.013,
                         color="#2f7fc1", gloss=0.4))  # fmt: skip
    return dots


def trunk() -> list[Part]:
    layers = [ellipsoid((0, 0, z), (r, r, 0.1), 0.012, blend=0.03, **RIBS) for z, r in TRUNK]
    spines = []
    for j, (z, r) in enumerate(TRUNK[1:]):
        for k in range(7):
            a = math.pi * (2 * k + j % 2) / 7
            place = np.array([r * math.cos(a), r * math.sin(a), z])
            in_face, at_arm = place[1] < -0.09 and z > -0.05, abs(place[0]) > 0.08 and z < 0.05
            if not in_face and not at_arm:
                spines.append(ball(place, 0.0075, color=SPINE, gloss=0.0))
    return layers + spines


def face(time: float) -> list[Part]:
    open_ = 1 - 0.85 * math.exp(-(((time - 0.25) / 0.03) ** 2))
    eyes = [
        part
        for side in (-1, 1)
        for part in eye((side * 0.053, -0.113, 0.134), 0.047, (0.0, 0.0), "#6a4322", open_)
    ]
    mouth = [ring((0, -0.134, 0.087), 0.042, 0.0085, 1.2, color="#4a1a2a", gloss=0.0)]
    cheeks = mirrored(
        [ellipsoid((0.089, -0.102, 0.078), (0.022, 0.02, 0.016), color="#ff9a8f", gloss=0.1)]
    )
    return eyes + mouth + cheeks


def flower() -> list[Part]:
    petals = [
        mapped(
            [ellipsoid((0.045, 0, 0), (0.042, 0.027, 0.014), color=PETAL, color2="#ffb3c9")],
            turn("z", 60 * k) @ turn("y", -28),
        )[0]
        for k in range(6)
    ]
    heart = ball((0, 0, 0.012), 0.026, color="#ffd23f", color2="#f29a1f", pattern="spots",
                 scale=0.016, gloss=0.2)  # fmt: skip
    bloom = mapped([*petals, heart], turn("x", 25))
    return moved(bloom, (0.03, -0.02, 0.275))


def shaking_arm(side: int, phase: float) -> list[Part]:
    """An arm that goes out and up and holds a maraca; the two arms beat in turn."""
    stripe = "#2f7fc1" if side > 0 else "#e5354b"
    swing = 16 * math.sin(2 * phase + (0 if side > 0 else math.pi))
    shoulder, elbow, hand = (0.10, 0, -0.03), (0.205, -0.01, 0.0), (0.225, -0.02, 0.105)
    arm = [
        limb(shoulder, elbow, 0.05, 0.048, color=GREEN, blend=0.03),
        limb(elbow, hand, 0.048, 0.042, color=GREEN, blend=0.02),
        limb(hand, (0.24, -0.035, 0.175), 0.011, 0.011, color="#a9713c"),
        ellipsoid((0.248, -0.04, 0.215), (0.05, 0.05, 0.056), color="#ffd23f",
                  color2=stripe, pattern="stripes", scale=0.045, gloss=0.7),
    ]  # fmt: skip
    for k in range(5):
        a = 1.256 * k
        spot = (0.225 + 0.043 * math.cos(a), -0.02 + 0.043 * math.sin(a), 0.06)
        arm.append(ball(spot, 0.007, color=SPINE, gloss=0.0))
    raised = mapped(arm, turn("y", -swing), shoulder)
    return mapped(raised, np.diag([float(side), 1.0, 1.0]))
