"""The preflight report warns of what would go wrong, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ds4d.clip.video import write_video
from ds4d.config import ClipConfig
from ds4d.errors import UserError
from ds4d.preflight.checks import Check, Report, inspect_clip
from tests.clip.clips import filmed

HEIGHT, WIDTH = 120, 160
CONFIG = ClipConfig(frames=8)


def scene(
    count: int = 12, center: float = 0.5, radius: float = 26, brightness: float = 1.0
) -> np.ndarray:
    """A striped ball that rolls to the right before a grainy wall, [T, 120, 160, 3] uint8."""
    rng = np.random.default_rng(0)
    wall = rng.integers(150, 200, (HEIGHT, WIDTH, 1)).repeat(3, 2).astype(np.uint8)
    frames = np.stack([wall] * count)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for index, frame in enumerate(frames):
        middle = WIDTH * center + 3 * (index - count / 2)
        ball = np.hypot(x - middle, y - HEIGHT / 2) < radius
        stripes = np.where((x - middle).astype(int) // 4 % 2, 230, 120)
        frame[ball] = np.stack([stripes, stripes // 5, stripes // 6], -1)[ball]
    return (frames * brightness).astype(np.uint8)


def seen(
    tmp_path: Path, frames: np.ndarray, config: ClipConfig = CONFIG, fps: float = 12
) -> Report:
    path = tmp_path / "clip.mp4"
    write_video(path, frames, fps)
    return inspect_clip(path, config)


def troubles(found: Report) -> dict[str, Check]:
    return {check.name: check for check in found.checks if not check.fine}


def test_a_good_clip_has_no_troubles(tmp_path):
    found = seen(tmp_path, scene())
    assert not troubles(found)
    assert (found.width, found.height, found.source_frames) == (WIDTH, HEIGHT, 12)
    assert found.seconds == pytest.approx(1.0) and len(found.used) == 8
    assert len(found.thumbnails) == len(found.thumbnail_indices) == 8
    names = [check.name for check in found.checks]
    assert names == ["Length", "Camera", "Frame", "Light"]


def test_the_chosen_part_is_looked_at_and_no_other(tmp_path):
    late = scene(24, center=0.46)
    late[12:] = scene(24, center=0.9)[12:]  # the border cuts it off in the second half
    assert "Frame" in troubles(seen(tmp_path, late))
    first = inspect_clip(tmp_path / "clip.mp4", replace(CONFIG, end=0.9))
    assert "Frame" not in troubles(first)
    assert first.used.max() <= 10


def test_an_object_at_the_border_is_reported(tmp_path):
    found = seen(tmp_path, scene(center=0.02))
    assert "cuts the object off" in troubles(found)["Frame"].sentence


def test_a_moving_camera_is_reported(tmp_path):
    wide = np.random.default_rng(1).integers(0, 255, (60, 200, 3)).astype(np.uint8)
    wide = cv2.resize(wide, (WIDTH * 4, HEIGHT * 2))
    ball = scene()
    frames = []
    for index, frame in enumerate(ball):
        shown = wide[index * 5 :, index * 25 :][:HEIGHT, :WIDTH].copy()
        object_ = frame[..., 0].astype(int) - frame[..., 2] > 60
        shown[object_] = frame[object_]
        frames.append(shown)
    assert "camera" in troubles(seen(tmp_path, np.stack(frames)))["Camera"].sentence.lower()


def test_a_drifting_camera_is_followed_and_told(tmp_path):
    found = seen(tmp_path, filmed(12)[0])
    assert "Camera" not in troubles(found) and found.crop == "fixed"
    (camera,) = [check for check in found.checks if check.name == "Camera"]
    assert "follows the background" in camera.sentence


def test_a_clip_without_an_object_is_reported(tmp_path):
    assert "Object" in troubles(seen(tmp_path, np.full((12, HEIGHT, WIDTH, 3), 200, np.uint8)))


def test_a_small_object_is_reported(tmp_path):
    assert "small" in troubles(seen(tmp_path, scene(radius=5)))["Object"].sentence


def test_two_objects_are_reported(tmp_path):
    frames = scene(center=0.25, radius=20)
    frames[:, :, 85:] = scene(center=0.75, radius=20)[:, :, 85:]
    assert "2 objects" in troubles(seen(tmp_path, frames))["Object"].sentence


def test_darkness_and_blur_are_reported(tmp_path):
    assert "Light" in troubles(seen(tmp_path, scene(brightness=0.08)))
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 5) for frame in scene()])
    assert "Sharpness" in troubles(seen(tmp_path, blurred))


def test_a_cut_is_reported(tmp_path):
    frames = scene(24)
    frames[12:, ..., 2] = 20
    found = troubles(seen(tmp_path, frames))["Scene"]
    assert "at 1" in found.sentence and "cut" in found.hint


def test_frames_that_lie_far_apart_are_reported(tmp_path):
    found = seen(tmp_path, scene(24), replace(CONFIG, frames=4), fps=6)
    assert "every" in troubles(found)["Length"].sentence


def test_transparency_is_taken_as_it_is(tmp_path):
    from PIL import Image

    pictures = []
    for frame in scene():
        inside = frame[..., 0].astype(int) - frame[..., 2] > 60
        pictures.append(Image.fromarray(np.dstack([frame, inside.astype(np.uint8) * 255])))
    pictures[0].save(
        tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=80, lossless=True
    )
    found = inspect_clip(tmp_path / "a.webp", CONFIG)
    assert not troubles(found) and "transparency" in found.checks[1].sentence
    assert found.mattes.shape[1:] == found.thumbnails.shape[1:3]


def test_what_a_run_would_refuse_is_refused(tmp_path):
    (tmp_path / "words.mp4").write_text("no video")
    with pytest.raises(UserError):
        inspect_clip(tmp_path / "words.mp4", CONFIG)
