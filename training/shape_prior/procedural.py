"""Walking figures of random build, made by a program: there are few open animals to learn from.

A figure is made of tubes: a trunk that is level (four legs, or two and a long tail) or upright (two
legs and arms), neck, head with a face, tail, and what may grow on it or be worn. Legs swing from
the hips and bend at the knees, the lowest foot stands on the floor. Some act: they lunge, bow,
reach out, jump or fall. People are upright without a muzzle and dressed; some figures are square,
as robots are.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from .assets import CLIP_POSES, Asset

RING = 10  # vertices around a tube
CLIPS = 2  # of each figure: two gaits
ACTS = 0.75  # share of the gaits of upright figures in which they act


class Tube(NamedTuple):
    """A part of a figure."""

    kind: str  # name of the part
    places: np.ndarray  # [n, 3] along its middle
    radii: np.ndarray  # [n, 2] across and upright


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
        moments = [build.tubes(gait, moment / CLIP_POSES) for moment in range(CLIP_POSES)]
        clip = [_vertices(tubes, build.square) for tubes in moments]
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
        faces=_faces([len(tube.places) for tube in tubes]),
        face_colors=build.colors(tubes, rng),
        uvs=None,
        face_cells=None,
        atlas=None,
    )


class _Build:
    """Proportions of a figure whose trunk is 1 long."""

    def __init__(self, rng: np.random.Generator):
        u = rng.uniform
        kind = rng.choice(["four", "two", "beast", "person"], p=[0.48, 0.1, 0.12, 0.3])
        self.person, self.four = kind == "person", kind == "four"
        self.upright = self.person or kind == "beast"
        low, high = {"four": (-0.12, 0.2), "two": (0.1, 0.9)}.get(kind, (1.35, 1.6))
        self.pitch = u(low, high)
        self.square = u(4, 12) if rng.random() < 0.2 else 2.0  # exponent of the sections' outline
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
        self.muzzle = u(0.0, 0.15) if self.person else u(0.0, 1.6)
        self.nod = u(-0.6, 0.2) * (0.4 if self.person else 1)
        self.ear, self.spread = u(0.02, 0.25) * rng.choice([0.4, 1, 1]), u(0.2, 0.9)
        self.ear *= 0.3 if self.person else 1
        self.eye = u(0.08, 0.26)
        self.tail = u(0.05, 1.0) * (0.1 if self.upright else 1) * (1 if self.four else 1.3)
        self.droop, self.curl = u(-1.2, 0.9), u(-1.5, 1.5)
        self.bushy = u(0.2, 1.0)
        self.main = rng.uniform(0.15, 1) * rng.uniform(0.5, 1, 3)
        self.second = np.clip(self.main * u(0.4, 1.8) + rng.normal(0, 0.12, 3), 0, 1)
        self.markings = rng.random(8) < 0.35
        self.horn = u(0.1, 0.5) if rng.random() < 0.2 and not self.person else 0.0
        self.wing = u(0.3, 0.9) if rng.random() < (0.06 if self.four else 0.2) else 0.0
        self.hair = u(0.1, 1.0) if rng.random() < (0.8 if self.person else 0.25) else 0.0
        self.pack = u(0.4, 1.0) if self.upright and rng.random() < 0.25 else 0.0
        self.whites, self.mouth = rng.random(2) < 0.5
        self.paint = self._paint(rng)

    def _paint(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Colours [3] of parts that have their own."""

        def any_color() -> np.ndarray:
            return rng.uniform(0.05, 0.95) * rng.uniform(0.4, 1, 3)

        dark = rng.uniform(0, 0.15, 3)
        paint = {"eye": dark, "nose": dark, "mouth": dark + [0.2, 0, 0], "white": np.full(3, 0.93)}
        paint |= {"hair": any_color(), "pack": any_color()}
        paint["horn"] = rng.uniform(0.4, 0.9) * np.array([1, 0.93, 0.8])
        if self.person:
            self.main = rng.uniform(0.25, 1) * np.array([0.98, rng.uniform(0.65, 0.85), 0.6])
            paint |= {"trunk": any_color(), "leg": any_color()}
            if rng.random() < 0.6:
                paint["arm"] = paint["trunk"]
        return paint

    def tubes(self, gait: _Gait, time: float) -> list[Tube]:
        """The figure at a moment of its gait in [0, 1): facing -Y, its lowest foot at height 0."""
        g = self.girth
        wag = gait.wag * np.sin(2 * np.pi * (time + gait.lag))
        breath = gait.bob * np.sin(4 * np.pi * time)
        along = np.linspace(0, 1, 7)  # from the hips to the shoulders
        act = gait.act(time)
        pitch = self.pitch + gait.rock * np.sin(2 * np.pi * time) - act * gait.bow
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
        trunk = Tube("trunk", spine, g * profile[:, None] * [1, self.flat])

        aim = pitch + self.rise + gait.nod * np.sin(2 * np.pi * (time + gait.lag))
        aim = min(aim, 1.6)
        turn = gait.turn + gait.look * np.sin(2 * np.pi * time)
        ahead = np.array([np.sin(turn) * np.cos(aim), -np.cos(turn) * np.cos(aim), np.sin(aim)])
        base = spine[-2] + [0, 0, 0.3 * g]
        skull = base + ahead * (self.neck + 0.8 * g)
        neck = _line("neck", base, skull, [0.75 * g, 0.55 * g + 0.2 * self.head, 0.6 * self.head])
        level = 0.25 * aim + self.nod
        nose = np.array(
            [np.sin(turn) * np.cos(level), -np.cos(turn) * np.cos(level), np.sin(level)]
        )
        side = np.cross(nose, [0, 0, 1.0])
        side /= np.linalg.norm(side)
        crown = np.cross(side, nose)
        parts = [trunk, neck, *self._head(skull, nose, side, crown)]
        parts.append(self._tail(spine[0], wag, pitch))
        parts += self._worn(spine, pitch, gait, time)
        parts += self._legs(spine, gait, time)
        fall = Rotation.from_rotvec(act * gait.fall).as_matrix()
        parts = [part._replace(places=part.places @ fall.T) for part in parts]
        stands = ("leg",) if not gait.fall.any() else {part.kind for part in parts}
        floor = min((p.places[:, 2] - p.radii[:, 1]).min() for p in parts if p.kind in stands)
        moved = act * gait.travel - [0, 0, floor]
        return [part._replace(places=part.places + moved) for part in parts]

    def _head(
        self, skull: np.ndarray, nose: np.ndarray, side: np.ndarray, crown: np.ndarray
    ) -> list[Tube]:
        """Head and face around the middle of the skull; all directions are unit vectors."""
        h = self.head

        def at(forward: float, up: float, across: float = 0.0) -> np.ndarray:
            return skull + h * (forward * nose + up * crown + across * side)

        tip = 0.9 + self.muzzle
        parts = [
            _line("head", at(-0.8, 0), at(0.9, 0), np.array([0.3, 0.85, 1, 0.8, 0.3]) * h),
            _line("muzzle", at(0.3, -0.2), at(tip, -0.3), np.array([0.6, 0.5, 0.4, 0.2]) * h),
            _line("nose", at(tip - 0.1, -0.2), at(tip + 0.08, -0.2), [0.05 * h, 0.15 * h, 0.1 * h]),
        ]
        if self.mouth:
            reach = 0.35 + 0.9 * self.muzzle if self.muzzle > 0.3 else 0.83
            ends = at(reach, -0.5, -0.3), at(reach, -0.5, 0.3)
            parts.append(_line("mouth", *ends, np.array([0.05, 0.1, 0.05]) * h))
        if self.hair:
            size = np.array([0.3, 0.8, 1.05, 0.7]) * h
            parts.append(_line("hair", at(-0.75, 0.5 - self.hair), at(0.45, 0.55), size))
        for sign in (-1, 1):
            root = at(-0.2, 0.6, 0.5 * sign)
            ear = root + self.ear * (crown + sign * self.spread * side)
            parts.append(_line("ear", root, ear, np.array([0.3, 0.3, 0.05]) * h))
            if self.horn:
                end = at(0.1 - self.horn, 0.8 + 2 * self.horn, 0.6 * sign)
                size = np.array([0.15, 0.1, 0.02]) * h
                parts.append(_line("horn", at(0.1, 0.7, 0.3 * sign), end, size))
            ball = np.array([0.02, 1, 1, 0.02]) * self.eye * h
            if self.whites:
                ends = at(0.42, 0.33, 0.58 * sign), at(0.68, 0.33, 0.58 * sign)
                parts.append(_line("white", *ends, 1.4 * ball))
            ends = at(0.45, 0.35, 0.62 * sign), at(0.78, 0.35, 0.62 * sign)
            parts.append(_line("eye", *ends, ball))
        return parts

    def _worn(self, spine: np.ndarray, pitch: float, gait: _Gait, time: float) -> list[Tube]:
        """Wings and a pack on the back."""
        g, parts = self.girth, []
        back = np.array([0, np.sin(pitch), np.cos(pitch)])
        if self.pack:
            ends = spine[2] + 1.2 * g * back, spine[5] + 1.2 * g * back
            size = np.array([[0.3, 0.2], [0.8, 0.5], [0.8, 0.5], [0.3, 0.2]]) * self.pack * g
            parts.append(Tube("pack", _line("pack", *ends, np.ones(4)).places, size))
        for sign in (-1, 1) if self.wing else ():
            lift = gait.beat * np.sin(2 * np.pi * time) + 0.4
            out = np.array([sign * np.cos(lift), 0, 0]) + np.sin(lift) * back
            root = spine[4] + 0.7 * g * back
            wing = _line("wing", root, root + self.wing * (out + [0, 0.3, 0]), np.ones(4))
            size = np.array([[0.2, 0.04], [0.3, 0.03], [0.25, 0.03], [0.05, 0.01]]) * self.wing
            parts.append(Tube("wing", wing.places, size[:, ::-1] if self.upright else size))
        return parts

    def _tail(self, root: np.ndarray, wag: float, pitch: float) -> Tube:
        s = np.linspace(0, 1, 6)
        angle = self.droop + self.curl * s + (0.0 if self.upright else -0.5 * pitch)
        steps = np.stack([2 * wag * s, np.cos(angle), np.sin(angle)], 1) * self.tail / 5
        places = root + np.concatenate([[[0, 0, 0]], steps[:-1].cumsum(0)])
        radii = np.interp(s, [0, 0.6, 1], [0.3, 0.3 * self.bushy + 0.05, 0.05]) * self.girth
        return Tube("tail", places, radii[:, None] * [1, 1])

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
                thigh += gait.act(time) * (gait.reach if arm else gait.lunge[pair])[number]
                bend = gait.knee * max(0.0, np.cos(swing)) + gait.rest
                shin = thigh + bend if arm or pair == 1 else thigh - bend
                out = sign * (gait.out if arm else 0.03)
                knee = hip + 0.5 * length * np.array([out, -np.sin(thigh), -np.cos(thigh)])
                foot = knee + 0.5 * length * np.array([0.5 * out, -np.sin(shin), -np.cos(shin)])
                toe = foot + [0, -self.paw * thick, -0.3 * thick]
                places = np.stack([hip, (hip + knee) / 2, knee, (knee + foot) / 2, foot, toe])
                radii = np.array([1.3 + 0.8 * (not arm), 1.4, 0.95, 0.75, 0.85, 0.5]) * thick
                legs.append(Tube("arm" if arm else "leg", places, radii[:, None] * [1, 1]))
                if arm:
                    size = np.array([0.3, 1, 1, 0.4]) * 1.3 * thick
                    end = foot + 1.5 * (foot - knee) * thick / length
                    legs.append(_line("hand", foot, end, size))
        return legs

    def colors(self, tubes: list[Tube], rng: np.random.Generator) -> np.ndarray:
        """Colours [F, 3] uint8 of the tubes' faces."""
        colors = []
        for kind, places, _ in tubes:
            rings = np.repeat(np.arange(len(places) - 1), 2 * RING)
            around = np.tile(np.repeat(np.arange(RING), 2), len(places) - 1)
            pick = np.zeros(len(rings), bool)
            if self.markings[0]:
                pick |= (rings % 2 == 1) & (kind in ("trunk", "neck", "tail"))  # stripes
            if self.markings[1]:
                pick |= (np.abs(around - 7.5) < 2) & (kind in ("trunk", "neck", "head"))  # belly
            if self.markings[2]:
                pick |= (rings >= 3) & (kind in ("leg", "arm"))  # feet
            if self.markings[3]:
                pick |= kind in ("head", "muzzle", "ear", "wing")
            if self.markings[4]:
                pick |= rng.random(len(rings)) < 0.2  # spots
            if self.markings[5]:
                pick |= (kind == "trunk") & (rings > 2) | (kind == "leg") & (rings < 2)  # shirt
            own = self.paint.get(kind)
            color = np.where(pick[:, None] & (own is None), self.second, self.main)
            colors.append(color if own is None else np.broadcast_to(own, color.shape))
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
        self.turn, self.beat = rng.normal(0, 0.3), u(0, 0.9)
        self.arm = u(0.5, 0.9) if build.upright else u(0.2, 0.5)
        self.out = u(0.0, 0.5) if rng.random() < 0.7 else u(0.8, 2.0)
        acts = rng.random() < (ACTS if build.upright else ACTS / 2)
        self.ends, self.late = rng.random() < 0.5, u(0.0, 0.4)
        self.bow = acts * (u(-0.4, 1.1) if build.upright else u(-0.6, 0.4))
        self.reach = acts * u(-0.8, 2.6, 2)  # radians, of the arms
        self.lunge = acts * u(-1.0, 1.0, (2, 2)) * (1.0 if build.upright else 0.6)  # of the legs
        self.travel = acts * np.array([*rng.normal(0, 0.5, 2), max(0.0, rng.normal(0, 0.4))])
        falls = acts and rng.random() < 0.25
        self.fall = falls * np.array([*rng.normal(0, 0.9, 2), rng.normal(0, 0.4)])  # its rotation

    def act(self, time: float) -> float:
        """Share of an act at a moment: it rises once and stays, or is over at the end."""
        progress = min(max(time - self.late, 0.0) / (0.85 - self.late), 1.0)
        return np.sin(np.pi * progress) if not self.ends else progress**2 * (3 - 2 * progress)


def _line(kind: str, start: np.ndarray, end: np.ndarray, radii) -> Tube:
    radii = np.asarray(radii, float)
    share = np.linspace(0, 1, len(radii))[:, None]
    return Tube(kind, start + share * (end - start), radii[:, None] * [1, 1])


def _vertices(tubes: list[Tube], square: float) -> np.ndarray:
    """Rings around all tubes, [V, 3]: superellipses with this exponent (2 = round)."""
    angle = np.arange(RING) * 2 * np.pi / RING + (np.pi / RING if square > 2 else 0)
    cos, sin = np.cos(angle), np.sin(angle)
    far = (np.abs(cos) ** square + np.abs(sin) ** square) ** (-1 / square)
    cos, sin = (far * cos)[None, :, None], (far * sin)[None, :, None]
    rings = []
    for _, places, radii in tubes:
        forward = np.gradient(places, axis=0)
        forward /= np.linalg.norm(forward, axis=1, keepdims=True) + 1e-9
        across = np.cross(forward, [0, 0, 1.0]) + 1e-3 * np.array([1.0, 0, 0])
        steep = np.abs(forward[:, 2:]) > 0.9
        across = np.where(steep, np.cross(forward, [0, 1.0, 0]), across)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        across *= np.where(across[:, :1] < 0, -1, 1)
        upright = np.cross(across, forward)
        circle = across[:, None] * cos * radii[:, None, :1]
        circle = circle + upright[:, None] * sin * radii[:, None, 1:]
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
