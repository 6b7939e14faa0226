"""Zero123++ against what the official pipeline recorded, at every point that it recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler
from diffusers.models.autoencoders import vae as diffusers_vae
from diffusers.schedulers import scheduling_euler_ancestral_discrete as diffusers_scheduler
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from ds4d.multiview.zero123plus import sampler
from ds4d.multiview.zero123plus.attention import install_reference_attention
from ds4d.multiview.zero123plus.conditioning import (
    Condition,
    add_image_embeds,
    encode_frame,
    encode_image,
    encode_prompt,
    latent_distribution,
)
from ds4d.multiview.zero123plus.load import (
    Encoders,
    load_encoders,
    load_scheduler,
    load_unet,
    load_vae,
)
from ds4d.multiview.zero123plus.preprocessing import GREY, load_image_processor, over_background
from ds4d.multiview.zero123plus.sampler import (
    decode,
    denoise,
    denoise_step,
    guide,
    noisy_references,
    predict,
    to_uint8,
    unscale,
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
    scheduler: EulerAncestralDiscreteScheduler
    draws: list[Tensor]  # random numbers of the official run, in their order
    frame: np.ndarray
    folder: Path

    @property
    def guided(self) -> bool:
        return self.meta["guidance_scale"] > 1

    def condition(self) -> Condition:
        """The condition as the recorded UNet saw it."""
        latents, prompts = self.tensors["cond_lat"], self.tensors["encoder_hidden_states_to_unet"]
        negative = int(self.guided)
        return Condition(latents[-1:], prompts[-1:], latents[:negative], prompts[:negative])

    def denoising_draws(self) -> list[Tensor]:
        """The draws after those of the condition's latents."""
        return self.draws[1 + self.guided :]

    def start(self) -> EulerAncestralDiscreteScheduler:
        """The scheduler at its first step."""
        self.scheduler.set_timesteps(self.meta["steps"])
        return self.scheduler


@pytest.fixture(scope="module", params=CASES)
def case(request) -> Case:
    folder, model = RECORDS / request.param, RECORDS / "model"
    meta = json.loads((folder / "meta.json").read_text())
    encoders = load_encoders(model, CPU, SINGLE)
    if (folder / "feature_extractor_vae").exists():
        override = load_image_processor(folder / "feature_extractor_vae")
        encoders = replace(encoders, vae_processor=override)
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
        load_scheduler(scheduler),
        [draw for _, draw in sorted(load_file(folder / "random.safetensors").items())],
        np.asarray(Image.open(folder / "input.png")),
        folder,
    )


def replay(monkeypatch, draws: list[Tensor]) -> None:
    """Let diffusers and the sampler draw the given numbers, one after the other."""
    remaining = list(draws)

    def recorded(shape, generator=None, device=None, dtype=None, layout=None) -> Tensor:
        draw = remaining.pop(0)
        assert draw.shape == tuple(shape)
        return draw

    for module in (diffusers_vae, diffusers_scheduler, sampler):
        monkeypatch.setattr(module, "randn_tensor", recorded)


def check(actual: Tensor, expected: Tensor, what: str) -> None:
    assert actual.shape == expected.shape, what
    error = (actual - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
    assert error < TOLERANCE, f"{what}: relative error {error:.2e}"


def test_golden_image_and_pixel_values(case):
    image, encoders = over_background(case.frame, GREY), case.encoders
    np.testing.assert_array_equal(image, np.asarray(Image.open(case.folder / "input_rgb.png")))
    for processor, name in (
        (encoders.vae_processor, "vae"), (encoders.clip_processor, "clip"),
    ):  # fmt: skip
        pixel_values = processor(image, return_tensors="pt").pixel_values
        check(pixel_values, case.tensors[f"pixel_values_{name}"], name)


def test_golden_latents_of_the_condition(case, monkeypatch):
    t = case.tensors
    replay(monkeypatch, case.draws)
    posterior = latent_distribution(case.vae, t["pixel_values_vae"])
    check(posterior.parameters, t["vae_moments_cond_image"], "moments")
    check(posterior.sample(), t["vae_sample_cond_image"], "sample")
    if case.guided:
        grey = latent_distribution(case.vae, torch.zeros_like(t["pixel_values_vae"]))
        check(grey.parameters, t["vae_moments_negative_zero_image"], "grey moments")
        check(grey.sample(), t["vae_sample_negative_zero_image"], "grey sample")


def test_golden_embeddings(case):
    t, encoders = case.tensors, case.encoders
    text = encode_prompt(encoders, case.meta["prompt"])
    check(text, t["text_last_hidden_state_0"], "text")
    if "text_last_hidden_state_1" in t:
        check(encode_prompt(encoders), t["text_last_hidden_state_1"], "empty prompt")
    image = encode_image(encoders, t["pixel_values_clip"])
    check(image, t["vision_image_embeds"], "vision")
    check(add_image_embeds(text, image, encoders.ramp), t["prompt_embeds_after_ramp"], "ramp")


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
    latent_distribution(vae, t["pixel_values_vae"])
    encode_prompt(encoders, case.meta["prompt"])
    encode_image(encoders, t["pixel_values_clip"])
    decode(vae, t["pipeline_latents_before_unscale"])
    for hook in (*hooks, before):
        hook.remove()
    for name, block in expected.items():
        check(seen[name], block, name)


def test_golden_condition(case, monkeypatch):
    """As the engine makes it: from the frame to the UNet's inputs."""
    replay(monkeypatch, case.draws)
    prompt = encode_prompt(case.encoders, case.meta["prompt"])
    condition = encode_frame(
        case.frame, case.encoders, case.vae, prompt, GREY, torch.Generator(), case.guided
    )
    latents = torch.cat([condition.negative_latents, condition.latents])
    check(latents, case.tensors["cond_lat"], "latents")
    # The engine's prompt is empty, as is the negative one; the record's may differ.
    negative = encode_prompt(case.encoders)[: int(case.guided)]
    prompts = torch.cat([negative, condition.prompt_embeds])
    check(prompts, case.tensors["encoder_hidden_states_to_unet"], "prompts")


def test_golden_schedule(case):
    t, scheduler = case.tensors, case.start()
    check(scheduler.timesteps, t["scheduler/timesteps"].float(), "timesteps")
    check(scheduler.sigmas, t["scheduler/sigmas"], "sigmas")
    start = float(scheduler.init_noise_sigma)
    assert start == pytest.approx(float(t["scheduler/init_noise_sigma"]), rel=1e-6)


def test_golden_steps(case, monkeypatch):
    """Each step by itself, from the recorded latents before it."""
    t, scheduler, guidance = case.tensors, case.start(), case.meta["guidance_scale"]
    condition, state = case.condition(), install_reference_attention(case.unet)
    draws = case.denoising_draws()[1:]
    generators = [torch.Generator()]
    for step, timestep in enumerate(scheduler.timesteps):
        latents = t[f"step{step}/latents_in"]
        replay(monkeypatch, draws[2 * step :])
        with torch.inference_mode():
            references = noisy_references(scheduler, condition, generators, timestep)
            output = predict(
                case.unet, state, scheduler, condition, references, latents, timestep
            )  # fmt: skip
            grid = torch.cat([scheduler.scale_model_input(latents, timestep)] * (1 + case.guided))
        check(references, t[f"step{step}/noisy_cond_lat_scaled"], f"references of {step}")
        check(grid, t[f"step{step}/unet_sample_in"], f"input of {step}")
        check(output, t[f"step{step}/unet_out_raw"], f"output of {step}")
        if f"step{step}/noise_pred_after_cfg" in t:
            velocity = guide(output, guidance, case.guided)
            check(velocity, t[f"step{step}/noise_pred_after_cfg"], f"guidance of {step}")
        replay(monkeypatch, draws[2 * step :])
        after = denoise_step(
            case.unet, state, scheduler, condition, generators, guidance, latents, timestep
        )
        check(after, t[f"step{step}/latents_out"], f"latents after {step}")


def test_golden_written_tokens_and_blocks(case):
    """The two passes of the first step, layer by layer."""
    state, t = install_reference_attention(case.unet), case.tensors
    condition, scheduler = case.condition(), case.start()
    references, timestep = t["step0/noisy_cond_lat_scaled"], scheduler.timesteps[0]
    seen, hooks = {}, []

    def listen(name):
        def hook(module, args, output):
            output = output[0] if isinstance(output, tuple) else output
            prefix = "w" if state.writing else "r"
            seen[f"{prefix}/{name}"] = getattr(output, "sample", output)

        return hook

    names = {key.split("/", 1)[1] for key in case.blocks if key[:2] in ("w/", "r/")}
    for name in names - {"unet_out"}:
        hooks.append(case.unet.get_submodule(name).register_forward_hook(listen(name)))
    hooks.append(case.unet.register_forward_hook(listen("unet_out")))
    written = {}

    def keep(module, args, output):
        if state.writing:
            written.update(state.tokens)

    hooks.append(case.unet.register_forward_hook(keep))
    with torch.inference_mode():
        latents = t["step0/latents_in"]
        predict(case.unet, state, scheduler, condition, references, latents, timestep)
    for hook in hooks:
        hook.remove()
    expected = {k.removeprefix("step0/ref/"): v for k, v in t.items() if "/ref/" in k}
    assert written.keys() == expected.keys()
    for name, tokens in expected.items():
        check(written[name], tokens, name)
    for name, block in case.blocks.items():
        if name[:2] in ("w/", "r/"):
            check(seen[name], block, name)


def test_golden_whole_run(case, monkeypatch):
    """From the first noise to the image, by the recorded draws."""
    t = case.tensors
    replay(monkeypatch, case.denoising_draws())
    steps = denoise(
        case.unet, install_reference_attention(case.unet), case.scheduler, case.condition(),
        [torch.Generator()], t["step0/latents_in"].shape[-2:], case.meta["steps"],
        case.meta["guidance_scale"],
    )  # fmt: skip
    latents = result(steps)
    check(latents, t["pipeline_latents_before_unscale"], "latents")
    check(unscale(latents, case.vae), t["vae_decode_input"], "unscaled")
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
