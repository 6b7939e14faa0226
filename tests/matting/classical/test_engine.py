"""Mattes without a network, against true ones over made backgrounds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ds4d.matting import classical
from tests.cases import FROG
from tests.stages import finished

SIZE = 160


def matte(frames: np.ndarray) -> tuple[np.ndarray, list]:
    events, alphas = finished(classical.run(frames))
    return alphas, events


def iou(alphas: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of each frame, [T]."""
    a, b = alphas > 127, truth > 127
    return (a & b).sum(axis=(1, 2)) / (a | b).sum(axis=(1, 2))


def figure(count: int = 6, color=(200, 120, 40)) -> tuple[np.ndarray, np.ndarray]:
    """A body with a hole and a waving arm: colours [T, H, W, 3] and true mattes [T, H, W]."""
    colors = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    truth = np.zeros((count, SIZE, SIZE), np.uint8)
    shade = np.linspace(1, 0.75, SIZE)[:, None, None]
    for index in range(count):
        angle = np.pi * (0.1 + 0.5 * index / count)
        tip = (int(80 + 60 * np.cos(angle)), int(70 - 50 * np.sin(angle)))
        canvas = np.zeros((4 * SIZE, 4 * SIZE), np.uint8)  # drawn large: soft edges when shrunk
        cv2.ellipse(canvas, (320, 360), (130, 190), 0, 0, 360, 255, -1)
        cv2.circle(canvas, (320, 420), 40, 0, -1)
        cv2.line(canvas, (320, 280), (4 * tip[0], 4 * tip[1]), 255, 40)
        truth[index] = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        colors[index] = (np.array(color) * shade).astype(np.uint8)
    return colors, truth


def over(colors: np.ndarray, truth: np.ndarray, background: np.ndarray, noise: float) -> np.ndarray:
    """Composite with the noise of a camera, [T, H, W, 3] uint8."""
    alpha = truth[..., None] / 255
    frames = colors * alpha + background * (1 - alpha)
    frames += np.random.default_rng(0).normal(0, noise, frames.shape)
    return frames.clip(0, 255).astype(np.uint8)


def backdrops() -> dict[str, np.ndarray]:
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    return {
        "white": np.full((SIZE, SIZE, 3), 255.0),
        "off-white": np.full((SIZE, SIZE, 3), (250.0, 248, 243)),
        "green": np.full((SIZE, SIZE, 3), (60.0, 150, 90)),
        "gradient": np.stack([200 - 80 * y, 210 - 60 * x - 30 * y, 225 - 60 * x], -1),
    }


@pytest.mark.parametrize("name", backdrops())
def test_plain_backgrounds(name):
    colors, truth = figure()
    alphas, events = matte(over(colors, truth, backdrops()[name], noise=1.5))
    assert alphas.shape == truth.shape and alphas.dtype == np.uint8
    assert iou(alphas, truth).min() > 0.97  # the hole is open, too
    edge = (truth > 20) & (truth < 235)
    assert np.abs(alphas.astype(int) - truth)[edge].mean() < 40  # soft where the truth is
    assert not any(event.warning for event in events)
    assert events[-1].step == events[-1].total and events[-1].preview.shape == (SIZE, SIZE, 3)


def test_white_on_white_gets_no_holes():
    colors, truth = figure(color=(246, 246, 244))  # shaded down to three quarters of that
    alphas, _ = matte(over(colors, truth, np.full((SIZE, SIZE, 3), 255.0), noise=1.0))
    inside = np.stack([cv2.erode(frame, np.ones((9, 9))) for frame in truth]) > 250
    assert (alphas[inside] > 127).mean() > 0.995


def texture(side: int = SIZE) -> np.ndarray:
    """Blotches in two colours, [side, side, 3]."""
    rng = np.random.default_rng(1)
    blotches = cv2.resize(rng.uniform(0, 1, (side // 4, side // 4, 1)), (side, side))[..., None]
    return (1 - blotches) * (70.0, 90, 120) + blotches * (150.0, 170, 160)


def test_a_textured_background_before_a_still_camera():
    colors, truth = figure(12)
    alphas, events = matte(over(colors, truth, texture(), noise=1.5))
    assert iou(alphas, truth).min() > 0.93
    assert not any(event.warning for event in events)


def test_parts_that_never_move_belong_to_the_object():
    """The body stands still before bricks; only its arm waves."""
    colors, truth = figure(10)
    alphas, _ = matte(over(colors, truth, texture(), noise=1.5))
    body = np.zeros((SIZE, SIZE), np.uint8)
    cv2.ellipse(body, (80, 90), (26, 40), 0, 0, 360, 255, -1)
    cv2.circle(body, (80, 105), 14, 0, -1)
    assert (alphas[:, body > 0] > 127).mean() > 0.99


def test_thin_limbs_in_the_colours_of_the_background_are_found_where_they_move():
    """A walking figure: half of its frames a leg looks much like the wood behind it."""
    truth = np.zeros((8, SIZE, SIZE), np.uint8)
    for index, angle in enumerate(np.linspace(0, 2 * np.pi, 8, endpoint=False)):
        canvas = np.zeros((4 * SIZE, 4 * SIZE), np.uint8)
        cv2.ellipse(canvas, (320, 220), (50, 130), 0, 0, 360, 255, -1)
        for side in (1, -1):
            foot = int(320 + side * 150 * np.sin(angle)), 570
            cv2.line(canvas, (320, 330), foot, 255, 32)
        truth[index] = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(3)
    grain = cv2.resize(rng.uniform(0.75, 1, (SIZE // 8, SIZE // 2, 1)), (SIZE, SIZE))[..., None]
    wood = grain * (172.0, 124, 82)
    colors = np.zeros((8, SIZE, SIZE, 3)) + np.array((168, 130, 98))
    colors[:, :85] = (60, 70, 90)
    alphas, _ = matte(over(colors, truth, wood, noise=1.5))
    limbs = truth[:, 92:] > 127
    assert ((alphas[:, 92:] > 127) & limbs).sum() > 0.9 * limbs.sum()
    assert iou(alphas, truth).mean() > 0.88


def test_a_camera_that_drifts_is_followed():
    colors, truth = figure(10)
    a = truth[..., None] / 255
    wide = texture(SIZE + 40)
    frames, moved = [], []
    for index in range(10):
        x, y = 2.4 * index, 20 - 1.1 * index
        shift = np.array([[1, 0, 11 - x], [0, 1, 15 - y]])
        behind = cv2.warpAffine(wide, np.array([[1, 0, -x], [0, 1, -y]]), (SIZE, SIZE))
        layer = cv2.warpAffine(np.dstack([colors[index] * a[index], a[index]]), shift, (SIZE, SIZE))
        frames.append(layer[..., :3] + behind * (1 - layer[..., 3:]))
        moved.append(layer[..., 3] * 255)
    noise = np.random.default_rng(0).normal(0, 1.5, np.shape(frames))
    alphas, events = matte((np.stack(frames) + noise).clip(0, 255).astype(np.uint8))
    assert iou(alphas, np.stack(moved)).min() > 0.92
    assert not any("still" in event.message for event in events if event.warning)


def test_a_background_that_jumps_about_is_warned_about():
    colors, truth = figure(8)
    rng = np.random.default_rng(2)
    jumps = [np.roll(texture(), rng.integers(0, SIZE, 2), (0, 1)) for _ in range(8)]
    alphas, events = matte(over(colors, truth, np.stack(jumps), noise=1.5))
    assert any(event.warning and "nor still" in event.message for event in events)
    assert iou(alphas, truth).mean() > 0.9  # colours tell


def test_an_object_in_the_colours_of_the_background_is_doubted():
    colors, truth = figure(8, color=(140, 150, 150))
    alphas, events = matte(over(colors, truth, texture(), noise=1.5))
    bad = iou(alphas, truth).mean() < 0.9
    assert bad == any(event.warning and "hard to tell" in event.message for event in events)


def test_nothing_there():
    frames = np.full((4, 60, 80, 3), 200, np.uint8)
    alphas, events = matte(frames)
    assert alphas.shape == (4, 60, 80) and not alphas.any()


def test_mattes_do_not_flicker():
    """A still figure under the noise of a camera: every change is the engine's own."""
    colors, truth = figure(1)
    frames = over(np.repeat(colors, 8, 0), np.repeat(truth, 8, 0), backdrops()["off-white"], 2.5)
    alphas, _ = matte(frames)
    change = np.abs(np.diff(alphas.astype(float) / 255, axis=0)).sum(axis=(1, 2))
    assert change.max() < 0.02 * (truth[0] > 127).sum()


@pytest.mark.parametrize("strength", [0.12, 0.35])
def test_a_soft_shadow_on_the_floor_is_left_out(strength):
    colors, truth = figure()
    y, x = np.mgrid[:SIZE, :SIZE]
    shadow = 1 - strength * np.exp(-(((x - 80) / 40) ** 2 + ((y - 145) / 9) ** 2))
    alphas, _ = matte(over(colors, truth, 240.0 * shadow[..., None] * np.ones(3), noise=1.0))
    assert iou(alphas, truth).min() > 0.96


def test_a_grey_object_with_sharp_edges_is_no_shadow():
    colors, truth = figure(color=(200, 200, 200))
    alphas, _ = matte(over(colors, truth, np.full((1, 1, 3), 240.0), noise=1.0))
    assert iou(alphas, truth).min() > 0.97


def test_dirt_is_dropped_and_what_moves_along_is_kept():
    colors, truth = figure()
    for index in range(len(truth)):
        cv2.circle(truth[index], (20 + 3 * index, 120), 12, 255, -1)  # a ball beside the figure
    frames = over(colors, truth, backdrops()["white"], noise=1.0)
    frames[2, 5:9, 5:9] = 0
    alphas, _ = matte(frames)
    assert alphas[2, :12, :12].max() == 0
    assert (alphas[2, 116:124, 22:30] > 200).all()


def test_large_frames_come_back_at_their_own_size():
    colors, truth = figure(2)
    frames = over(colors, truth, backdrops()["green"], noise=0)
    large = np.stack([cv2.resize(frame, (900, 700)) for frame in frames])
    expected = np.stack([cv2.resize(frame, (900, 700)) for frame in truth])
    alphas, _ = matte(large)
    assert alphas.shape == (2, 700, 900)
    assert iou(alphas, expected).min() > 0.97


@pytest.mark.parametrize("level", [(255, 255, 255), (70, 130, 100)], ids=["white", "green"])
def test_true_mattes_over_a_plain_backdrop(level):
    paths = sorted((FROG / "input").glob("*.png"))[::2]
    rgba = np.stack([cv2.cvtColor(cv2.imread(str(p), -1), cv2.COLOR_BGRA2RGBA) for p in paths])
    background = np.full((1, 1, 3), level, np.float64)
    alphas, _ = matte(over(rgba[..., :3], rgba[..., 3], background, noise=1.5))
    assert iou(alphas, rgba[..., 3]).mean() > 0.955  # half a pixel of the rim is 3 % at this size
