"""Rotating parts: the sails of a synthetic windmill, and motion that is no rotation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ds4d.multiview.inflate import rotating_part

SIZE = 128
HUB = (64.0, 50.0)  # column and row, pixels


def mill(speed: float, frames: int = 16) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tower with four sails in front [T, S, S, 4]; masks of the sails and of the tower."""
    random = np.random.default_rng(0)
    tower = np.zeros((SIZE, SIZE), bool)
    tower[40:120, 48:80] = True
    stones = cv2.resize(random.uniform(0.3, 0.6, (16, 16, 3)), (SIZE, SIZE))
    clip, sails = np.zeros((frames, SIZE, SIZE, 4), np.float32), np.zeros((frames, SIZE, SIZE))
    for index in range(frames):
        for sail in range(4):
            angle = np.radians(speed * index + 90 * sail)
            along = np.array([np.cos(angle), np.sin(angle)])
            across = 4 * np.array([-along[1], along[0]])
            near, far = np.add(HUB, 6 * along), np.add(HUB, 42 * along)
            corners = np.rint([near - across, near + across, far + across, far - across])
            cv2.fillConvexPoly(sails[index], corners.astype(np.int32), 1.0)
        clip[index, tower] = [*[0] * 3, 1]
        clip[index, ..., :3] = np.where(tower[..., None], stones, 0)
        clip[index, sails[index] > 0] = (0.9, 0.85, 0.3, 1)
    return clip, sails > 0, tower


@pytest.mark.parametrize("speed", [-3.0, 5.0])
def test_a_rotation_is_found(speed):
    rotation = rotating_part.find(mill(speed)[0])
    assert rotation.speed == pytest.approx(speed, rel=0.1)
    np.testing.assert_allclose(np.multiply(rotation.hub, SIZE), HUB, atol=3)


def test_sails_and_tower_are_segmented():
    clip, sails, tower = mill(5.0)
    split = rotating_part.split(clip, rotating_part.find(clip))
    overlap = (split.part & sails).sum() / (split.part | sails).sum()
    assert overlap > 0.8
    assert (split.body & tower).sum() > 0.97 * len(clip) * tower.sum()
    assert (split.body & ~tower).sum() < 0.05 * sails.sum()
    assert ((split.part | split.body) == (clip[..., 3] > 0.5)).mean() > 0.995
    hidden = split.body & sails & tower
    stones = np.median(np.where((sails & tower)[..., None], np.nan, clip[..., :3]), 0)
    shown = split.colors[hidden]
    assert np.isfinite(shown).all() and stones.shape == (SIZE, SIZE, 3)
    assert (np.abs(shown - (0.9, 0.85, 0.3)).max(-1) < 0.1).mean() < 0.1  # no sail on the tower


def test_a_slow_sail_is_not_part_of_the_tower():
    clip, _, tower = mill(1.6, frames=21)
    body = rotating_part.split(clip, rotating_part.find(clip)).body
    assert (body & tower).sum() > 0.95 * len(clip) * tower.sum()
    above, beside = body[:, :34], body[:, :, 90:]
    assert above.mean() < 0.001 and beside.mean() < 0.001


def test_walking_and_waving_are_no_rotation():
    walks = np.zeros((12, SIZE, SIZE, 4), np.float32)
    waves = np.zeros((12, SIZE, SIZE, 4), np.float32)
    texture = cv2.resize(np.random.default_rng(1).uniform(0, 1, (32, 32, 3)), (SIZE, SIZE))
    for index in range(12):
        walks[index, 40:90, 20 + 3 * index : 60 + 3 * index] = 1
        walks[index, ..., :3] *= np.roll(texture, 3 * index, 1)
        waves[index, 40:110, 50:80] = 1
        angle = np.radians(-60 + 5 * index)
        end = np.rint([80 + 40 * np.cos(angle), 50 + 40 * np.sin(angle)]).astype(int)
        arm = cv2.line(np.zeros((SIZE, SIZE)), (80, 50), tuple(end.tolist()), 1.0, 6)
        waves[index, arm > 0] = 1
        waves[index, ..., :3] *= texture
    assert rotating_part.find(walks) is None
    assert rotating_part.find(waves) is None


def test_a_static_clip_has_no_rotation():
    clip = mill(0.0)[0]
    assert rotating_part.find(clip) is None
    assert rotating_part.find(np.zeros_like(clip)) is None
