"""Zero123++'s parts: attention, steps, pixels, and checkpoints that are not what they should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from PIL import Image
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from ds4d.errors import UserError
from ds4d.multiview.zero123plus.attention import (
    Anchor,
    Exchange,
    ReferenceAttention,
    anchor_bytes,
    install,
)
from ds4d.multiview.zero123plus.conditioning import Condition, draw_noise
from ds4d.multiview.zero123plus.generate import batches, cut
from ds4d.multiview.zero123plus.load import (
    Schedule,
    build,
    load_encoders,
    load_schedule,
    load_unet,
    load_vae,
)
from ds4d.multiview.zero123plus.preprocessing import GREY, Pixels, over_plain
from ds4d.multiview.zero123plus.sampler import ancestral_step, denoise, noisy_references
from ds4d.run.events import result
from tests.fakes import zero123plus as tiny

CPU, SINGLE = torch.device("cpu"), torch.float32


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.make(folder)
    return folder


@pytest.fixture
def copied(weights, tmp_path) -> Path:
    """Zero123++ v1.2 to be spoiled."""
    return shutil.copytree(weights / "sudo-ai" / "zero123plus-v1.2", tmp_path / "model")


@pytest.fixture(scope="module")
def unet(weights) -> UNet2DConditionModel:
    return load_unet(weights / "sudo-ai" / "zero123plus-v1.2" / "unet", CPU, SINGLE)


@pytest.fixture
def real_unet() -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(tiny.UNET).half()


def test_reading_attention_looks_at_own_tokens_and_at_what_was_written():
    torch.manual_seed(0)
    attn, exchange = Attention(8, heads=2, dim_head=4), Exchange()
    attn.set_processor(ReferenceAttention("layer", exchange))
    own, reference = torch.randn(1, 5, 8), torch.randn(1, 3, 8)
    alone = attn(reference)
    exchange.writing = False
    seen = attn(own)
    assert exchange.tokens == {}

    def literal(query: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            layer(x)[0].reshape(-1, 2, 4).transpose(0, 1)
            for layer, x in ((attn.to_q, query), (attn.to_k, source), (attn.to_v, source))
        )
        mixed = torch.softmax(q @ k.transpose(1, 2) / 2, -1) @ v
        return attn.to_out[0](mixed.transpose(0, 1).reshape(1, -1, 8))

    torch.testing.assert_close(alone, literal(reference, reference))
    torch.testing.assert_close(seen, literal(own, torch.cat([own, reference], 1)))


def test_the_anchor_averages_as_many_tokens_as_the_grid_has(real_unet):
    anchor = Anchor(real_unet, (120, 80), CPU)
    assert [anchor.count(channels) for channels in (320, 640, 1280)] == [9600, 2400, 600]
    first = torch.randn(2, 650, 1280)  # both halves of guidance
    assert torch.equal(anchor.blend(first), first)
    anchor.replay()
    later = torch.randn(6, 650, 1280)  # three frames
    blended = anchor.blend(later)
    for row in range(6):
        half = first[row // 3]
        torch.testing.assert_close(blended[row, :600], (half[:600] + later[row, :600]) / 2)
        assert torch.equal(blended[row, 600:], later[row, 600:])


def test_the_anchor_keeps_no_more_than_it_says(real_unet, unet):
    assert anchor_bytes(real_unet, (120, 80), steps=75, halves=2) / 75 == pytest.approx(
        110.6e6, rel=0.01
    )
    exchange = install(unet)
    exchange.anchor = Anchor(unet, (24, 16), CPU)
    condition, noise = small_condition(1), draw_noise(0, 1, (8, 8), (24, 16), True)
    for _ in denoise(unet, exchange, small_schedule(1), condition, noise, 4.0):
        pass
    kept = sum(tensor.numel() * 4 for tensor in exchange.anchor.kept)
    assert kept <= anchor_bytes(unet, (24, 16), steps=1, halves=2) < 1.6 * kept


def small_condition(count: int, steered: bool = True) -> Condition:
    generator = torch.Generator().manual_seed(count)
    latents = torch.randn(1 + count, 4, 8, 8, generator=generator)
    prompts = torch.randn(1 + count, 7, 16, generator=generator)
    return Condition(latents[1:], prompts[1:], latents[:steered], prompts[:steered])


def small_schedule(steps: int) -> Schedule:
    scheduler = EulerAncestralDiscreteScheduler.from_config(
        tiny.SCHEDULER, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(steps)
    return Schedule(scheduler.timesteps, scheduler.sigmas, float(scheduler.init_noise_sigma))


@pytest.mark.parametrize("steered", [True, False])
def test_frames_of_a_batch_do_not_see_each_other(unet, steered):
    condition, noise = small_condition(3, steered), draw_noise(0, 2, (8, 8), (24, 16), steered)

    def latents(part: Condition) -> torch.Tensor:
        stage = denoise(unet, install(unet), small_schedule(2), part, noise, 4.0)
        return result(stage)

    together = latents(condition)
    alone = torch.cat([latents(condition[index : index + 1]) for index in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_steps_are_diffusers_own():
    scheduler = EulerAncestralDiscreteScheduler.from_config(
        tiny.SCHEDULER, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(5)
    latents = torch.randn(2, 4, 6, 4) * scheduler.init_noise_sigma
    for step, timestep in enumerate(scheduler.timesteps):
        velocity, sigma = torch.randn_like(latents), scheduler.sigmas[step : step + 2].tolist()
        scheduler.scale_model_input(latents, timestep)
        expected = scheduler.step(
            velocity, timestep, latents, generator=torch.Generator().manual_seed(step)
        ).prev_sample
        noise = torch.randn(2, 4, 6, 4, generator=torch.Generator().manual_seed(step))
        ours = ancestral_step(latents, velocity, *sigma, noise)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
        latents = expected


def test_frames_share_their_reference_noise_and_grey_has_its_own():
    condition, noise = small_condition(2), torch.randn(2, 4, 8, 8)
    noised = noisy_references(condition, noise, 3.0) * 10**0.5
    torch.testing.assert_close(noised[0] - condition.grey[0], 3 * noise[0])
    for frame in (0, 1):
        torch.testing.assert_close(noised[1 + frame] - condition.frames[frame], 3 * noise[1])


def test_the_schedule_is_trailing_whatever_the_file_says(weights):
    for version in ("v1.2", "v1.1"):  # linspace, nothing
        schedule = load_schedule(weights / "sudo-ai" / f"zero123plus-{version}" / "scheduler", 30)
        assert schedule.timesteps[:2].tolist() == [999, 966]
        assert schedule.timesteps[-1] == 32
        assert schedule.start == pytest.approx(25.1461, abs=1e-3)
        assert schedule.sigmas[-1] == 0


def test_pixels_by_single_numbers_and_by_channel(weights, tmp_path):
    folder = weights / "sudo-ai" / "zero123plus-v1.2" / "feature_extractor_vae"
    one = Pixels.read(folder)
    facts = json.loads((folder / "preprocessor_config.json").read_text())
    facts |= {"image_mean": [0.5] * 3, "image_std": [0.8] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(facts))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), np.uint8))
    assert torch.equal(one(picture), Pixels.read(tmp_path)(picture))
    white = one(Image.new("RGB", (50, 50), (255, 255, 255)))
    assert white.shape == (3, 128, 128)
    torch.testing.assert_close(white, torch.full_like(white, 0.625))


def test_a_frame_lies_over_grey():
    frame = np.zeros((4, 4, 4), np.uint8)
    frame[:2] = (200, 100, 0, 255)
    expected = np.where(np.arange(4)[:, None, None] < 2, (200, 100, 0), GREY)
    np.testing.assert_array_equal(over_plain(frame, GREY), np.broadcast_to(expected, (4, 4, 3)))


def test_the_grid_is_cut_row_by_row():
    grid = np.zeros((960, 640, 3), np.uint8)
    for view in range(6):
        row, column = divmod(view, 2)
        grid[row * 320 : (row + 1) * 320, column * 320 : (column + 1) * 320] = view
    assert [np.unique(picture).tolist() for picture in cut(grid)] == [[v] for v in range(6)]


def test_batches_cover_all_frames_the_first_one_alone_where_others_look_at_it():
    assert list(batches(7, 3, first_alone=False)) == [(0, 3), (3, 6), (6, 7)]
    assert list(batches(7, 3, first_alone=True)) == [(0, 1), (1, 4), (4, 7)]
    assert list(batches(1, 8, first_alone=True)) == [(0, 1)]


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


def test_a_network_with_a_buffer_that_nobody_fills_is_refused():
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
    ("file", "content", "words"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionPipeline"}, "ramping_coefficients"),
        ("text_encoder/config.json", None, "text_encoder/config.json is missing"),
        ("feature_extractor_vae/preprocessor_config.json", {}, "feature_extractor_vae"),
        ("tokenizer/vocab.json", None, "tokenizer"),
    ],
)
def test_wrong_settings_are_named(copied, file, content, words):
    if content is None:
        (copied / file).unlink()
    else:
        (copied / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=words):
        load_encoders(copied, CPU, SINGLE)


def test_another_scheduler_is_refused(copied):
    file = copied / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(tiny.SCHEDULER | {"prediction_type": "epsilon"}))
    with pytest.raises(UserError, match="asks for epsilon"):
        load_schedule(copied / "scheduler", 4)
