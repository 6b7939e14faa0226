"""Neighbouring frames are heard where a frame itself is unsure."""

from __future__ import annotations

import cv2
import numpy as np

from ds4d.matting.classical.temporal import smooth

SIZE = 128


def moving(count: int = 3, step: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A textured square that moves right before grey: frames [T, H, W, 3], true masks."""
    rng = np.random.default_rng(0)
    face = cv2.resize(rng.uniform(0, 255, (14, 14, 3)), (56, 56)).clip(0, 255)
    frames = np.full((count, SIZE, SIZE, 3), 128, np.uint8)
    masks = np.zeros((count, SIZE, SIZE), bool)
    for index in range(count):
        left = 30 + step * index
        frames[index, 36:92, left : left + 56] = face
        masks[index, 36:92, left : left + 56] = True
    return frames, masks


def test_a_gap_in_the_log_odds_is_closed_by_the_neighbours():
    frames, masks = moving()
    log_odds = np.where(masks, 5.0, -2.0).astype(np.float32)
    log_odds[1, 50:70, 50:70] = 0.1
    result = list(smooth(log_odds, frames))
    assert (result[1][50:70, 50:70] > 1).mean() > 0.9
    np.testing.assert_allclose(result[1][:20], -2, atol=0.2)


def test_a_sure_pixel_keeps_its_word_and_other_looks_have_none():
    frames, masks = moving()
    log_odds = np.where(masks, 5.0, -2.0).astype(np.float32)
    assert all(
        ((steady > 0) == mask).mean() > 0.999
        for steady, mask in zip(smooth(log_odds, frames), masks, strict=True)
    )
    log_odds[1] = 0.1
    strangers = frames.copy()
    strangers[[0, 2]] = 0
    np.testing.assert_allclose(list(smooth(log_odds, strangers))[1][:25], 0.1, atol=0.05)
