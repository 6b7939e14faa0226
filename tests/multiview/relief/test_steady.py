"""Depths over a clip: drift of scale and shift, noise along the motion."""

from __future__ import annotations

import numpy as np
import pytest

from ds4d.multiview.relief.steady import aligned, linked, smoothed

SIZE, FRAMES = 96, 6
ROWS, COLUMNS = np.indices((SIZE, SIZE))


@pytest.fixture(scope="module")
def moving() -> tuple[np.ndarray, np.ndarray]:
    """A textured ball that moves right by two pixels a frame: frames and depths [T, S, S]."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(40, 220, (16, 16, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    frames, depths = np.zeros((FRAMES, SIZE, SIZE, 4), np.uint8), np.zeros((FRAMES, SIZE, SIZE))
    for t, (frame, depth) in enumerate(zip(frames, depths, strict=True)):
        offsets = np.hypot(ROWS - 48, COLUMNS - 40 - 2 * t)
        frame[..., :3] = np.roll(texture, 2 * t, 1)
        frame[..., 3] = 255 * (offsets < 28)
        depth[:] = -np.sqrt(np.maximum(30**2 - offsets**2, 0)) / SIZE
    return frames, depths


@pytest.fixture(scope="module")
def links(moving) -> list:
    return linked(moving[0])


def test_links_follow_the_motion(moving, links):
    inside = np.hypot(ROWS - 48, COLUMNS - 40) < 22
    flow = np.median(links[0].forward[inside], 0)
    np.testing.assert_allclose(flow, [2, 0], atol=0.3)
    assert links[0].seen_forward[inside].mean() > 0.9
    assert not links[0].seen_forward[moving[0][0, ..., 3] == 0].any()


def test_drifts_of_scale_and_shift_are_undone(moving, links):
    frames, depths = moving
    scales, shifts = np.linspace(0.85, 1.15, FRAMES), np.linspace(-0.1, 0.2, FRAMES)
    drifting = depths * scales[:, None, None] + shifts[:, None, None]
    certain = frames[..., 3] > 0
    found = aligned(drifting, certain, links)
    spreads, means = (
        np.array([part(depth[c]) for depth, c in zip(found, certain, strict=True)])
        for part in (np.std, np.mean)
    )
    assert np.ptp(spreads) / spreads.mean() < 0.5 * np.ptp(scales)
    assert np.ptp(means) < 0.05 * np.ptp(shifts)


def test_one_frame_stays_as_it_is():
    frames = np.full((1, 16, 16, 4), 255, np.uint8)
    depths = np.random.default_rng(0).normal(size=(1, 16, 16))
    found = aligned(depths, np.ones((1, 16, 16), bool), linked(frames))
    np.testing.assert_allclose(found, depths - depths.mean())
    np.testing.assert_allclose(smoothed(depths, []), depths, atol=1e-6)


def test_noise_is_averaged_along_the_motion(moving, links):
    frames, depths = moving
    noisy = depths + np.random.default_rng(1).normal(0, 0.05, depths.shape)
    inside = np.stack([np.hypot(ROWS - 48, COLUMNS - 40 - 2 * t) < 22 for t in range(FRAMES)])
    before, after = (
        np.abs(maps - depths)[inside].mean() for maps in (noisy, smoothed(noisy, links))
    )
    assert after < 0.6 * before
    still = np.abs(smoothed(depths, links) - depths)[inside].mean()
    assert still < 0.1 * before
