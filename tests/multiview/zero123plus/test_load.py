"""Zero123++'s checkpoints: both published layouts, and files that are not what they should be."""

from __future__ import annotations

import json

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from ds4d.errors import UserError
from ds4d.multiview.zero123plus.load import (
    build,
    load_encoders,
    load_scheduler,
    load_unet,
    load_vae,
)
from tests.fakes import zero123plus as tiny

CPU, SINGLE = torch.device("cpu"), torch.float32


def test_timesteps_are_trailing_whatever_the_file_says(weights):
    for version in ("v1.2", "v1.1"):  # linspace, nothing
        scheduler = load_scheduler(weights / "sudo-ai" / f"zero123plus-{version}" / "scheduler")
        scheduler.set_timesteps(30)
        assert scheduler.timesteps[:2].tolist() == [999, 966]
        assert scheduler.timesteps[-1] == 32
        assert scheduler.init_noise_sigma == pytest.approx(25.1461, abs=1e-3)
        assert scheduler.sigmas[-1] == 0


def test_the_other_solver_has_the_same_noise_schedule(weights):
    folder = weights / "sudo-ai" / "zero123plus-v1.2" / "scheduler"
    published, other = load_scheduler(folder), load_scheduler(folder, "unipc")
    for scheduler in (published, other):
        scheduler.set_timesteps(14)
    assert published.timesteps.tolist() == other.timesteps.tolist()
    assert torch.equal(published.alphas_cumprod, other.alphas_cumprod)
    assert other.init_noise_sigma == 1


def test_old_and_new_layouts_give_the_networks_their_weights(weights):
    for version, seed, vae in (("v1.2", 12, tiny.FAST_VAE), ("v1.1", 11, tiny.TINY_VAE)):
        folder = weights / "sudo-ai" / f"zero123plus-{version}"
        expected = tiny.tiny_networks(seed, vae)
        encoders = load_encoders(folder, CPU, SINGLE)
        loaded = {
            "unet": load_unet(folder / "unet", CPU, SINGLE),
            "vae": load_vae(folder / "vae", CPU, SINGLE),
            "text_encoder": encoders.text,
            "vision_encoder": encoders.vision,
        }
        for name, network in loaded.items():
            state = network.state_dict()
            for key, value in expected[name].state_dict().items():
                assert torch.allclose(state[key], value, atol=1e-3), (name, key)


def test_the_published_configurations_have_the_published_sizes():
    """Parameters as a dump of the loaded pipeline counts them."""
    with torch.device("meta"):
        networks = {
            "unet": UNet2DConditionModel.from_config(tiny.UNET),
            "vae": AutoencoderKL.from_config(tiny.VAE),
            "text": CLIPTextModel(CLIPTextConfig.from_dict(tiny.TEXT)),
            "vision": CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(tiny.VISION)),
        }
    counts = {name: sum(p.numel() for p in m.parameters()) for name, m in networks.items()}
    assert counts == {
        "unet": 865_910_724, "vae": 83_653_863, "text": 340_387_840, "vision": 632_076_800,
    }  # fmt: skip


def test_positions_are_counted_although_no_file_holds_them(weights):
    encoders = load_encoders(weights / "sudo-ai" / "zero123plus-v1.2", CPU, SINGLE)
    for network, count in ((encoders.text, 77), (encoders.vision, 257)):
        ((_, positions),) = network.named_buffers()
        assert positions.tolist() == [list(range(count))]


def test_a_network_with_a_buffer_without_values_is_refused():
    with pytest.raises(ValueError, match="running_mean"):
        build(lambda: torch.nn.BatchNorm2d(2), SINGLE)


def test_instantmesh_brings_other_weights_for_the_same_unet(weights, unet):
    folder = weights / "sudo-ai" / "zero123plus-v1.2" / "unet"
    file = weights / "TencentARC" / "InstantMesh" / "diffusion_pytorch_model.bin"
    white = load_unet(folder, CPU, SINGLE, file)
    ours, theirs = unet.state_dict(), white.state_dict()
    assert ours.keys() == theirs.keys()
    assert not torch.equal(ours["conv_in.weight"], theirs["conv_in.weight"])


def test_wrong_checkpoints_are_named(copied):
    unet_file = copied / "unet" / "diffusion_pytorch_model.safetensors"
    vae_file = copied / "vae" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(UserError, match=r"vae.*UNet2DConditionModel.*missing keys"):
        load_unet(copied / "unet", CPU, SINGLE, vae_file)
    narrow = json.loads((copied / "unet" / "config.json").read_text())
    (copied / "unet" / "config.json").write_text(json.dumps(narrow | {"cross_attention_dim": 24}))
    with pytest.raises(UserError, match=r"unet/diffusion_pytorch_model.*wrong shapes.*attn2"):
        load_unet(copied / "unet", CPU, SINGLE)
    unet_file.write_bytes(unet_file.read_bytes()[:-1000])
    with pytest.raises(UserError, match="unet/diffusion_pytorch_model.safetensors"):
        load_unet(copied / "unet", CPU, SINGLE)
    unet_file.unlink()
    with pytest.raises(UserError, match="unet/diffusion_pytorch_model.safetensors"):
        load_unet(copied / "unet", CPU, SINGLE)


def test_code_in_a_pickle_is_not_run(copied):
    class Code:
        def __reduce__(self):
            return print, ("ran",)

    torch.save({"conv_in.weight": Code()}, copied / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UserError, match="code"):
        load_unet(copied / "unet", CPU, SINGLE)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionPipeline"}, "ramping_coefficients"),
        ("text_encoder/config.json", None, "text_encoder/config.json is missing"),
        ("feature_extractor_vae/preprocessor_config.json", {}, "feature_extractor_vae"),
        ("tokenizer/vocab.json", None, "tokenizer"),
    ],
)
def test_wrong_settings_are_named(copied, file, content, message):
    if content is None:
        (copied / file).unlink()
    else:
        (copied / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        load_encoders(copied, CPU, SINGLE)


def test_another_scheduler_is_refused(copied):
    file = copied / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(tiny.SCHEDULER | {"prediction_type": "epsilon"}))
    with pytest.raises(UserError, match="asks for epsilon"):
        load_scheduler(copied / "scheduler")
