"""Camera movements are read off the border."""

from __future__ import annotations

import cv2
import numpy as np

from ds4d.matting.classical import background, stabilization


def ground(side: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.uniform(0, 255, (side // 5, side // 5)).astype(np.float32), (side, side))


def filmed(matrices: list[np.ndarray], size: int = 200) -> np.ndarray:
    """Frames of a ground, each through a matrix from the ground's pixels to the frame's."""
    wide = ground(300)
    frames = [cv2.warpAffine(wide, matrix, (size, size)) for matrix in matrices]
    noise = np.random.default_rng(1).normal(0, 2, np.shape(frames))
    return (np.stack(frames) + noise).clip(0, 255).astype(np.uint8)


def path(count: int = 9) -> list[np.ndarray]:
    result = []
    for index in range(count):
        turn, zoom = 0.004 * index, 1 + 0.004 * index
        a, b = zoom * np.cos(turn), zoom * np.sin(turn)
        result.append(np.array([[a, -b, -40 + 1.7 * index], [b, a, -50 - 0.9 * index]]))
    return result


def test_a_wandering_camera_is_followed_to_a_third_of_a_pixel():
    matrices = path()
    found = stabilization.camera_transforms(filmed(matrices))
    corners = np.array([[10, 10, 1], [190, 10, 1], [10, 190, 1], [190, 190, 1.0]]).T
    middle = np.vstack([matrices[4], [0, 0, 1]])
    for matrix, movement in zip(matrices, found, strict=True):
        true = middle @ np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
        assert np.abs(movement @ corners - true[:2] @ corners).max() < 0.35


def test_motion_in_the_middle_is_not_the_cameras():
    frames = filmed([path(1)[0]] * 6)
    for index, frame in enumerate(frames):
        cv2.circle(frame, (70 + 12 * index, 100), 40, 255, -1)
    transforms = stabilization.camera_transforms(frames)
    np.testing.assert_array_equal(transforms, [stabilization.IDENTITY] * 6)


def test_a_background_that_does_not_move_as_one():
    rng = np.random.default_rng(3)
    frames = np.stack([np.roll(ground(200), rng.integers(0, 200, 2), (0, 1)) for _ in range(5)])
    assert stabilization.camera_transforms(frames.astype(np.uint8)) is None


def test_movements_in_larger_pictures():
    """A point keeps its place in the picture: pixel centres lie at whole numbers."""
    movement = path()[5]
    for factor in (2.0, 2.5):
        larger = stabilization.rescale(movement, factor)
        point = np.array([30.0, 70, 1])
        there = movement @ point
        far = larger @ np.append((point[:2] + 0.5) * factor - 0.5, 1)
        np.testing.assert_allclose(far, (there + 0.5) * factor - 0.5)


def test_frames_fall_onto_one_canvas():
    matrices = np.stack(path(5))
    moved, (height, width) = background.fit_canvas(matrices, (40, 60))
    corners = np.array([[0, 0, 1], [59, 0, 1], [0, 39, 1], [59, 39, 1.0]]).T
    places = moved @ corners
    assert places.min() >= 0 and places[:, 0].max() <= width - 1
    assert places[:, 1].max() <= height - 1
    shift = moved[:, :, 2] - matrices[:, :, 2]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape))
