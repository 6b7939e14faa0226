"""Frames in between by optical flow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from ds4d import pipeline
from ds4d.config import Config
from ds4d.errors import UserError
from ds4d.images import load_images
from ds4d.interpolation import between, positions
from ds4d.interpolation.flow import run
from ds4d.run.events import STAGES, result
from ds4d.run.workspace import Workspace

SIZE = 96


def square(x: float, y: float, side: float = 24) -> np.ndarray:
    """A soft-edged square, dark spot inside, with its centre at (x, y), [SIZE, SIZE, 4] uint8."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    reach = np.maximum(np.abs(columns - x), np.abs(rows - y))
    alpha = (side / 2 + 0.5 - reach).clip(0, 1)
    spot = np.exp(-(((columns - x - 4) ** 2 + (rows - y + 3) ** 2) / 20))
    rgb = (0.9 - 0.7 * spot)[..., None] * np.array([0.9, 0.6, 0.3])
    return (np.dstack([rgb, alpha]) * 255 + 0.5).astype(np.uint8)


def centre(image: np.ndarray) -> tuple[float, float]:
    """Opacity's centre of mass (x, y)."""
    alpha = image[..., 3].astype(float)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return (columns * alpha).sum() / alpha.sum(), (rows * alpha).sum() / alpha.sum()


def test_a_moving_object_is_shown_where_it_is_in_between():
    ends = square(36, 44), square(48, 50)
    for share, made in zip((0.25, 0.5, 0.75), between(*ends, [0.25, 0.5, 0.75]), strict=True):
        true = square(36 + 12 * share, 44 + 6 * share)
        np.testing.assert_allclose(centre(made), centre(true), atol=0.5)
        solid = true[..., 3] == 255
        assert np.abs(made.astype(int) - true)[solid].mean() < 10
        both = (made[..., 3] > 127) & (true[..., 3] > 127)
        either = (made[..., 3] > 127) | (true[..., 3] > 127)
        assert both.sum() > 0.95 * either.sum()


def test_a_made_frame_is_no_double_exposure():
    blend = (square(36, 44).astype(float) + square(48, 50)) / 2
    (made,) = between(square(36, 44), square(48, 50), [0.5])

    def half_transparent(alpha: np.ndarray) -> int:
        return ((alpha > 60) & (alpha < 200)).sum()

    assert half_transparent(made[..., 3]) < half_transparent(blend[..., 3]) / 3


def test_a_still_object_stays_as_it_is():
    frame = square(48, 48)
    (made,) = between(frame, frame, [0.5])
    assert np.abs(made[..., 3].astype(int) - frame[..., 3]).max() <= 1
    shown = frame[..., 3] > 0
    assert np.abs(made.astype(int) - frame)[shown].max() <= 2


def test_colors_of_transparent_pixels_do_not_bleed_in():
    ends = [square(36, 48), square(48, 48)]
    for frame in ends:
        frame[frame[..., 3] == 0, :3] = (0, 255, 0)
    (made,) = between(*ends, [0.5])
    seen = made[..., 3] > 20
    assert (made[seen][:, 1] <= made[seen][:, 0] + 8).all()


def test_a_transparent_frame_makes_no_error():
    empty = np.zeros((SIZE, SIZE, 4), np.uint8)
    (made,) = between(square(48, 48), empty, [0.5])
    assert made.shape == empty.shape
    (made,) = between(empty, empty, [0.5])
    assert not made.any()


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_given_frames_are_kept_in_their_places(factor):
    frames = np.stack([square(36 + 6 * step, 48) for step in range(3)])
    made = result(run(frames, factor))
    assert len(made) == 2 * factor + 1
    np.testing.assert_array_equal(made[::factor], frames)


def test_moments_of_made_frames_lie_evenly_between_those_of_the_clip():
    np.testing.assert_allclose(
        positions(np.array([0.0, 0.4, 1.0]), 2), [0, 0.2, 0.4, 0.7, 1], atol=1e-12
    )
    np.testing.assert_array_equal(positions(np.array([0.0, 0.4, 1.0]), 1), [0, 0.4, 1])


def settings(factor: int, **clip) -> Config:
    config = Config()
    clip = dataclasses.replace(config.clip, interpolate=factor, size=SIZE, **clip)
    return dataclasses.replace(config, clip=clip)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of four images."""
    root = tmp_path / "walk"
    root.mkdir()
    for step in range(4):
        iio.imwrite(root / f"{step}.png", square(36 + 6 * step, 48))
    return root


def test_a_run_has_more_frames_and_keeps_them(folder, tmp_path):
    workspace = Workspace(tmp_path / "run")

    def skipped(factor: int) -> list[str]:
        events = pipeline.generate(folder, workspace, settings(factor), until="matting")
        return [event.stage for event in events if event.skipped]

    assert skipped(1) == []
    assert len(load_images(workspace / "frames")) == 4
    assert skipped(2) == ["clip"]
    assert len(load_images(workspace / "frames")) == 7
    assert skipped(2) == ["clip", "matting"]
    assert skipped(1) == ["clip"]
    assert len(load_images(workspace / "frames")) == 4


def test_views_of_a_case_are_not_mixed_with_made_frames(case, tmp_path):
    for until in ("clip", STAGES[-1]):
        with pytest.raises(UserError, match="not of frames in between"):
            list(pipeline.generate(case, Workspace(tmp_path / "run"), settings(2), until=until))
    assert not (tmp_path / "run/clip").exists()
    config = settings(2)
    ignored = dataclasses.replace(config.multiview, views="none")
    config = dataclasses.replace(config, multiview=ignored)
    list(pipeline.generate(case, Workspace(tmp_path / "run"), config, until="matting"))
    assert len(load_images(tmp_path / "run/frames")) == 11
