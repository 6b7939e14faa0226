"""DINOv2's tokens: as transformers computes them, in the right places, from the right weights."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import Dinov2Model

from ds4d.config import MachineConfig
from ds4d.errors import UserError
from ds4d.features import dinov2
from ds4d.run import device
from tests.fakes import dinov2 as tiny
from tests.stages import finished

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of weights, each test's own."""
    tiny.make(tmp_path)
    return tmp_path


def base(folder: Path) -> Path:
    return folder / "facebook" / "dinov2-base"


def run(images: np.ndarray, folder: Path, model: str = "base") -> tuple[list, torch.Tensor]:
    machine = MachineConfig(device="cpu", weights=str(folder))
    return finished(dinov2.run(images, model=model, machine=machine))


def pictures(frames: int, views: int, size: int = 518) -> np.ndarray:
    """Opaque noise in blobs, [frames, views, size, size, 4]."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (frames * views, 30, 30, 3), np.uint8)
    rgb = np.stack([np.asarray(Image.fromarray(c).resize((size, size))) for c in coarse])
    alpha = np.full((*rgb.shape[:3], 1), 255, np.uint8)
    return np.concatenate([rgb, alpha], -1).reshape(frames, views, size, size, 4)


def networks() -> list:
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is Dinov2Model]


def test_tokens_are_those_of_transformers_own_forward(folder):
    images = pictures(2, 2)
    events, features = run(images, folder)
    assert features.shape == (2, 2, 37, 37, tiny.WIDTH) and features.dtype == torch.float16
    network = Dinov2Model.from_pretrained(base(folder), dtype=torch.float32).eval()
    values = torch.from_numpy((images[1, 0, ..., :3] / 255 - MEAN) / STD).permute(2, 0, 1)
    with torch.no_grad():
        tokens = network(pixel_values=values[None].float()).last_hidden_state[0]
    assert len(tokens) == 1 + 37 * 37
    expected = tokens[1:].reshape(37, 37, -1)
    assert torch.allclose(features[1, 0].float(), expected, atol=4e-3)
    assert features[1, 0].float().std() > 0.1
    assert [event.step for event in events] == [0, 1, 2, 3, 4]
    assert {event.total for event in events} == {4}


def test_the_published_names_reach_their_places(folder):
    """By a forward pass that is written out here, from the names in the file alone."""
    state = load_file(base(folder) / "model.safetensors")
    images = pictures(1, 1)
    _, features = run(images, folder)
    x = dinov2.pixel_values(images[0], torch.device("cpu"))
    first = "embeddings.patch_embeddings.projection"
    x = torch.conv2d(x, state[f"{first}.weight"], state[f"{first}.bias"], stride=14)
    x = torch.cat([state["embeddings.cls_token"][0], x[0].flatten(1).T])
    x = x + state["embeddings.position_embeddings"][0]

    def norm(x, name):
        w, b = state[f"{name}.weight"], state[f"{name}.bias"]
        return torch.nn.functional.layer_norm(x, (tiny.WIDTH,), w, b, 1e-6)

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def heads(x):
        return x.reshape(len(x), tiny.HEADS, -1).swapaxes(0, 1)

    for index in range(tiny.LAYERS):
        layer = f"encoder.layer.{index}"
        y = norm(x, f"{layer}.norm1")
        q, k, v = (heads(linear(y, f"{layer}.attention.attention.{name}"))
                   for name in ("query", "key", "value"))  # fmt: skip
        y = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        y = linear(y.swapaxes(0, 1).flatten(1), f"{layer}.attention.output.dense")
        x = x + y * state[f"{layer}.layer_scale1.lambda1"]
        y = torch.nn.functional.gelu(linear(norm(x, f"{layer}.norm2"), f"{layer}.mlp.fc1"))
        x = x + linear(y, f"{layer}.mlp.fc2") * state[f"{layer}.layer_scale2.lambda1"]
    expected = norm(x, "layernorm")[1:].reshape(37, 37, -1)
    assert torch.allclose(features[0, 0].float(), expected, atol=4e-3)


def test_row_0_is_the_top_and_column_0_the_left(folder):
    """One patch changed: its own token changes most."""
    plain, marked = np.full((2, 1, 1, 518, 518, 4), 255, np.uint8)
    marked[..., 3 * 14 : 4 * 14, 20 * 14 : 21 * 14, :3] = (255, 0, 0)
    change = (run(marked, folder)[1] - run(plain, folder)[1]).float().norm(dim=-1)[0, 0]
    assert divmod(int(change.argmax()), 37) == (3, 20)


def test_half_precision_is_close(folder, monkeypatch):
    images = pictures(1, 2, 70)
    single = run(images, folder)[1]
    monkeypatch.setattr(device, "network_dtype", lambda place: torch.float16)
    half = run(images, folder)[1]
    assert not torch.equal(single, half)
    assert torch.allclose(single.float(), half.float(), atol=0.05)


@pytest.mark.parametrize("batch", [2, 3, 100])
def test_batches_change_nothing(folder, monkeypatch, batch):
    images = pictures(2, 3, 70)
    _, alone = run(images, folder)
    monkeypatch.setattr(dinov2, "BATCH_CPU", batch)
    events, together = run(images, folder)
    assert torch.allclose(alone.float(), together.float(), atol=2e-3)
    assert events[-1].step == events[-1].total == 6
    assert len(events) == 1 + -(-6 // batch)


def test_any_size_is_scaled_smoothly_over_white():
    place = torch.device("cpu")
    images = np.zeros((1, 64, 64, 4), np.uint8)
    images[0, :, :32] = (255, 0, 0, 255)  # the left half red; black under the transparent one
    values = dinov2.pixel_values(images, place)
    assert values.shape == (1, 3, 518, 518)
    back = values[0].permute(1, 2, 0).numpy() * STD + MEAN
    np.testing.assert_allclose(back[100, 100], (1, 0, 0), atol=1e-5)
    np.testing.assert_allclose(back[100, 400], (1, 1, 1), atol=1e-5)
    fine = np.full((1, 1036, 1036, 4), 255, np.uint8)
    fine[0, ::2, :, :3] = 0  # stripes of one pixel: averaged, not picked
    grey = dinov2.pixel_values(fine, place)[0].permute(1, 2, 0).numpy() * STD + MEAN
    assert np.abs(grey[100:-100, 100:-100] - 0.5).max() < 0.1


@pytest.mark.parametrize("model", tiny.MODELS)
def test_each_model_has_its_own_weights(folder, model):
    features = run(pictures(1, 1, 70), folder, model)[1]
    other = tiny.MODELS[tiny.MODELS.index(model) - 1]
    assert not torch.allclose(features, run(pictures(1, 1, 70), folder, other)[1], atol=0.1)


def test_nothing_stays_in_memory(folder):
    run(pictures(1, 2, 70), folder)
    assert networks() == []


def test_closing_cancels_after_a_batch_and_frees_the_network(folder):
    machine = MachineConfig(device="cpu", weights=str(folder))
    stage = dinov2.run(pictures(1, 3, 70), model="base", machine=machine)
    assert [next(stage).step for _ in range(2)] == [0, 1]
    assert len(networks()) == 1
    assert not torch.is_inference_mode_enabled()  # of the one who listens
    stage.close()
    assert networks() == []


def test_the_preview_shows_the_views_parts(folder):
    images = pictures(2, 3, 70)
    images[..., :20, 3] = 0
    events, _ = run(images, folder)
    shown = [event.step for event in events if event.preview is not None]
    assert shown == [3, 6]  # when a frame's last view is done
    picture = events[-1].preview
    assert picture.shape == (37 * 4, 4 * 37 * 4, 3) and picture.dtype == np.uint8
    assert (picture[:, : 37 * 4][:, :30] > picture[:, 60:148].mean()).any()


# --- weights that are not right -------------------------------------------------------------------


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        run(pictures(1, 1, 70), folder)
    message = str(caught.value)
    del caught  # and with it the traceback, which knows the network
    assert networks() == []
    return message


def test_missing_unexpected_and_wrongly_shaped_keys_are_named(folder):
    file = base(folder) / "model.safetensors"
    state = load_file(file)
    del state["layernorm.weight"]
    state["decoder.bias"] = torch.zeros(3)
    state["embeddings.cls_token"] = torch.zeros(1, 1, 5)
    save_file(state, file)
    message = refused(folder)
    for part in (str(file), "layernorm.weight", "decoder.bias", "embeddings.cls_token"):
        assert part in message


def test_fewer_layers_than_the_config_says(folder):
    file = base(folder) / "config.json"
    file.write_text(json.dumps(tiny.config() | {"num_hidden_layers": 4}))
    message = refused(folder)
    assert "missing keys: encoder.layer.2" in message and "more" in message


def test_weights_without_the_mask_token_will_do(folder):
    file = base(folder) / "model.safetensors"
    before = run(pictures(1, 1, 70), folder)[1]
    state = load_file(file)
    del state["embeddings.mask_token"]  # only training needs it
    save_file(state, file)
    assert torch.equal(run(pictures(1, 1, 70), folder)[1], before)


@pytest.mark.parametrize("facts", [{"model_type": "vit"}, {"patch_size": 16}])
def test_another_architecture(folder, facts):
    (base(folder) / "config.json").write_text(json.dumps(tiny.config() | facts))
    assert "config.json" in refused(folder)


def test_a_config_that_is_no_json(folder):
    (base(folder) / "config.json").write_text("<html>")
    assert "config.json" in refused(folder)


def test_a_truncated_file(folder):
    file = base(folder) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "model.safetensors" in refused(folder)


def test_weights_that_give_nan(folder):
    file = base(folder) / "model.safetensors"
    state = load_file(file)
    state["layernorm.bias"][0] = float("nan")
    save_file(state, file)
    assert "not finite" in refused(folder)


def test_missing_weights(folder):
    (base(folder) / "model.safetensors").unlink()
    assert "dinov2-base" in refused(folder)
