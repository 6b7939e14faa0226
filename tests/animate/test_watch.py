"""Doubts about the frames of a video network."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ds4d.animate.watch import doubts
from tests.animate.figures import person


def frames(moved) -> np.ndarray:
    """Twelve frames of a person over white; `moved` draws it at a time from 0 to 1."""
    cut_out = person()
    alpha = cut_out[..., 3:] / 255.0
    image = (cut_out[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.stack([moved(image, time) for time in np.linspace(0, 1, 12)])


def zoomed(image: np.ndarray, time: float) -> np.ndarray:
    side = len(image)
    scale = 1 - 0.5 * time
    matrix = np.array([[scale, 0, side / 2 * (1 - scale)], [0, scale, side / 2 * (1 - scale)]])
    return cv2.warpAffine(image, matrix, (side, side), borderValue=(255, 255, 255))


def panned(image: np.ndarray, time: float) -> np.ndarray:
    """A patterned floor that slides under the person."""
    rng = np.random.default_rng(0)
    pattern = cv2.resize(rng.integers(0, 255, (24, 48), np.uint8), (768, 384))
    side = len(image)
    background = pattern[:side, round(120 * time) :][:, :side, None].repeat(3, 2)
    return np.where(image.min(-1, keepdims=True) > 250, background, image)


def shifted(image: np.ndarray, time: float) -> np.ndarray:
    return np.roll(image, round(8 * time), axis=1)


def cut(image: np.ndarray, time: float) -> np.ndarray:
    return image if time < 0.5 else (image * 0.3).astype(np.uint8)


@pytest.mark.parametrize(("moved", "told"), [
    (shifted, []), (zoomed, ["camera zooms"]), (panned, ["camera"]), (cut, ["scene changes"]),
])  # fmt: skip
def test_what_is_no_motion_of_the_object_is_told(moved, told):
    found = doubts(frames(moved))
    assert all(any(words in sentence for sentence in found) for words in told), found
    assert bool(found) == bool(told)
