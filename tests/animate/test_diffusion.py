"""Loading of published pipelines, and their steps as events."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import torch
from diffusers import StableVideoDiffusionPipeline, WanImageToVideoPipeline
from safetensors.torch import load_file, save_file

from ds4d.animate.diffusion import load, stepwise
from ds4d.errors import UserError
from ds4d.run.events import Event, result
from tests.fakes import videos

CPU, SINGLE = torch.device("cpu"), {"": torch.float32}


@pytest.fixture
def wan(weights, tmp_path) -> Path:
    return shutil.copytree(weights / videos.WAN.repo, tmp_path / "wan")


def test_every_weight_comes_from_the_files(weights):
    repo = weights / videos.WAN.repo
    pipeline = load(WanImageToVideoPipeline, repo, CPU, SINGLE)
    assert pipeline.config.expand_timesteps
    for name, part in (
        ("transformer", pipeline.transformer),
        ("text_encoder", pipeline.text_encoder),
    ):
        own = part.state_dict()
        for file in (repo / name).glob("*.safetensors"):
            for key, value in load_file(file).items():
                torch.testing.assert_close(own[key], value)
        assert not part.training and not any(p.requires_grad for p in part.parameters())


def test_networks_have_the_precision_that_is_asked_for(weights):
    dtypes = {"": torch.bfloat16, "vae": torch.float32}
    pipeline = load(WanImageToVideoPipeline, weights / videos.WAN.repo, CPU, dtypes)
    assert pipeline.text_encoder.dtype == torch.bfloat16 and pipeline.vae.dtype == torch.float32


def test_half_precision_files_of_a_variant_are_read(weights):
    repo = weights / videos.SVD.repo
    pipeline = load(StableVideoDiffusionPipeline, repo, CPU, SINGLE, variant="fp16")
    assert pipeline.unet.dtype == torch.float32


def changed(file: Path, change) -> None:
    state = load_file(file)
    change(state)
    save_file(state, file, metadata={"format": "pt"})


@pytest.mark.parametrize("change", [
    lambda state: state.pop(next(iter(state))),
    lambda state: state.update(another=torch.zeros(2)),
    lambda state: state.update({key: torch.zeros(3, 5, 7) for key in [next(iter(state))]}),
], ids=["missing", "unknown", "shape"])  # fmt: skip
def test_weights_that_do_not_fit_are_refused(wan, change):
    changed(wan / "vae/diffusion_pytorch_model.safetensors", change)
    with pytest.raises(UserError, match="vae"):
        load(WanImageToVideoPipeline, wan, CPU, SINGLE)


@pytest.mark.parametrize("file", [
    "tokenizer/tokenizer.json", "vae/config.json", "scheduler/scheduler_config.json",
    "transformer/diffusion_pytorch_model-00002-of-00005.safetensors",
])  # fmt: skip
def test_a_damaged_or_missing_file_is_named_by_its_folder(wan, file):
    for damage in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        damage(wan / file)
        with pytest.raises(UserError, match=Path(file).parent.name):
            load(WanImageToVideoPipeline, wan, CPU, SINGLE)


def test_steps_are_events_and_the_result_is_returned():
    def run(after_step):
        for step in range(3):
            assert after_step(None, step, 0, {}) == {}
        return "done"

    events: list[Event] = []
    assert result(stepwise(run, Event("animate", 3, 6, "seed 1")), events.append) == "done"
    assert [(event.step, event.total) for event in events] == [(4, 6), (5, 6), (6, 6)]
    assert events[0].message == "seed 1, step 1"


def test_closing_stops_the_pipeline_after_its_step():
    steps, waits = [], threading.Event()

    def run(after_step):
        for step in range(1000):
            steps.append(step)
            after_step(None, step, 0, {})
            waits.wait(0.01)

    working = stepwise(run, Event("animate", 0, 1000))
    next(working)
    working.close()
    assert len(steps) < 20 and threading.active_count() == len(threading.enumerate())


def test_an_error_inside_is_raised_outside():
    def run(after_step):
        raise UserError("too large")

    with pytest.raises(UserError, match="too large"):
        result(stepwise(run, Event("animate")))
