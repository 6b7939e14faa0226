"""A penguin with a scarf who stands with open wings: for a picture, so it does not move."""

from __future__ import annotations

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
    turn,
)

NAVY, WHITE, ORANGE, RED, CREAM = "#2d4a7c", "#fdf8ef", "#f59a2e", "#e5434f", "#ffe7b8"


def parts(time: float) -> list[Part]:
    """The penguin; the same at all times."""
    return moved(body() + face() + scarf() + mirrored(wing() + foot()), (0, 0, -0.02))


def body() -> list[Part]:
    return [
        ellipsoid((0, 0, -0.13), (0.185, 0.165, 0.225), color=NAVY, color2=WHITE,
                  pattern="belly", scale=0.55),
        ellipsoid((0, 0, 0.14), (0.155, 0.145, 0.14), color=NAVY, blend=0.07),
        ellipsoid((0, 0.17, -0.3), (0.05, 0.06, 0.03), color=NAVY, blend=0.04),
        limb((0, 0, 0.27), (0.03, 0, 0.325), 0.018, 0.008, color=NAVY, blend=0.03),
        limb((0, 0.01, 0.27), (-0.03, 0.01, 0.31), 0.015, 0.007, color=NAVY, blend=0.02),
    ]  # fmt: skip


def face() -> list[Part]:
    mask = mirrored([
        ellipsoid((0.058, -0.085, 0.145), (0.075, 0.07, 0.085), color=WHITE, blend=0.02)
    ])  # fmt: skip
    eyes = [
        part
        for side in (-1, 1)
        for part in eye((side * 0.058, -0.128, 0.175), 0.042, (side * -4, 0), "#5a3d20")
    ]
    beak = mapped([cone((0, 0, 0), 0.035, 0.036, 0.006, 0.008, color=ORANGE)], turn("x", 82))
    cheeks = mirrored([
        ellipsoid((0.1, -0.118, 0.105), (0.024, 0.018, 0.016), color="#ff9d92", gloss=0.1)
    ])  # fmt: skip
    return mask + eyes + moved(beak, (0, -0.175, 0.12)) + cheeks


def scarf() -> list[Part]:
    """A striped scarf around the neck, with one end that hangs down."""
    wool = {"color": RED, "color2": CREAM, "pattern": "stripes", "scale": 0.045, "gloss": 0.05}
    around = mapped([ring((0, 0, 0), 0.135, 0.034, color=RED, gloss=0.05)], turn("x", 90))
    end = limb((0.07, -0.155, 0.02), (0.085, -0.195, -0.11), 0.03, 0.036, **wool)
    knot = ball((0.07, -0.15, 0.025), 0.036, color=RED, gloss=0.05)
    return [*moved(around, (0, 0, 0.03)), end, knot]


def wing() -> list[Part]:
    """The wing on the right, stretched out and flat."""
    shape = [ellipsoid((0.125, 0, 0), (0.13, 0.026, 0.052), color=NAVY, blend=0.03)]
    return moved(mapped(shape, turn("y", 22)), (0.13, 0, -0.03))


def foot() -> list[Part]:
    toes = [
        ellipsoid((0.085 + 0.034 * k, -0.1 + 0.012 * abs(k), -0.355), (0.026, 0.055, 0.024),
                  color=ORANGE, blend=0.02)
        for k in (-1, 0, 1)
    ]  # fmt: skip
    ankle = limb((0.085, -0.02, -0.29), (0.085, -0.05, -0.35), 0.034, 0.034, color=ORANGE)
    return [ankle, *toes]
