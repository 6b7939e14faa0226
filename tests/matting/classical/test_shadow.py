"""Shadows are told from grey things by how soft their edges are, at any contrast."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ds4d.matting.classical import color_models
from ds4d.matting.classical.shadow import shadow_mask

SIZE = 256
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32)


def found(light: np.ndarray, tint: tuple[float, ...] = (1, 1, 1)) -> np.ndarray:
    """Shadows in a warm floor whose light is multiplied: [h, w]."""
    floor = np.full((SIZE, SIZE, 3), (225.0, 215, 200))
    shade = 1 - (1 - light)[..., None] * np.array(tint)
    noise = np.random.default_rng(0).normal(0, 1, floor.shape)
    frame = color_models.lab((floor * shade + noise).clip(0, 255))
    return shadow_mask(frame, color_models.lab(floor), np.ones((SIZE, SIZE), np.float32))


def blob(depth: float, softness: float) -> np.ndarray:
    inside = np.hypot((X - 128) / 60, (Y - 128) / 30) < 1
    return 1 - depth * cv2.GaussianBlur(inside.astype(np.float32), (0, 0), softness)


@pytest.mark.parametrize("depth", [0.1, 0.2, 0.4])
def test_soft_edges_make_a_shadow_and_sharp_ones_a_thing(depth):
    inside = np.hypot((X - 128) / 50, (Y - 128) / 22) < 1
    assert found(blob(depth, softness=6))[inside].mean() > 0.98
    assert found(blob(depth, softness=0.7))[inside].mean() < 0.02


def test_another_hue_is_no_shadow():
    assert found(blob(0.3, softness=6), tint=(0.3, 1, 1)).mean() < 0.01


def test_a_thing_in_its_shadow_is_left():
    thing = np.hypot(X - 128, Y - 110) < 18
    light = np.where(cv2.GaussianBlur(thing.astype(np.float32), (0, 0), 0.6) > 0.5, 0.45, 1)
    mask = found(light * blob(0.25, softness=6))
    assert mask[thing].mean() < 0.05
    around = (np.hypot((X - 128) / 50, (Y - 128) / 22) < 1) & (np.hypot(X - 128, Y - 110) > 26)
    assert mask[around].mean() > 0.9


def test_a_blurred_limb_above_is_no_shadow():
    body = (np.abs(X - 128) < 30) & (Y > 60) & (Y < 230)
    light = np.where(body, 0.2, 1.0)
    limb = cv2.GaussianBlur(
        (np.hypot((X - 70) / 40, (Y - 90) / 12) < 1).astype(np.float32), (0, 0), 6
    )
    floor = cv2.GaussianBlur(
        (np.hypot((X - 70) / 40, (Y - 215) / 12) < 1).astype(np.float32), (0, 0), 6
    )
    mask = found(light * (1 - 0.3 * limb) * (1 - 0.3 * floor))
    assert not mask[:140].any()
    assert mask[210:220, 50:90].mean() > 0.9
