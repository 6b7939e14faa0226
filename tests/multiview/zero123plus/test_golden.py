"""Zero123++ against what the official pipeline recorded, at every point that it recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from ds4d.multiview.zero123plus.attention import install
from ds4d.multiview.zero123plus.conditioning import (
    Condition,
    Noise,
    describe,
    image_embedding,
    moments,
    ramped,
    sample,
    text_embedding,
)
from ds4d.multiview.zero123plus.load import (
    Encoders,
    Schedule,
    load_encoders,
    load_schedule,
    load_unet,
    load_vae,
)
from ds4d.multiview.zero123plus.preprocessing import GREY, Pixels, over_plain
from ds4d.multiview.zero123plus.sampler import (
    decode,
    denoise,
    denoise_step,
    guided,
    noisy_references,
    predict,
    scaled,
    to_uint8,
    unscaled,
)
from ds4d.run.events import result
from tests.paths import GOLDEN, golden_cases

RECORDS = GOLDEN / "g1"
CASES = [path.name for path in golden_cases("g1/case*")]
CPU, SINGLE = torch.device("cpu"), torch.float32
TOLERANCE = 1e-4  # of the largest magnitude


@dataclass
class Case:
    meta: dict
    tensors: dict[str, Tensor]
    blocks: dict[str, Tensor]
    encoders: Encoders
    vae: nn.Module
    unet: nn.Module
    schedule: Schedule
    noise: Noise
    frame: np.ndarray
    folder: Path


@pytest.fixture(scope="module", params=CASES)
def case(request) -> Case:
    folder, model = RECORDS / request.param, RECORDS / "model"
    meta = json.loads((folder / "meta.json").read_text())
    encoders = load_encoders(model, CPU, SINGLE)
    if (folder / "feature_extractor_vae").exists():
        override = Pixels.read(folder / "feature_extractor_vae")
        encoders = Encoders(**{**vars(encoders), "vae_pixels": override})
    scheduler = folder / "scheduler"
    scheduler = scheduler if scheduler.exists() else model / "scheduler"
    blocks = folder / "blocks.safetensors"
    return Case(
        meta,
        load_file(folder / "tensors.safetensors"),
        load_file(blocks) if blocks.exists() else {},
        encoders,
        load_vae(model / "vae", CPU, SINGLE),
        load_unet(model / "unet", CPU, SINGLE),
        load_schedule(scheduler, meta["steps"]),
        recorded_noise(folder, meta["guidance_scale"] > 1),
        np.asarray(Image.open(folder / "input.png")),
        folder,
    )


def recorded_noise(folder: Path, steered: bool) -> Noise:
    """The recorded draws, in the order of their names."""
    drawn = load_file(folder / "random.safetensors")
    draws = [drawn[key] for key in sorted(drawn)]
    frame = draws.pop(0)
    grey = draws.pop(0) if steered else None
    return Noise(frame, grey, draws.pop(0), draws[::2], draws[1::2])


def check(actual: Tensor, expected: Tensor, what: str) -> None:
    assert actual.shape == expected.shape, what
    error = (actual - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
    assert error < TOLERANCE, f"{what}: relative error {error:.2e}"


def condition_of(case: Case) -> Condition:
    """The condition as the recorded UNet saw it."""
    t, steered = case.tensors, case.meta["guidance_scale"] > 1
    latents, prompts = t["cond_lat"], t["encoder_hidden_states_to_unet"]
    return Condition(latents[-1:], prompts[-1:], latents[:steered], prompts[:steered])


def test_golden_picture_and_pixels(case):
    image = over_plain(case.frame, GREY)
    np.testing.assert_array_equal(image, np.asarray(Image.open(case.folder / "input_rgb.png")))
    check(case.encoders.vae_pixels(image)[None], case.tensors["pixel_values_vae"], "VAE")
    check(case.encoders.clip_pixels(image)[None], case.tensors["pixel_values_clip"], "CLIP")


def test_golden_latents_of_the_condition(case):
    t = case.tensors
    found = moments(case.vae, t["pixel_values_vae"])
    check(found, t["vae_moments_cond_image"], "moments")
    check(sample(found, case.noise.frame), t["vae_sample_cond_image"], "sample")
    if case.noise.grey is not None:
        grey = moments(case.vae, torch.zeros_like(t["pixel_values_vae"]))
        check(grey, t["vae_moments_negative_zero_image"], "grey moments")
        check(sample(grey, case.noise.grey), t["vae_sample_negative_zero_image"], "grey sample")


def test_golden_embeddings(case):
    t, encoders = case.tensors, case.encoders
    text = text_embedding(encoders, case.meta["prompt"])
    check(text, t["text_last_hidden_state_0"], "text")
    if "text_last_hidden_state_1" in t:
        check(text_embedding(encoders), t["text_last_hidden_state_1"], "no words")
    image = image_embedding(encoders, t["pixel_values_clip"])
    check(image, t["vision_image_embeds"], "vision")
    check(ramped(text, image, encoders.ramp), t["prompt_embeds_after_ramp"], "ramp")


def test_golden_blocks_of_the_encoders(case):
    """Layer by layer: the VAE both ways, CLIP's text and vision."""
    t, encoders, vae = case.tensors, case.encoders, case.vae
    text, vision = encoders.text, encoders.vision.vision_model
    text = getattr(text, "text_model", text)  # one more level until transformers 5
    modules = {
        "text/embeddings": text.embeddings,
        "vision/pre_layrnorm": vision.pre_layrnorm,
        "vision/post_layernorm_cls": vision.post_layernorm,
        **{f"text/layer{i}": layer for i, layer in enumerate(text.encoder.layers)},
        **{f"vision/layer{i}": layer for i, layer in enumerate(vision.encoder.layers)},
    }
    seen = {}

    def listen(name):
        def hook(module, args, output):
            seen.setdefault(name, output[0] if isinstance(output, tuple) else output)

        return hook

    expected = {k: v for k, v in case.blocks.items() if k[:2] not in ("w/", "r/")}
    for name in expected:
        if name not in modules:  # vae.encoder/..., vae.decoder/...
            part, _, path = name.removeprefix("vae.").partition("/")
            inner = getattr(vae, part)
            modules[name] = vae.quant_conv if path == "out" else inner.get_submodule(path)
    hooks = [modules[name].register_forward_hook(listen(name)) for name in expected]
    before = vae.quant_conv.register_forward_pre_hook(
        lambda module, args: seen.setdefault("vae.encoder/out", args[0])
    )
    moments(vae, t["pixel_values_vae"])
    text_embedding(encoders, case.meta["prompt"])
    image_embedding(encoders, t["pixel_values_clip"])
    decode(vae, t["pipeline_latents_before_unscale"])
    for hook in (*hooks, before):
        hook.remove()
    for name, block in expected.items():
        check(seen[name], block, name)


def test_golden_condition(case):
    """As the engine makes it: from the frame to what the UNet is told."""
    if case.meta["prompt"] and case.noise.grey is not None:
        pytest.skip("the engine steers away from its only prompt, which is empty")
    text = text_embedding(case.encoders, case.meta["prompt"])
    found = describe(case.frame, case.encoders, case.vae, case.noise, text, GREY)
    check(torch.cat([found.grey, found.frames]), case.tensors["cond_lat"], "latents")
    prompts = torch.cat([found.plain, found.prompts])
    check(prompts, case.tensors["encoder_hidden_states_to_unet"], "prompts")


def test_golden_schedule(case):
    t, schedule = case.tensors, case.schedule
    check(schedule.timesteps, t["scheduler/timesteps"].float(), "timesteps")
    check(schedule.sigmas, t["scheduler/sigmas"], "sigmas")
    assert schedule.start == pytest.approx(float(t["scheduler/init_noise_sigma"]), rel=1e-6)


def test_golden_steps(case):
    """Each step on its own, from the recorded latents before it."""
    t, schedule, noise = case.tensors, case.schedule, case.noise
    condition, exchange = condition_of(case), install(case.unet)
    guidance = case.meta["guidance_scale"]
    for step in range(case.meta["steps"]):
        sigma, timestep = float(schedule.sigmas[step]), schedule.timesteps[step]
        latents = t[f"step{step}/latents_in"]
        with torch.inference_mode():
            references = noisy_references(condition, noise.references[step], sigma)
            raw = predict(
                case.unet, exchange, condition, references, latents, sigma, timestep
            )  # fmt: skip
        check(references, t[f"step{step}/noisy_cond_lat_scaled"], f"references of {step}")
        count = 1 + len(condition.grey)
        grid = torch.cat([scaled(latents, sigma)] * count)
        check(grid, t[f"step{step}/unet_sample_in"], f"input of {step}")
        check(raw, t[f"step{step}/unet_out_raw"], f"output of {step}")
        velocity = guided(raw, guidance, count > 1)
        if f"step{step}/noise_pred_after_cfg" in t:
            check(velocity, t[f"step{step}/noise_pred_after_cfg"], f"guidance of {step}")
        after = denoise_step(
            case.unet, exchange, schedule, condition, noise, guidance, latents, step
        )
        check(after, t[f"step{step}/latents_out"], f"latents after {step}")


def test_golden_written_tokens_and_blocks(case):
    """The two passes of the first step, layer by layer."""
    exchange, t = install(case.unet), case.tensors
    condition, sigma = condition_of(case), float(case.schedule.sigmas[0])
    references, timestep = t["step0/noisy_cond_lat_scaled"], case.schedule.timesteps[0]
    seen, hooks = {}, []

    def listen(name):
        def hook(module, args, output):
            output = output[0] if isinstance(output, tuple) else output
            prefix = "w" if exchange.writing else "r"
            seen[f"{prefix}/{name}"] = getattr(output, "sample", output)

        return hook

    names = {key.split("/", 1)[1] for key in case.blocks if key[:2] in ("w/", "r/")}
    for name in names - {"unet_out"}:
        hooks.append(case.unet.get_submodule(name).register_forward_hook(listen(name)))
    hooks.append(case.unet.register_forward_hook(listen("unet_out")))
    written = {}

    def keep(module, args, output):
        if exchange.writing:
            written.update(exchange.tokens)

    hooks.append(case.unet.register_forward_hook(keep))
    with torch.inference_mode():
        latents = t["step0/latents_in"]
        predict(case.unet, exchange, condition, references, latents, sigma, timestep)
    for hook in hooks:
        hook.remove()
    expected = {k.removeprefix("step0/ref/"): v for k, v in t.items() if "/ref/" in k}
    assert written.keys() == expected.keys()
    for name, tokens in expected.items():
        check(written[name], tokens, name)
    for name, block in case.blocks.items():
        if name[:2] in ("w/", "r/"):
            check(seen[name], block, name)


def test_golden_whole_run(case):
    """From the first noise to the picture, by the recorded draws."""
    t, condition = case.tensors, condition_of(case)
    guidance = case.meta["guidance_scale"]
    stage = denoise(case.unet, install(case.unet), case.schedule, condition, case.noise, guidance)
    latents = result(stage)
    check(latents, t["pipeline_latents_before_unscale"], "latents")
    check(unscaled(latents, case.vae), t["vae_decode_input"], "unscaled")
    image = decode(case.vae, latents)
    check(image, t["image_before_postprocess"], "decoded")
    check(image / 0.8 * 0.5, t["vae_decode_output"], "VAE's output")
    expected = np.asarray(Image.open(case.folder / "output.png")).astype(int)
    assert np.abs(to_uint8(image).astype(int) - expected).max() <= 1


def test_golden_vae_with_old_names(case):
    old = load_vae(RECORDS / "vae_oldnames", CPU, SINGLE)
    for (name, new_value), old_value in zip(
        case.vae.state_dict().items(), old.state_dict().values(), strict=True
    ):
        assert torch.equal(new_value, old_value), name
