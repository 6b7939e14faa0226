"""The empty scene, from frames in which something stands before it."""

from __future__ import annotations

import cv2
import numpy as np

from ds4d.matting.classical import background, color_models, stabilization

SIZE = 160
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32)


def scene(kind: str) -> np.ndarray:
    y, x = Y[..., None] / SIZE, X[..., None] / SIZE
    if kind == "gradient":
        return (1 - y) * (150, 190, 230) + y * (235, 225, 205) + 0 * x
    fade = np.exp(-((x - 0.5) ** 2 + (y - 0.4) ** 2) / 0.2)
    return fade * (235, 230, 240) + (1 - fade) * (95, 85, 120)


def filmed(behind: np.ndarray, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A disc that wanders before it: Lab frames and true masks."""
    rng = np.random.default_rng(0)
    masks = np.stack([np.hypot(X - 60 - 7 * i, Y - 80) < 30 for i in range(count)])
    frames = [np.where(mask[..., None], (180, 90, 40), behind) for mask in masks]
    noisy = np.stack(frames) + rng.normal(0, 2, (count, SIZE, SIZE, 3))
    return np.stack([color_models.lab(frame.clip(0, 255)) for frame in noisy]), masks


def test_a_smooth_backdrop_is_found_behind_the_object():
    for kind in ("gradient", "radial"):
        lab, masks = filmed(scene(kind))
        flooded, share = background.flood_from_border(lab)
        assert share > background.PLAIN
        assert not (flooded & masks).any() and flooded[~masks].mean() > 0.85
        clean, known = background.backdrop(lab, flooded)
        off = color_models.length(clean - color_models.lab(scene(kind)))
        assert off.max() < 6 and off.mean() < 1
        assert known[masks.all(axis=0)].max(initial=0) == 0


def test_a_texture_is_no_backdrop():
    rng = np.random.default_rng(1)
    texture = cv2.resize(rng.uniform(60, 200, (40, 40, 3)), (SIZE, SIZE))
    lab, _ = filmed(texture)
    assert background.flood_from_border(lab)[1] < background.PLAIN


def test_a_plate_is_the_median_of_what_is_free():
    lab, masks = filmed(scene("gradient"))
    masks = masks | (np.hypot(X - 80, Y - 80) < 12)  # never free
    still = np.stack([stabilization.IDENTITY] * len(lab))
    plate = background.median_plate(lab, ~masks, still)
    times = (~masks).sum(axis=0)
    np.testing.assert_array_equal(plate.confidence, times >= 2)
    expected = np.nanmedian(np.where(masks[..., None], np.nan, lab)[:, times >= 2], axis=0)
    np.testing.assert_allclose(plate.lab[times >= 2], expected, atol=1e-3)
    assert abs(np.median(plate.noise) - lab.std(axis=0)[~masks.any(axis=0)].mean() * 3**0.5) < 0.3


def test_a_limb_that_the_masks_miss_in_few_frames_is_not_in_the_plate():
    lab, masks = filmed(scene("gradient"), count=7)
    still = np.stack([stabilization.IDENTITY] * len(lab))
    known = background.median_plate(lab, ~masks, still)
    few = masks.sum(axis=0) == 2
    spoiled = background.median_plate(lab, ~(masks & ~few), still)
    off = color_models.length(spoiled.lab - known.lab)[few]
    assert np.percentile(off, 95) < 4  # a mean would be off by two sevenths of 60 Lab units
    assert (spoiled.noise / known.noise)[few].max() < 2


def test_an_object_may_touch_the_border_of_a_backdrop():
    lab, _ = filmed(scene("gradient"))
    lab[:, SIZE // 2 :, 60:120] = (40, 30, 20)  # a sixth of the border's lower half and more
    assert background.flood_from_border(lab)[1] > background.PLAIN
