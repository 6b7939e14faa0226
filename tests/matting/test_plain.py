"""Mattes of pictures with a plain background: generated views."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ds4d.matting import plain

SIZE = 160
GREY = 127


def ring(frames: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [T, H, W, 3] of an orange ring on grey, and its opacities [T, H, W] in 0..1."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    opacities = []
    for frame in range(frames):
        radius = np.hypot(x - 75 - 3 * frame, y - 80)
        opacities.append(np.clip(50 - radius, 0, 1) * np.clip(radius - 25, 0, 1))
    opacity = np.stack(opacities)
    pictures = GREY + opacity[..., None] * (np.array((230, 140, 30)) - GREY)
    return pictures, opacity


def as_drawn(pictures: np.ndarray, tint: float = 0.0, gradient: float = 0.0) -> np.ndarray:
    """Pictures with a network's faults: soft noise, a tint of each picture, a gradient."""
    dice = np.random.default_rng(0)
    noise = cv2.GaussianBlur(dice.normal(0, 6, pictures.shape[1:]), (0, 0), 1.2)
    tints = dice.normal(0, tint, (len(pictures), 1, 1, 3))
    slope = gradient * np.linspace(-1, 1, SIZE)[:, None]
    return (pictures + noise + tints + slope).clip(0, 255).astype(np.uint8)


def iou(mattes: np.ndarray, opacities: np.ndarray) -> float:
    made, true = mattes > 127, opacities > 0.5
    return (made & true).sum() / (made | true).sum()


@pytest.mark.parametrize(("tint", "gradient"), [(0, 0), (4, 0), (0, 5)])
def test_the_object_and_its_hole_are_found(tint, gradient):
    pictures, opacities = ring()
    mattes = plain.mattes(as_drawn(pictures, tint, gradient))
    assert iou(mattes, opacities) > 0.96
    assert mattes[:, 80, 75].max() < 40, "the hole shows the background"
    assert mattes[:, :20].max() == 0, "noise is no object"


def test_edges_are_as_soft_as_the_picture_s():
    pictures, opacities = ring()
    mattes = plain.mattes(pictures.astype(np.uint8)) / 255
    edge = (opacities > 0.02) & (opacities < 0.98)
    assert np.abs(mattes - opacities)[edge].mean() < 0.12


def test_a_grey_part_of_the_object_stays():
    """Lighter than the background by 20 levels, and the background's hue."""
    pictures, opacities = ring()
    belly = np.hypot(*(np.mgrid[:SIZE, :SIZE] - 80.0)) < 30
    pictures[:, belly] = GREY + 20
    mattes = plain.mattes(as_drawn(pictures))
    assert (mattes[:, belly] > 127).mean() > 0.98


def test_a_speck_beside_the_object_goes():
    pictures, _ = ring()
    pictures[1, 5:9, 140:144] = 255
    mattes = plain.mattes(as_drawn(pictures))
    assert mattes[1, 5:9, 140:144].max() == 0


def test_an_empty_picture_is_empty():
    assert plain.mattes(np.full((2, SIZE, SIZE, 3), GREY, np.uint8)).max() == 0
