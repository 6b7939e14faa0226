"""A windmill on a green hillock: four sails turn, everything else stands still."""

from __future__ import annotations

import math

import numpy as np

from examples.parts import Part, ball, box, cone, ellipsoid, limb, mapped, moved, ring, turn

STONE, MORTAR, ROOF, WOOD, GRASS = "#f0e2c8", "#a98f72", "#c8442f", "#7a4a28", "#7cbd45"
HUB = (0.0, -0.185, 0.15)
LIFT = (0.0, 0.0, 0.025)  # centres the whole in its frame


def parts(time: float) -> list[Part]:
    sails = moved(sail_cross(), HUB)
    turning = mapped(sails, turn("y", 180 * time), HUB)  # the cross is its own half turn
    return moved(mapped(hill() + tower() + cap() + garden() + turning, 0.88 * np.eye(3)), LIFT)


def hill() -> list[Part]:
    return [
        ellipsoid((0, 0, -0.40), (0.33, 0.29, 0.065), color=GRASS, color2="#5da034",
                  pattern="spots", scale=0.05, gloss=0.05),
        ellipsoid((0, 0, -0.425), (0.30, 0.26, 0.075), color="#9a6b43", color2="#7b5233",
                  pattern="stripes", scale=0.035, gloss=0.05),
    ]  # fmt: skip


def tower() -> list[Part]:
    wall = cone((0, 0, -0.13), 0.235, 0.165, 0.105, color=STONE, color2=MORTAR, pattern="bricks",
                scale=0.044, gloss=0.05)  # fmt: skip
    foot = cone((0, 0, -0.345), 0.022, 0.182, 0.176, 0.012, color="#b7a693", gloss=0.05)
    gallery = cone((0, 0, -0.105), 0.008, 0.168, 0.168, 0.008, color=WOOD, gloss=0.1)
    rail = mapped([ring((0, 0, 0), 0.166, 0.006, color="#fff6e6")], turn("x", 90))
    posts = [
        limb(
            (0.166 * math.cos(a), 0.166 * math.sin(a), -0.10),
            (0.166 * math.cos(a), 0.166 * math.sin(a), -0.048),
            0.006, 0.006, color="#fff6e6",
        )
        for a in np.linspace(0, 2 * math.pi, 16, endpoint=False)
    ]  # fmt: skip
    return [wall, foot, gallery] + moved(rail, (0, 0, -0.048)) + posts + door()


def door() -> list[Part]:
    leaf = [
        box((0, -0.163, -0.283), (0.048, 0.02, 0.06), 0.012, color="#3f7fa8"),
        ellipsoid((0, -0.161, -0.225), (0.047, 0.034, 0.047), color="#3f7fa8"),
        ball((0.027, -0.188, -0.285), 0.008, color="#f7c53a", gloss=1.0),
    ]
    frame = [
        box((0, -0.157, -0.283), (0.06, 0.018, 0.062), 0.012, color="#fff6e6"),
        ellipsoid((0, -0.153, -0.225), (0.058, 0.03, 0.058), color="#fff6e6"),
    ]
    windows = []
    for x, y, z in ((0, -0.122, 0.02), (-0.085, -0.098, 0.01), (0.085, -0.098, 0.01)):
        windows += [
            ellipsoid((x, y, z), (0.032, 0.02, 0.036), color="#fff6e6"),
            ellipsoid((x * 1.04, y * 1.09, z), (0.022, 0.016, 0.026), color="#33556e", gloss=0.9),
        ]
    return frame + leaf + windows[2:]


def cap() -> list[Part]:
    eaves = cone((0, 0, 0.118), 0.008, 0.132, 0.128, 0.012, color="#fff6e6")
    dome = ellipsoid((0, 0, 0.124), (0.124, 0.124, 0.155), color=ROOF, color2="#7d1f17",
                     pattern="tiles", scale=0.036, gloss=0.25)  # fmt: skip
    knob = [
        limb((0, 0, 0.26), (0, 0, 0.31), 0.012, 0.008, color="#f7c53a", gloss=1.0),
        ball((0, 0, 0.318), 0.019, color="#f7c53a", gloss=1.0),
    ]
    axle = limb((0, -0.06, HUB[2]), (0, -0.17, HUB[2]), 0.034, 0.022, color=WOOD)
    return [dome, eaves] + knob + [axle]


def sail_cross() -> list[Part]:
    """Four sails around the origin in the xz plane, red and cream by turns."""
    parts = [ball((0, 0, 0), 0.036, color="#f7c53a", gloss=0.9)]
    for k in range(4):
        cloth, trim = (("#fdf3dc", "#d94f3d"), ("#d94f3d", "#fdf3dc"))[k % 2]
        spar = limb((0, 0, 0), (0, 0, 0.262), 0.014, 0.009, color=WOOD)
        panel = box((0.044, 0.004, 0.16), (0.034, 0.007, 0.094), 0.006, color=cloth, color2=trim,
                    pattern="stripes", scale=0.07, gloss=0.15)  # fmt: skip
        edge = limb((0.08, 0.004, 0.066), (0.08, 0.004, 0.254), 0.007, 0.007, color=WOOD)
        laths = [
            limb((0, -0.004, z), (0.08, -0.004, z), 0.006, 0.006, color=WOOD)
            for z in (0.068, 0.16, 0.252)
        ]
        parts += mapped([spar, panel, edge, *laths], turn("y", 90 * k))
    return parts


def garden() -> list[Part]:
    """Bushes with flowers, a fence and a sheep."""
    parts = []
    for x, y, r in ((-0.215, -0.09, 0.055), (-0.175, -0.16, 0.036), (0.24, 0.02, 0.05),
                    (-0.1, 0.2, 0.05), (0.13, 0.19, 0.04)):  # fmt: skip
        parts.append(ball((x, y, -0.335 + 0.3 * r), r, color="#4f9a3c", color2="#f2708c",
                          pattern="spots", scale=0.026, gloss=0.05))  # fmt: skip
    return parts + moved(sheep(), (0.185, -0.165, -0.30))


def sheep() -> list[Part]:
    wool = [ellipsoid((0, 0, 0), (0.05, 0.034, 0.036), color="#fffaf0", gloss=0.0)]
    for k in range(16):
        up = -0.8 + 1.6 * k / 15
        level = math.sqrt(1 - up * up)
        place = (0.046 * level * math.cos(2.4 * k), 0.032 * level * math.sin(2.4 * k), 0.034 * up)
        wool.append(ball(place, 0.017, color="#fffaf0", gloss=0.0, blend=0.008))
    head = [
        ellipsoid((-0.05, -0.018, 0.016), (0.018, 0.02, 0.024), color="#3a322f"),
        ellipsoid((-0.05, -0.013, 0.036), (0.021, 0.02, 0.013), color="#fffaf0", gloss=0.0),
        ball((-0.058, -0.036, 0.02), 0.005, glow=0.6),
        ball((-0.043, -0.037, 0.02), 0.005, glow=0.6),
    ]
    legs = [
        limb((x, y, -0.02), (x, y, -0.062), 0.009, 0.008, color="#3a322f")
        for x in (-0.026, 0.026)
        for y in (-0.014, 0.014)
    ]
    return wool + head + legs
