"""Score distillation with a tiny Zero123: what it pulls, what it remembers, what it lets go."""

from __future__ import annotations

import json
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ds4d.cameras import rig_cameras
from ds4d.errors import UserError
from ds4d.guidance import networks
from ds4d.guidance.schedule import sample_views
from ds4d.guidance.zero123 import Zero123, distil, token
from tests.fakes import zero123 as tiny
from tests.stages import finished

CPU = torch.device("cpu")
T, V, S = 2, 7, 48
NAMES = ("zero123-xl", "stable-zero123")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return folder


@pytest.fixture(scope="module")
def parts(weights) -> networks.Networks:
    return networks.load(weights / tiny.REPOS[0], CPU)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """A disc whose colour tells frame and view."""
    y, x = np.mgrid[:S, :S] - S / 2
    images = np.zeros((T, V, S, S, 4), np.uint8)
    images[..., 3] = np.where(x**2 + y**2 < (S / 3) ** 2, 255, 0)
    images[..., :3] = np.random.default_rng(0).integers(0, 255, (T, V, 1, 1, 3))
    return images


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def knowing(weights: Path, images: np.ndarray, name: str = NAMES[0]) -> Zero123:
    zero123 = Zero123.load(name, str(weights), CPU)
    finished(zero123.encode_references(images, rig_cameras(S), generator()))
    return zero123


@pytest.mark.parametrize("name", NAMES)
def test_a_render_gets_a_gradient(weights, images, name):
    zero123 = knowing(weights, images, name)
    views = sample_views(2, 32, generator())
    rgb = torch.rand(2, 32, 32, 3, generator=generator()).requires_grad_()
    loss = zero123.loss(rgb, [0, 1], views.azimuths, views.elevations, 0, generator())
    loss.backward()
    assert loss > 0 and rgb.grad.isfinite().all()
    assert (rgb.grad.flatten(1).abs().sum(1) > 0).all()
    assert all(p.grad is None for p in zero123.networks.vae.parameters())


def test_the_same_draws_give_the_same_loss(weights, images):
    zero123 = knowing(weights, images)
    rgb, angles = torch.full((1, 32, 32, 3), 0.5), torch.tensor([100.0])

    def loss(frame: int, azimuth: torch.Tensor, seed: int, step: int = 0) -> float:
        return float(zero123.loss(rgb, [frame], azimuth, angles / 10, step, generator(seed)))

    assert loss(0, angles, 1) == loss(0, angles, 1)
    # Each of these decides something: the noise, the reference, the camera, the noise's level.
    others = [loss(0, angles, 2), loss(1, angles, 1), loss(0, angles + 9, 1)]
    assert len({loss(0, angles, 1), *others, loss(0, angles, 1, step=3000)}) == 5


def test_half_precision_agrees_with_single(weights, images, monkeypatch):
    """A GPU computes in half precision; here only the number format is the GPU's."""
    views, frames = sample_views(2, 32, generator(3)), [1, 0]
    losses, gradients = [], []
    for dtype in (torch.float32, torch.float16):
        monkeypatch.setattr(networks, "network_dtype", lambda _, dtype=dtype: dtype)
        zero123 = knowing(weights, images)
        assert zero123.embeddings.dtype == zero123.latents.dtype == dtype
        rgb = torch.full((2, 32, 32, 3), 0.6).requires_grad_()
        loss = zero123.loss(rgb, frames, views.azimuths, views.elevations, 0, generator())
        loss.backward()
        assert loss.dtype == rgb.grad.dtype == torch.float32
        losses.append(float(loss.detach()))
        gradients.append(rgb.grad.flatten())
    assert abs(losses[1] - losses[0]) < 0.02 * losses[0]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_losses_add_up_over_a_batch(parts):
    """Each render with its own reference, camera and noise: one batch or several."""
    embeddings = torch.randn(3, 16, generator=generator())
    camera = torch.randn(3, 4, generator=generator(1))
    references, latents, noise = torch.randn(3, 3, 4, 32, 32, generator=generator(2))
    t = torch.tensor([50, 500, 900])
    tokens = token(parts, embeddings, camera)
    together = distil(parts, latents, tokens, references, t, noise)
    alone = [
        distil(parts, *(part[i : i + 1] for part in (latents, tokens, references, t, noise)))
        for i in range(3)
    ]
    assert torch.allclose(together, sum(alone), rtol=1e-4)


def test_gradient_is_the_weighted_error_of_the_noise(parts):
    latents = torch.randn(1, 4, 32, 32, generator=generator()).requires_grad_()
    noise = torch.randn(1, 4, 32, 32, generator=generator(1))
    reference = torch.randn(1, 4, 32, 32, generator=generator(2))
    t, tokens = torch.tensor([700]), torch.zeros(1, 1, 16)
    distil(parts, latents, tokens, reference, t, noise, guidance=2.0).backward()
    alpha = parts.alphas[700]
    noisy = alpha.sqrt() * latents.detach() + (1 - alpha).sqrt() * noise
    predicted = parts.denoise(noisy, t, tokens, reference, 2.0)
    # The loss is 0.5 |latents - target|^2 with latents - target = w (eps - noise): float rounding.
    assert torch.allclose(latents.grad, (1 - alpha) * (predicted - noise), atol=1e-5)


def test_steps_against_the_gradient_lower_the_error_of_a_known_noise(parts, monkeypatch):
    """With a UNet that knows the true image, distillation arrives at it through the VAE."""
    goal = parts.encode(torch.full((1, 3, 256, 256), 0.8), torch.zeros(1, 4, 32, 32)).detach()

    def knows(self, noisy, t, *_):
        alpha = self.alphas[t].view(-1, 1, 1, 1)
        return (noisy - alpha.sqrt() * goal) / (1 - alpha).sqrt()

    monkeypatch.setattr(networks.Networks, "denoise", knows)
    image = torch.full((1, 3, 256, 256), 0.3).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.04)
    noises = torch.randn(8, 1, 4, 32, 32, generator=generator())
    distances = []
    for noise in noises:
        latents = parts.encode(image, torch.zeros(1, 4, 32, 32))
        distances.append(float((latents - goal).detach().norm()))
        loss = distil(parts, latents, torch.zeros(1, 1, 16), goal, torch.tensor([500]), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert distances[-1] < 0.7 * distances[0]


def test_no_number_is_no_gradient(parts):
    class Broken:
        alphas = parts.alphas

        def denoise(self, noisy, *_):
            broken = torch.zeros_like(noisy)
            broken[:, 0], broken[:, 1] = torch.nan, torch.inf
            return broken

    latents = torch.zeros(1, 4, 32, 32, requires_grad=True)
    noise = torch.ones(1, 4, 32, 32)
    distil(Broken(), latents, None, None, torch.tensor([500]), noise).backward()
    assert (latents.grad[:, :2] == 0).all() and (latents.grad[:, 2:] < 0).all()


def test_references_are_embedded_once_over_white(weights, parts, images, monkeypatch):
    seen = []
    embed = networks.Networks.embed

    def watched(self, rgb, noise):
        seen.append(rgb)
        return embed(self, rgb, noise)

    monkeypatch.setattr(networks.Networks, "embed", watched)
    zero123 = Zero123.load(NAMES[0], str(weights), CPU)
    events, _ = finished(zero123.encode_references(images, rig_cameras(S), generator()))
    rgb = torch.cat(seen)
    assert len(rgb) == T * V and (rgb[:, :, 0, 0] == 1).all()
    expected = torch.from_numpy(images[1, 3, S // 2, S // 2, :3]) / 255
    assert torch.allclose(rgb[V + 3, :, S // 2, S // 2], expected, atol=1 / 255)
    assert "14 of 14" in events[-1].message and len(events) == 2
    for step in range(2):
        zero123.loss(torch.rand(1, 8, 8, 3), [1], torch.zeros(1), torch.zeros(1), step, generator())
    assert len(torch.cat(seen)) == T * V
    # Frame and view keep their places.
    noise = torch.randn(8, 4, 32, 32, generator=generator())[3:4]
    embedding, latents = embed(parts, rgb[3:4], noise)
    assert torch.allclose(zero123.embeddings[0, 3], embedding[0], atol=1e-4)
    # Batches are rounded otherwise, which the random autoencoder amplifies; other frames are far.
    assert (zero123.latents[0, 3] - latents[0]).abs().max() < 0.02 * latents.abs().max()


def test_nothing_stays_after_forgetting(weights, images):
    zero123 = knowing(weights, images)
    for unneeded in (zero123.networks.image_encoder, zero123.networks.vae.decoder):
        assert all(parameter.is_meta for parameter in unneeded.parameters())
    watched = [weakref.ref(part) for part in (
        zero123.networks.unet, zero123.networks.vae, zero123.networks.clip_camera_projection,
        zero123.embeddings, zero123.latents,
    )]  # fmt: skip
    zero123.free()
    assert [ref() for ref in watched] == [None] * len(watched)


def test_closing_while_embedding_cancels(weights, images):
    zero123 = Zero123.load(NAMES[0], str(weights), CPU)
    stage = zero123.encode_references(images, rig_cameras(S), generator())
    next(stage)
    stage.close()
    assert not hasattr(zero123, "embeddings")


class TestFiles:
    """Messages about published folders that are not what they should be."""

    @pytest.fixture
    def place(self, weights, tmp_path) -> Path:
        return Path(shutil.copytree(weights / tiny.REPOS[0], tmp_path / "copy"))

    def test_old_names_of_the_vae(self, place):
        """diffusers up to 0.17 wrote query, key, value, proj_attn."""
        file = place / networks.WEIGHTS["vae"]
        old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        state = {}
        for key, value in load_file(file).items():
            for now, then in old.items():
                key = key.replace(f"attentions.0.{now}.", f"attentions.0.{then}.")
            state[key] = value
        assert any("proj_attn" in key for key in state)
        expected = networks.load(place, CPU).vae.state_dict()
        save_file(state, file)
        loaded = networks.load(place, CPU).vae.state_dict()
        assert all(torch.equal(loaded[key], expected[key]) for key in expected)

    @pytest.mark.parametrize("name", networks.WEIGHTS)
    def test_wrong_keys(self, place, name):
        file = place / networks.WEIGHTS[name]
        state = load_file(file)
        lost = next(key for key in state if key.endswith("weight"))
        state["foreign.weight"] = state.pop(lost)
        save_file(state, file)
        with pytest.raises(UserError) as error:
            networks.load(place, CPU)
        sentence = str(error.value)
        assert str(file) in sentence and lost in sentence and "foreign.weight" in sentence

    @pytest.mark.parametrize("name", networks.WEIGHTS)
    def test_cut_short(self, place, name):
        file = place / networks.WEIGHTS[name]
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(UserError, match=file.name):
            networks.load(place, CPU)

    def test_missing(self, place):
        (place / networks.CONFIGS["scheduler"]).unlink()
        with pytest.raises(UserError, match="scheduler_config.json is missing"):
            networks.load(place, CPU)

    def test_damaged_configuration(self, place):
        (place / networks.CONFIGS["unet"]).write_text('{"in_channels": ')
        with pytest.raises(UserError, match="config.json is damaged"):
            networks.load(place, CPU)

    @pytest.mark.parametrize(
        ("name", "key", "value"),
        [("unet", "in_channels", 4), ("scheduler", "prediction_type", "v_prediction")],
    )
    def test_another_model(self, place, name, key, value):
        file = place / networks.CONFIGS[name]
        file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
        with pytest.raises(UserError, match=f"{key} = {value}"):
            networks.load(place, CPU)

    def test_nowhere(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            "ds4d.weights.reachability.obstacle", lambda _: "this machine is offline"
        )
        with pytest.raises(UserError, match="offline"):
            Zero123.load("stable-zero123", str(tmp_path), CPU)
