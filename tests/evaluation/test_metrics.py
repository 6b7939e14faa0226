"""The metrics against slow literal transcriptions of their definitions, and at their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ds4d.evaluation import metrics

SIZE = 24


@pytest.fixture
def clip() -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a truth, [5, 24, 24, 3]: a square that wanders over a still pattern."""
    random = np.random.default_rng(0)
    truth = np.ones((5, SIZE, SIZE, 3), np.float32)
    truth[:, 2:6, 2:20] = random.random((4, 18, 3))
    for frame in range(5):
        truth[frame, 12:16, 3 + 2 * frame : 7 + 2 * frame] = (0.8, 0.2, 0.1)
    noise = random.normal(0, 0.05, truth.shape)
    return (truth + noise).clip(0, 1).astype(np.float32), truth


def slow_psnr(errors: list[float]) -> float:
    return -10 * math.log10(max(sum(errors) / len(errors), 1e-10))


def pixel_error(prediction: np.ndarray, truth: np.ndarray) -> float:
    return sum((float(p) - float(t)) ** 2 for p, t in zip(prediction, truth, strict=True)) / 3


def near(mask: np.ndarray, y: int, x: int, radius: int) -> bool:
    """True if the mask is set within `radius` pixels of a place."""
    return any(
        mask[v, u]
        for v in range(max(y - radius, 0), min(y + radius + 1, SIZE))
        for u in range(max(x - radius, 0), min(x + radius + 1, SIZE))
        if (v - y) ** 2 + (u - x) ** 2 <= radius**2
    )


PLACES = [(y, x) for y in range(SIZE) for x in range(SIZE)]


def moving_places(truth: np.ndarray) -> list[tuple[int, int]]:
    def moves(y: int, x: int) -> bool:
        return any(max(truth[:, y, x, c]) - min(truth[:, y, x, c]) > 0.1 for c in range(3))

    moving = np.array([moves(y, x) for y, x in PLACES]).reshape(SIZE, SIZE)
    return [(y, x) for y, x in PLACES if near(moving, y, x, 3)]


def test_psnr_is_over_all_pixels(clip):
    prediction, truth = clip[0][0], clip[1][0]
    errors = [pixel_error(prediction[place], truth[place]) for place in PLACES]
    assert metrics.psnr(prediction, truth) == pytest.approx(slow_psnr(errors), abs=1e-4)


def test_psnr_fg_is_over_the_surroundings_of_either_mask(clip):
    prediction, truth = clip[0][0], clip[1][0]
    mine, real = np.zeros((2, SIZE, SIZE), bool)
    mine[3, 20], real[12:16, 3:7] = True, True
    errors = [pixel_error(prediction[p], truth[p]) for p in PLACES if near(mine | real, *p, 5)]
    assert len(errors) < SIZE * SIZE / 2
    assert metrics.psnr_fg(prediction, truth, mine, real) == pytest.approx(
        slow_psnr(errors), abs=1e-4
    )
    errors = [pixel_error(prediction[p], truth[p]) for p in PLACES if near(real, *p, 5)]
    assert metrics.psnr_fg(prediction, truth, None, real) == pytest.approx(
        slow_psnr(errors), abs=1e-4
    )


def test_motion_psnr_pools_the_region_that_moves_at_any_time(clip):
    prediction, truth = clip
    errors = [
        pixel_error(prediction[t, y, x], truth[t, y, x])
        for t in range(5)
        for y, x in moving_places(truth)
    ]
    assert metrics.motion_psnr(prediction, truth) == pytest.approx(slow_psnr(errors), abs=1e-4)


def test_motion_psnr_frame_pools_what_moves_at_each_frame(clip):
    prediction, truth = clip
    errors = []
    for t in range(5):
        neighbours = [s for s in (t - 1, t + 1) if 0 <= s < 5]
        moving = np.array(
            [
                any(max(abs(truth[t, y, x] - truth[s, y, x])) > 0.1 for s in neighbours)
                for y, x in PLACES
            ]
        ).reshape(SIZE, SIZE)
        places = [(y, x) for y, x in PLACES if near(moving, y, x, 2)]
        errors += [pixel_error(prediction[t, y, x], truth[t, y, x]) for y, x in places]
    assert metrics.motion_psnr_frame(prediction, truth) == pytest.approx(
        slow_psnr(errors), abs=1e-4
    )


def test_temporal_psnr_compares_the_steps_from_frame_to_frame(clip):
    prediction, truth = clip
    errors = [
        pixel_error(
            prediction[t + 1, y, x] - prediction[t, y, x], truth[t + 1, y, x] - truth[t, y, x]
        )
        for t in range(4)
        for y, x in moving_places(truth)
    ]
    assert metrics.temporal_psnr(prediction, truth) == pytest.approx(slow_psnr(errors), abs=1e-4)


def test_ssim_of_a_window_is_the_formula_of_the_paper():
    random = np.random.default_rng(1)
    a, b = random.random((2, 11, 11, 3)).astype(np.float32)  # one window of 11 x 11 fits
    offsets = np.arange(-5, 6)
    window = np.exp(-0.5 * (offsets[:, None] ** 2 + offsets[None] ** 2) / 1.5**2)
    window /= window.sum()
    values = []
    for x, y in zip(a.transpose(2, 0, 1), b.transpose(2, 0, 1), strict=True):
        mx, my = (window * x).sum(), (window * y).sum()
        vx, vy = (window * x * x).sum() - mx**2, (window * y * y).sum() - my**2
        vxy = (window * x * y).sum() - mx * my
        c1, c2 = 0.01**2, 0.03**2
        values.append((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert metrics.ssim(a, b) == pytest.approx(np.mean(values), abs=1e-5)


def test_a_perfect_prediction_has_the_highest_scores(clip):
    truth = clip[1]
    mask = np.zeros((SIZE, SIZE), bool)
    mask[3:7, 3:7] = True
    assert metrics.psnr(truth[0], truth[0]) == pytest.approx(100)
    assert metrics.psnr_fg(truth[0], truth[0], mask, mask) == pytest.approx(100)
    assert metrics.ssim(truth[0], truth[0]) == pytest.approx(1)
    assert metrics.mask_iou(mask, mask) == 1
    for motion in (metrics.motion_psnr, metrics.motion_psnr_frame, metrics.temporal_psnr):
        assert motion(truth, truth) == pytest.approx(100)


def test_a_constant_offset_costs_motion_but_not_its_change(clip):
    truth = clip[1] * 0.5
    assert metrics.motion_psnr(truth + 0.1, truth) == pytest.approx(20, abs=1e-3)
    assert metrics.temporal_psnr(truth + 0.1, truth) == pytest.approx(100, abs=1)


def test_without_motion_there_is_no_motion_to_measure(clip):
    prediction, truth = clip[0], clip[1][:1].repeat(5, 0)
    assert metrics.motion_psnr(prediction, truth) is None
    assert metrics.motion_psnr_frame(prediction, truth) is None
    assert metrics.temporal_psnr(prediction, truth) is None
    assert metrics.temporal_psnr(prediction[:1], truth[:1]) is None


def test_empty_masks(clip):
    prediction, truth = clip[0][0], clip[1][0]
    empty = np.zeros((SIZE, SIZE), bool)
    assert metrics.mask_iou(empty, empty) == 0
    assert metrics.psnr_fg(prediction, truth, empty, empty) == metrics.psnr(prediction, truth)


def test_transparent_pixels_are_white_and_outside_the_mask():
    image = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 127]]], np.uint8)
    color, mask = metrics.on_white(image)
    expected = [[[1, 0, 0], [1, 1, 1], [128 / 255] * 3]]
    np.testing.assert_allclose(color, expected, atol=1e-6)
    assert mask.tolist() == [[True, False, False]]
    color, mask = metrics.on_white(image[..., :3])
    assert mask is None and color[0, 1].tolist() == [1, 0, 0]
