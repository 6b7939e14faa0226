"""Both scorers agree on the same files; pictures are taken where the truth was taken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ds4d.cameras import orbit_cameras
from ds4d.errors import UserError
from ds4d.evaluation import evaluate, score
from ds4d.render.turntable import render_views
from ds4d.splatting.splats import Splats
from tests.evaluation import reference_scorer
from tests.stages import finished

FRAMES, SIZE = 4, 32
VIEWS = {"az+015": 15.0, "az-075": -75.0}


class Asset:
    """A red and a blue blob; the red one rises with time."""

    capture_to_world = None
    positions = torch.linspace(0, 1, 3)

    def __init__(self, offset: float = 0.0):
        self.offset = offset  # how far everything stands to the right, world units

    def splats(self, position: float) -> Splats:
        means = torch.tensor([[0.15, 0, 0.4 * position - 0.2], [-0.15, 0.1, 0]])
        return Splats(
            means + torch.tensor([self.offset, 0, 0]),
            torch.tensor([[1.0, 0, 0, 0]] * 2),
            torch.full((2, 3), 0.06),
            torch.tensor([0.95, 0.9]),
            torch.tensor([[1.0, 0.1, 0.1], [0.1, 0.1, 1.0]]),
        )


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def opengl(viewmat: torch.Tensor) -> list[list[float]]:
    flip = torch.diag(torch.tensor([1, -1, -1, 1], dtype=torch.float64))
    return (torch.linalg.inv(viewmat.double()) @ flip).tolist()


@pytest.fixture
def case(tmp_path) -> Path:
    """A case whose truth shows the asset itself; its cameras.json speaks of larger images."""
    case = tmp_path / "blobs"
    azimuths = [360 * frame / FRAMES for frame in range(FRAMES)]
    cameras = orbit_cameras([*VIEWS.values(), *azimuths], size=SIZE)
    names = [*(f"heldout/{view}" for view in VIEWS), *(f"orbit/{i:04d}" for i in range(FRAMES))]
    entries = [
        {
            "name": name,
            "frames": "all" if name.startswith("heldout") else [int(name[-4:])],
            "c2w_opengl": opengl(viewmat),
            "fov_deg": 30.0,
            "width": 2 * SIZE,
            "height": 2 * SIZE,
        }
        for name, viewmat in zip(names, cameras.viewmats, strict=True)
    ]
    for frame in range(FRAMES):
        moment = frame / (FRAMES - 1)
        chosen = cameras[[0, 1, 2 + frame]]
        images = render_views(Asset(), chosen, [moment] * 3)
        for name, image in zip([*names[:2], "orbit"], images, strict=True):
            write(case / name / f"{frame:04d}.png", image)
    (case / "cameras.json").write_text(json.dumps({"n_frames": FRAMES, "cameras": entries}))
    return case


def test_the_asset_that_made_the_truth_scores_perfectly(case, tmp_path):
    events, result = finished(evaluate(Asset(), case, tmp_path / "evaluation"))
    assert result["heldout"]["psnr"] == result["orbit"]["psnr"] == 100
    assert result["heldout"]["mask_iou"] == result["orbit"]["mask_iou"] == 1
    assert result["heldout"]["motion_psnr"] == result["heldout"]["temporal_psnr"] == 100
    assert events[-1].step == events[-1].total
    assert [event.step for event in events] == sorted(event.step for event in events)


def test_the_folder_has_the_names_and_sizes_of_the_truth(case, tmp_path):
    stale = tmp_path / "evaluation/heldout/old/0000.png"
    write(stale, np.zeros((4, 4, 3), np.uint8))
    finished(evaluate(Asset(), case, tmp_path / "evaluation"))
    written = sorted(
        path.relative_to(tmp_path / "evaluation").as_posix()
        for path in (tmp_path / "evaluation").rglob("*")
        if path.is_file()
    )
    frames = [f"{frame:04d}.png" for frame in range(FRAMES)]
    folders = ("heldout/az+015", "heldout/az-075", "orbit")
    assert written == [f"{folder}/{name}" for folder in folders for name in frames]
    for name in written:
        with Image.open(tmp_path / "evaluation" / name) as image:
            assert image.mode == "RGBA" and image.size == (SIZE, SIZE)


def test_both_scorers_agree_on_an_imperfect_asset(case, tmp_path):
    _, result = finished(evaluate(Asset(offset=0.02), case, tmp_path / "evaluation"))
    assert 10 < result["heldout"]["psnr_fg"] < 40
    theirs = reference_scorer.score(tmp_path / "evaluation", case)
    assert result == theirs
    assert json.dumps(result) == json.dumps(theirs)  # in the same order too


@pytest.mark.parametrize("seed", range(3))
def test_both_scorers_agree_on_noise_and_missing_alpha(tmp_path, seed):
    """Noise everywhere; a view without motion, one without alpha here, one without alpha there."""
    random = np.random.default_rng(seed)
    case, folder = tmp_path / "case", tmp_path / "mine"
    for view in ("a", "still", "opaque", "opaque_truth", "empty"):
        truth = random.integers(0, 256, (4, 24, 28, 4), dtype=np.uint8)
        if view == "still":
            truth = truth[:1].repeat(4, 0)
        noise = random.normal(0, 30, truth.shape)
        mine = (truth + noise).clip(0, 255).astype(np.uint8)
        if view == "empty":
            truth[..., 3] = 0
            mine[..., 3] = random.integers(0, 100)
        for frame in range(4):
            name = f"heldout/{view}/{frame:04d}.png"
            write(folder / name, mine[frame, ..., : 3 if view == "opaque" and frame > 0 else 4])
            write(case / name, truth[frame, ..., : 3 if view == "opaque_truth" else 4])
    for root in (case, folder):
        for frame in range(2):
            image = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            write(root / f"orbit/{frame:04d}.png", image)
    _, result = finished(score(folder, case))
    assert result == reference_scorer.score(folder, case)
    assert result["heldout"]["mask_iou"] is None and result["orbit"]["psnr_fg"] is None


def test_a_case_without_truth_is_the_users_mistake(tmp_path):
    (tmp_path / "case/input").mkdir(parents=True)
    with pytest.raises(UserError, match="no ground truth"):
        finished(evaluate(Asset(), tmp_path / "case", tmp_path / "evaluation"))
    assert not (tmp_path / "evaluation").exists()


def test_truth_without_its_camera_is_the_users_mistake(case, tmp_path):
    (case / "heldout/az-075").rename(case / "heldout/az+200")
    with pytest.raises(UserError, match="heldout/az\\+200"):
        finished(evaluate(Asset(), case, tmp_path / "evaluation"))


@pytest.mark.parametrize("text", ["{", '{"cameras": []}', '{"cameras": [{"name": "orbit/0000"}]}'])
def test_cameras_that_make_no_sense_are_the_users_mistake(case, tmp_path, text):
    (case / "cameras.json").write_text(text)
    with pytest.raises(UserError, match=r"cameras\.json"):
        finished(evaluate(Asset(), case, tmp_path / "evaluation"))


def test_cancelling_leaves_no_half_written_folder(case, tmp_path):
    stage = evaluate(Asset(), case, tmp_path / "evaluation")
    next(stage)
    stage.close()
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]
