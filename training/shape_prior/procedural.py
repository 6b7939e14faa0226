"""Walking figures of random build, made by a program: there are few open animals to learn from.

A figure is a chain of tubes: a trunk that is level (four legs, or two and a long tail) or upright
(two legs and arms), neck, head, muzzle, ears, eyes, tail. Legs swing from the hips and bend at the
knees, the lowest foot stands on the floor.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np

from .assets import CLIP_POSES, Asset

RING = 10  # vertices around a tube
CLIPS = 2  # of each figure: two gaits

Tube = tuple[np.ndarray, np.ndarray]  # places [n, 3] along it, radii [n, 2] across and upright


def figures(count: int, seed: int) -> list[Asset]:
    """Figures of random build and gait."""
    with ProcessPoolExecutor() as pool:
        return list(pool.map(partial(_figure, seed), range(count), chunksize=16))


def _figure(seed: int, index: int) -> Asset:
    rng = np.random.default_rng([seed, index])
    build = _Build(rng)
    poses = []
    for _ in range(CLIPS):
        gait = _Gait(rng, build)
        clip = [_vertices(build.tubes(gait, moment / CLIP_POSES)) for moment in range(CLIP_POSES)]
        clip = np.stack(clip)
        low, high = clip.min((0, 1)), clip.max((0, 1))
        clip -= (low + high) / 2
        poses.append(clip / (2 * np.linalg.norm(clip, axis=-1).max()))
    tubes = build.tubes(gait, 0.0)
    return Asset(
        name=f"figure{index}",
        category="figure",
        about={"repo": "procedural", "path": str(index)},
        poses=np.concatenate(poses).astype(np.float32),
        clips=CLIPS,
        faces=_faces([len(places) for places, _ in tubes]),
        face_colors=build.colors([len(places) for places, _ in tubes], rng),
        uvs=None,
        face_cells=None,
        atlas=None,
    )


class _Build:
    """Proportions of a figure whose trunk is 1 long."""

    def __init__(self, rng: np.random.Generator):
        u = rng.uniform
        kind = rng.choice(["four", "two", "upright"], p=[0.7, 0.15, 0.15])
        self.upright, self.four = kind == "upright", kind == "four"
        self.pitch = {"four": u(-0.12, 0.2), "two": u(0.1, 0.9), "upright": u(1.3, 1.6)}[kind]
        self.girth = u(0.13, 0.3) * (0.8 if self.upright else 1)
        self.flat = u(0.75, 1.2)  # height of the trunk over its width
        self.waist, self.chest, self.belly = u(0.7, 1.1), u(0.9, 1.25), u(0.9, 1.3)
        self.leg = u(0.35, 1.0) * (1.2 if self.upright else 1)
        self.thick = u(0.035, 0.11)
        self.paw = u(1.0, 1.8)
        self.stance = u(0.5, 0.9)  # of the girth
        self.neck = u(0.05, 0.25) if self.upright or rng.random() < 0.5 else u(0.2, 0.7)
        self.rise = u(0.1, 1.3)  # pitch of the neck, added to the trunk's
        self.head = u(0.1, 0.24) * (1.4 if self.upright else 1)
        self.muzzle = u(0.0, 1.6)
        self.nod = u(-0.6, 0.2)
        self.ear, self.spread = u(0.02, 0.25) * rng.choice([0.4, 1, 1]), u(0.2, 0.9)
        self.tail = u(0.05, 1.0) * (0.15 if self.upright else 1) * (1 if self.four else 1.3)
        self.droop, self.curl = u(-1.2, 0.9), u(-1.5, 1.5)
        self.bushy = u(0.2, 1.0)
        self.main = rng.uniform(0.08, 0.95) * rng.uniform(0.5, 1, 3)
        self.second = np.clip(self.main * u(0.4, 1.8) + rng.normal(0, 0.12, 3), 0, 1)
        self.markings = rng.random(8) < 0.35

    def tubes(self, gait: _Gait, time: float) -> list[Tube]:
        """The figure at a moment of its gait in [0, 1): facing -Y, its lowest foot at height 0."""
        g = self.girth
        wag = gait.wag * np.sin(2 * np.pi * (time + gait.lag))
        breath = gait.bob * np.sin(4 * np.pi * time)
        along = np.linspace(0, 1, 7)  # from the hips to the shoulders
        pitch = self.pitch + gait.rock * np.sin(2 * np.pi * time)
        spine = np.stack(
            [
                0.5 * wag * np.sin(np.pi * along * 1.5),
                -along * np.cos(pitch),
                along * np.sin(pitch),
            ],
            1,
        )
        spine[:, 2] += breath + 0.06 * self.curl * np.sin(np.pi * along)
        profile = np.interp(
            along, [0, 0.1, 0.5, 0.9, 1], [0.35, self.waist, self.belly, self.chest, 0.4]
        )
        trunk = (spine, g * profile[:, None] * [1, self.flat])

        aim = pitch + self.rise + gait.nod * np.sin(2 * np.pi * (time + gait.lag))
        aim = min(aim, 1.6)
        turn = gait.turn + gait.look * np.sin(2 * np.pi * time)
        ahead = np.array([np.sin(turn) * np.cos(aim), -np.cos(turn) * np.cos(aim), np.sin(aim)])
        base = spine[-2] + [0, 0, 0.3 * g]
        skull = base + ahead * (self.neck + 0.8 * g)
        neck = _line(base, skull, [0.75 * g, 0.55 * g + 0.2 * self.head, 0.6 * self.head])
        level = 0.25 * aim + self.nod
        nose = np.array(
            [np.sin(turn) * np.cos(level), -np.cos(turn) * np.cos(level), np.sin(level)]
        )
        side = np.cross(nose, [0, 0, 1.0])
        side /= np.linalg.norm(side)
        crown = np.cross(side, nose)
        h = self.head
        head = _line(
            skull - 0.8 * h * nose, skull + 0.9 * h * nose,
            np.array([0.3, 0.85, 1, 0.8, 0.3]) * h,
        )  # fmt: skip
        muzzle = _line(
            skull + 0.3 * h * nose - 0.2 * h * crown,
            skull + (0.9 + self.muzzle) * h * nose - 0.3 * h * crown,
            np.array([0.6, 0.5, 0.4, 0.2]) * h,
        )
        parts = [trunk, neck, head, muzzle]
        for sign in (-1, 1):
            root = skull + 0.6 * h * crown + sign * 0.5 * h * side - 0.2 * h * nose
            tip = root + self.ear * (crown + sign * self.spread * side)
            parts.append(_line(root, tip, np.array([0.3, 0.3, 0.05]) * h))
            eye = skull + 0.45 * h * nose + 0.35 * h * crown + sign * 0.62 * h * side
            parts.append(_line(eye, eye + 0.3 * h * nose, np.array([0.02, 0.17, 0.17, 0.02]) * h))
        parts.append(self._tail(spine[0], wag, pitch))
        parts += self._legs(spine, gait, time)
        floor = min((p[:, 2] - r[:, 1]).min() for p, r in parts[-4:-2])
        if self.four:
            floor = min(floor, min((p[:, 2] - r[:, 1]).min() for p, r in parts[-2:]))
        return [(places - [0, 0, floor], radii) for places, radii in parts]

    def _tail(self, root: np.ndarray, wag: float, pitch: float) -> Tube:
        s = np.linspace(0, 1, 6)
        angle = self.droop + self.curl * s + (0.0 if self.upright else -0.5 * pitch)
        steps = np.stack([2 * wag * s, np.cos(angle), np.sin(angle)], 1) * self.tail / 5
        places = root + np.concatenate([[[0, 0, 0]], steps[:-1].cumsum(0)])
        radii = np.interp(s, [0, 0.6, 1], [0.3, 0.3 * self.bushy + 0.05, 0.05]) * self.girth
        return places, radii[:, None] * [1, 1]

    def _legs(self, spine: np.ndarray, gait: _Gait, time: float) -> list[Tube]:
        """Hind legs, then forelegs or arms."""
        legs = []
        for pair, root in ((0, spine[1]), (1, spine[5])):
            arm = pair == 1 and not self.four
            length = self.leg * (gait.arm if arm else 1.0)
            thick = self.thick * (0.7 if arm else 1.0)
            for number, sign in enumerate((-1, 1)):
                swing = 2 * np.pi * (time + gait.offsets[2 * pair + number])
                hip = root + [
                    sign * self.girth * (1.0 if arm else self.stance),
                    0,
                    -0.2 * self.girth,
                ]
                thigh = gait.stride * np.sin(swing) * (0.8 if arm else 1) + gait.lean[pair]
                bend = gait.knee * max(0.0, np.cos(swing)) + gait.rest
                shin = thigh + bend if arm or pair == 1 else thigh - bend
                out = sign * (gait.out if arm else 0.03)
                knee = hip + 0.5 * length * np.array([out, -np.sin(thigh), -np.cos(thigh)])
                foot = knee + 0.5 * length * np.array([0.5 * out, -np.sin(shin), -np.cos(shin)])
                toe = foot + [0, -self.paw * thick, -0.3 * thick]
                places = np.stack([hip, (hip + knee) / 2, knee, (knee + foot) / 2, foot, toe])
                radii = np.array([1.3 + 0.8 * (not arm), 1.4, 0.95, 0.75, 0.85, 0.5]) * thick
                legs.append((places, radii[:, None] * [1, 1]))
        return legs

    def colors(self, lengths: list[int], rng: np.random.Generator) -> np.ndarray:
        """Colours [F, 3] uint8 of the tubes' faces."""
        colors = []
        for part, length in enumerate(lengths):
            rings = np.repeat(np.arange(length - 1), 2 * RING)
            around = np.tile(np.repeat(np.arange(RING), 2), length - 1)
            if part in (5, 7):  # eyes
                color = np.full((len(rings), 3), 0.04)
            else:
                pick = np.zeros(len(rings), bool)
                if self.markings[0]:
                    pick |= (rings % 2 == 1) & (part in (0, 1, 8))  # stripes
                if self.markings[1]:
                    pick |= (np.abs(around - 7.5) < 2) & (part < 4)  # belly
                if self.markings[2]:
                    pick |= (rings >= 3) & (part >= 9)  # feet
                if self.markings[3]:
                    pick |= part in (2, 3, 4, 6)  # face
                if self.markings[4]:
                    pick |= rng.random(len(rings)) < 0.2  # spots
                if self.markings[5]:
                    pick |= (part == 0) & (rings > 2) | (part >= 9) & (rings < 2)  # shirt
                color = np.where(pick[:, None], self.second, self.main)
            colors.append(color)
        return (np.concatenate(colors) * 255).clip(0, 255).round().astype(np.uint8)


class _Gait:
    """Motion of a figure over one cycle."""

    def __init__(self, rng: np.random.Generator, build: _Build):
        u = rng.uniform
        walk = [0, 0.5, 0.25, 0.75] if rng.random() < 0.5 else [0, 0.5, 0.5, 0]
        gallop = [0, 0.1, 0.5, 0.62]
        self.offsets = gallop if build.four and rng.random() < 0.3 else walk
        still = rng.random() < 0.2
        self.stride = 0.05 if still else u(0.2, 0.8)
        self.knee, self.rest = (0.05 if still else u(0.2, 1.1)), u(0.0, 0.35)
        self.lean = (u(-0.05, 0.2), u(-0.1, 0.1))
        self.wag, self.lag = u(0, 0.12), u(0, 1)
        self.bob, self.rock = u(0, 0.04), u(0, 0.05)
        self.nod, self.look = u(0, 0.25), u(0, 0.3)
        self.turn = rng.normal(0, 0.3)
        self.arm = u(0.5, 0.9) if build.upright else u(0.2, 0.5)
        self.out = u(0.0, 0.5) if rng.random() < 0.7 else u(0.8, 2.0)


def _line(start: np.ndarray, end: np.ndarray, radii) -> Tube:
    radii = np.asarray(radii, float)
    share = np.linspace(0, 1, len(radii))[:, None]
    return start + share * (end - start), radii[:, None] * [1, 1]


def _vertices(tubes: list[Tube]) -> np.ndarray:
    """Rings around all tubes, [V, 3]."""
    angle = np.arange(RING) * 2 * np.pi / RING
    rings = []
    for places, radii in tubes:
        forward = np.gradient(places, axis=0)
        forward /= np.linalg.norm(forward, axis=1, keepdims=True) + 1e-9
        across = np.cross(forward, [0, 0, 1.0]) + 1e-3 * np.array([1.0, 0, 0])
        steep = np.abs(forward[:, 2:]) > 0.9
        across = np.where(steep, np.cross(forward, [0, 1.0, 0]), across)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        across *= np.where(across[:, :1] < 0, -1, 1)
        upright = np.cross(across, forward)
        circle = across[:, None] * np.cos(angle)[:, None] * radii[:, None, :1]
        circle = circle + upright[:, None] * np.sin(angle)[:, None] * radii[:, None, 1:]
        rings.append((places[:, None] + circle).reshape(-1, 3))
    return np.concatenate(rings)


def _faces(lengths: list[int]) -> np.ndarray:
    """Triangles [F, 3] between the rings of tubes."""
    faces, start = [], 0
    for length in lengths:
        ring = start + RING * np.arange(length - 1)[:, None]
        here, onward = np.arange(RING), (np.arange(RING) + 1) % RING
        a, b = ring + here, ring + onward
        pairs = np.stack([np.stack([a, b, a + RING], -1), np.stack([b, b + RING, a + RING], -1)], 2)
        faces.append(pairs.reshape(-1, 3))
        start += RING * length
    return np.concatenate(faces)
