"""The cases with half of the frames, with made ones and with true ones."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.interpolation import write_cases
from ds4d.images import load_images, load_pngs, save_images, save_pngs


def test_cases_have_the_same_moments_and_keep_every_second_frame(tmp_path):
    case = tmp_path / "disc"
    across, down = np.meshgrid(np.arange(48), np.arange(48))
    frames = np.zeros((4, 48, 48, 4), np.uint8)
    for t, frame in enumerate(frames):
        frame[np.hypot(across - 18 - 2 * t, down - 24) < 9] = (200, 90, 30, 255)
        (case / f"multiview/{t:04d}").mkdir(parents=True)
        save_pngs([case / f"multiview/{t:04d}/{k}.png" for k in range(6)], [frame] * 6)
    save_images(case / "input", frames)
    save_images(case / "heldout/side", frames)
    (case / "cameras.json").write_text(json.dumps({"n_frames": 4}))
    write_cases(case, tmp_path / "out")
    half, made, true = (tmp_path / f"out/disc_{name}" for name in ("half", "made", "true"))
    for view in ("input", 0, 5):
        few, all_, truth = (_frames(out, view) for out in (half, made, true))
        assert np.array_equal(few, all_[::2]) and np.array_equal(truth, frames[:3])
        assert _error(all_[1::2], truth[1::2]) < _error(truth[:-1:2], truth[1::2])
    for out in (half, made, true):
        assert json.loads((out / "cameras.json").read_text())["n_frames"] == 3
        assert np.array_equal(load_images(out / "heldout/side"), frames[:3])


def _frames(case, view):
    if view == "input":
        return load_images(case / view)
    moments = sorted((case / "multiview").iterdir())
    return load_pngs(moment / f"{view}.png" for moment in moments)


def _error(made, true):
    return np.abs(made[..., 3].astype(int) - true[..., 3]).mean()
