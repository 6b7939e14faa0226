"""Twelve synthetic backgrounds for cut-out objects: eight plain, four textured."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

PLAIN = ("white", "off-white", "grey", "saturated", "near", "vertical", "radial", "studio")
TEXTURED = ("wood", "bricks", "foliage", "drift")
NAMES = PLAIN + TEXTURED


def compose(
    name: str,  # one of NAMES
    colors: np.ndarray,  # [T, S, S, 3] float32 in 0..255, the object's colours
    opacity: np.ndarray,  # [T, S, S] float32 in 0..1
) -> tuple[np.ndarray, np.ndarray]:
    """Compose the object over a background: images [T, S, S, 3] float32, true mattes [T, S, S].

    "near" is the object's own median colour moved by 20 Lab units; "studio" is a floor on which the
    object throws a soft shadow; before "drift" the camera wanders, so that object and background
    move through the picture together.
    """
    size = colors.shape[1]
    if name == "near":
        background = _like(colors, opacity)
    else:
        background = _MAKERS[name](size)
    if name == "studio":
        background = background * _shadows(opacity)
    a = opacity[..., None]
    if name == "drift":
        return _handheld(colors, opacity, background)
    return colors * a + background * (1 - a), opacity


# --- plain --------------------------------------------------------------------------------------


def _flat(*color: float) -> Callable[[int], np.ndarray]:
    return lambda size: np.full((size, size, 3), color, np.float32)


def _like(colors: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(colors[0] / 255, cv2.COLOR_RGB2LAB)
    median = np.median(lab[opacity[0] > 0.9], axis=0)
    away = np.array([15.0 if median[0] < 60 else -15.0, 10.0, 8.0])  # 19.7 long
    moved = (median + away).astype(np.float32)[None, None]
    return cv2.cvtColor(moved, cv2.COLOR_LAB2RGB).clip(0, 1) * np.full((*colors.shape[1:3], 1), 255)


def _vertical(size: int) -> np.ndarray:
    y = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    return (1 - y) * (150.0, 190, 230) + y * (235.0, 225, 205) + np.zeros((1, size, 1))


def _radial(size: int) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    fade = np.exp(-(x**2 + (y + 0.2) ** 2) / 0.9)[..., None]
    return fade * (235.0, 230, 240) + (1 - fade) * (95.0, 85, 120)


def _studio(size: int) -> np.ndarray:
    """A bright floor that turns into a wall behind the object."""
    y = np.linspace(0, 1, size)[:, None, None]
    wall = 225 - 25 * y
    floor = 236 + 6 * y
    turn = 1 / (1 + np.exp(-(y - 0.62) / 0.05))
    return ((1 - turn) * wall + turn * floor) * (1.0, 0.99, 0.97) * np.ones((1, size, 1))


def _shadows(opacity: np.ndarray) -> np.ndarray:
    """Factors [T, S, S, 1]: each silhouette flattened onto the floor below it, and blurred."""
    size = opacity.shape[1]
    rows = np.nonzero((opacity > 0.5).any(axis=(0, 2)))[0]
    foot = rows.max() - 0.02 * size
    squash = np.array([[1.0, 0.12, -0.12 * foot], [0.0, 0.14, 0.86 * foot]])
    flat = [cv2.warpAffine(frame, squash, (size, size)) for frame in opacity]
    soft = [cv2.GaussianBlur(frame, (0, 0), 0.018 * size) for frame in flat]
    return 1 - 0.3 * np.stack(soft)[..., None]


# --- textured -----------------------------------------------------------------------------------


def _noise(size: int, cells: tuple[int, int], octaves: int, seed: int) -> np.ndarray:
    """Fractal value noise [S, S] in 0..1 with cells[0] x cells[1] coarsest cells."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        grid = rng.random((cells[0] * 2**octave + 3, cells[1] * 2**octave + 3), np.float32)
        large = cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        total += large * 0.5**octave
    return ((total - total.min()) / np.ptp(total)).astype(np.float32)


def _wood(size: int) -> np.ndarray:
    """Planks with grain."""
    y, x = np.mgrid[:size, :size] / size
    plank = np.floor(x * 5).astype(int)
    tone = np.random.default_rng(3).uniform(0.8, 1.1, 6)[plank]
    grain = _noise(size, (3, 24), 4, 4)
    rings = 0.5 + 0.5 * np.sin(40 * (x * 5 % 1) + 14 * _noise(size, (3, 6), 2, 5))
    gap = np.minimum(x * 5 % 1, 1 - x * 5 % 1) < 0.02
    level = tone * (0.72 + 0.25 * grain + 0.12 * rings) * np.where(gap, 0.45, 1.0)
    return level[..., None] * (172.0, 124, 82)


def _bricks(size: int) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size * 12
    row = np.floor(y)
    along = x / 2 + 0.5 * (row % 2)
    tones = np.random.default_rng(6).uniform(0.7, 1.15, (13, 8))
    tone = tones[row.astype(int), np.floor(along).astype(int)]
    near = np.minimum(np.minimum(y % 1, 1 - y % 1), 2 * np.minimum(along % 1, 1 - along % 1))
    mortar = np.clip((0.1 - near) / 0.04, 0, 1)[..., None]
    rough = (0.75 + 0.4 * _noise(size, (40, 40), 3, 7))[..., None]
    brick = tone[..., None] * (158.0, 82, 62)
    return rough * ((1 - mortar) * brick + mortar * (190.0, 182, 170))


def _foliage(size: int) -> np.ndarray:
    """Leaves over leaves, the deeper ones darker."""
    rng = np.random.default_rng(8)
    picture = np.full((size, size, 3), (22, 34, 16), np.float32)
    for depth in np.linspace(0.25, 1, 1400):
        center = tuple(int(v) for v in rng.uniform(0, size, 2))
        length = size * rng.uniform(0.02, 0.045)
        green = np.array((70.0, 120, 40)) + rng.normal(0, 1, 3) * (22, 18, 12)
        axes = (int(length), max(1, int(0.4 * length)))
        color = tuple(float(v) for v in (green * depth).clip(0, 255))
        cv2.ellipse(picture, center, axes, rng.uniform(0, 360), 0, 360, color, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (0, 0), size / 512)


def _ground(size: int) -> np.ndarray:
    """A mottled surface in two earthen colours, larger than the picture."""
    wide = size * 5 // 4
    mix = _noise(wide, (9, 9), 5, 9)[..., None]
    light = (0.75 + 0.5 * _noise(wide, (50, 50), 3, 10))[..., None]
    return light * ((1 - mix) * (150.0, 140, 120) + mix * (92.0, 104, 118))


def _handheld(
    colors: np.ndarray, opacity: np.ndarray, ground: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a hand-held camera: drift by 6 % of the image, slight rotation and zoom."""
    count, size = opacity.shape[:2]
    edge = (len(ground) - size) // 2
    pictures, truths = [], []
    for index in range(count):
        s = index / max(1, count - 1)
        angle, zoom = np.radians(1.5 * np.sin(4 * s)), 1 + 0.03 * s
        shift = size * np.array([0.05 * s + 0.008 * np.sin(9 * s), 0.02 * np.sin(5 * s)])
        turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.full(2, size / 2)
        matrix = np.column_stack([turn, middle - turn @ middle - shift])
        outer = np.column_stack([turn, matrix[:, 2] - turn @ np.full(2, edge)])
        behind = cv2.warpAffine(ground.astype(np.float32), outer, (size, size))
        a = opacity[index]
        layer = cv2.warpAffine(np.dstack([colors[index] * a[..., None], a]), matrix, (size, size))
        pictures.append(layer[..., :3] + behind * (1 - layer[..., 3:]))
        truths.append(layer[..., 3])
    return np.stack(pictures), np.stack(truths)


_MAKERS = {
    "white": _flat(255, 255, 255),
    "off-white": _flat(250, 247, 240),
    "grey": _flat(128, 128, 128),
    "saturated": _flat(20, 150, 90),
    "vertical": _vertical,
    "radial": _radial,
    "studio": _studio,
    "wood": _wood,
    "bricks": _bricks,
    "foliage": _foliage,
    "drift": _ground,
}
