"""Floor under quality: a small training on a bundled object, scored on cameras it has not seen."""

from __future__ import annotations

import pytest

from ds4d import pipeline
from ds4d.config import ClipConfig, Config, FeaturesConfig, FourdConfig, MeshConfig, VideoConfig
from ds4d.evaluation import evaluate
from ds4d.fourd.asset import Asset
from ds4d.run.events import result
from ds4d.run.workspace import Workspace
from tests.paths import ROOT

CASE = ROOT / "tests" / "cases" / "frog"
CONFIG = Config(
    seed=0,
    clip=ClipConfig(size=128),
    features=FeaturesConfig(grid=9),
    mesh=MeshConfig(resolution=48),
    fourd=FourdConfig(
        points=1500, max_gaussians=1800, image_size=128, static_iterations=60,
        dynamic_iterations=300, densify_from=100, densify_until=250, averaged=15,
    ),
    videos=VideoConfig(size=64, seconds=0.5),
)  # fmt: skip
# Measured: 18.9 dB, .943, 19.8 dB with seed 0; 18.5 dB, .940, 19.3 dB with seed 1.
FLOORS = {"psnr_fg": 17.8, "mask_iou": 0.93, "motion_psnr": 18.7}


@pytest.mark.slow
def test_held_out_quality_does_not_fall(tmp_path):
    for _ in pipeline.generate(CASE, Workspace(tmp_path / "run"), CONFIG, until="fourd"):
        pass
    asset = Asset.load(tmp_path / "run" / "fourd.safetensors")
    scores = result(evaluate(asset, CASE, tmp_path / "evaluation"))["heldout"]
    below = {name: scores[name] for name, floor in FLOORS.items() if scores[name] < floor}
    assert not below, f"held-out scores {below} are below {FLOORS}"
