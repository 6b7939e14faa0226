"""Cases that are rendered from bundled objects are what the pipeline and the evaluation read."""

from __future__ import annotations

import torch

from ds4d.cameras import read_case_cameras, rig_cameras
from ds4d.clip.datasets import find_prepared
from ds4d.evaluation.protocol import case_shots
from examples import make_case


def test_a_case_with_views_is_recognised_with_its_cameras_and_truth(tmp_path, monkeypatch):
    monkeypatch.setattr(make_case, "FRAMES", 4)
    make_case.make("octopus", tmp_path / "case", size=24, every=2, views=True)

    prepared = find_prepared(tmp_path / "case")
    assert prepared.kind == "case" and len(prepared.fronts) == 4
    paths = [path for frame in range(4) for path in prepared.view_paths(frame, "multiview")]
    assert len(paths) == 24 and all(path.exists() for path in paths)
    shots = case_shots(tmp_path / "case")
    assert len(shots) == 4 * 2 and {shot.position for shot in shots} == {0.0, 2 / 3}
    cameras, rig = read_case_cameras(tmp_path / "case/cameras.json"), rig_cameras(24)
    names = ["input", *(f"multiview/{view}" for view in range(6))]
    for name, viewmat in zip(names, rig.viewmats, strict=True):
        assert torch.allclose(cameras[name].viewmats[0], viewmat, atol=1e-5)


def test_a_case_without_views_has_the_front_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(make_case, "FRAMES", 2)
    make_case.make("frog", tmp_path / "case", size=24, every=2)
    assert not (tmp_path / "case/multiview").exists()
    assert len(case_shots(tmp_path / "case")) == 4
