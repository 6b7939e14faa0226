"""Zero123's distillation against recorded runs of the published code, with their own noise."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ds4d.guidance import networks
from ds4d.guidance.networks import clip_pixel_values, resize
from ds4d.guidance.zero123 import distil, token
from tests.paths import GOLDEN, golden_cases

RECORDS = GOLDEN / "g5"
CASES = [path.parent.name for path in golden_cases("g5/*/tensors.safetensors")]
SDS = [path.parent.name for path in golden_cases("g5/sds*/tensors.safetensors")]
TOLERANCE = 1e-4  # of the largest value; the records' own rounding is a tenth of it


@pytest.fixture(scope="module")
def zero123() -> networks.Networks:
    return networks.load(RECORDS / "model", torch.device("cpu"))


def close(actual: Tensor, expected: Tensor) -> bool:
    assert actual.shape == expected.shape
    return bool((actual - expected).abs().max() <= TOLERANCE * expected.abs().max())


class Case:
    """One record: its tensors, its draws in order, and its reference images."""

    def __init__(self, name: str):
        self.tensors = load_file(RECORDS / name / "tensors.safetensors")
        self.draws = [
            value for _, value in sorted(load_file(RECORDS / name / "random.safetensors").items())
        ]
        self.meta = json.loads((RECORDS / name / "meta.json").read_text())
        frames = sum(key.startswith("ref_image_") for key in self.tensors)
        # Prefixes of the keys of each reference: the images were embedded in this order.
        self.references = []
        for frame in range(frames):
            extras = sum(key.startswith(f"extra_image_{frame}_") for key in self.tensors)
            self.references.append(("", str(frame)))
            self.references += [("extra_", f"{frame}_{k}") for k in range(extras)]

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def image(self, reference: tuple[str, str]) -> Tensor:
        prefix, number = reference
        return self[f"{prefix or 'ref_'}image_{number}"]

    def embedded(self, reference: tuple[str, str]) -> tuple[Tensor, Tensor]:
        prefix, number = reference
        return self[f"{prefix}embed_clip_{number}"], self[f"{prefix}embed_vae_{number}"]

    def chosen(self) -> tuple[str, str]:
        """The reference that the distillation used."""
        frame, extra = self.meta["embedding_index"], self.meta["idx"]
        return ("", str(frame)) if extra is None else ("extra_", f"{frame}_{extra}")

    def later_draws(self) -> list[Tensor]:
        return self.draws[len(self.references) :]

    def camera(self) -> Tensor:
        """[B, 4]; the record's angles are Zero123's own."""
        polar, azimuth = (torch.deg2rad(self[key]) for key in ("polar_deg", "azimuth_deg"))
        return torch.stack([polar, azimuth.sin(), azimuth.cos(), self["radius"]], -1)


@pytest.mark.parametrize("name", CASES)
def test_golden_reference_embeddings(zero123, name):
    case = Case(name)
    for reference, noise in zip(case.references, case.draws, strict=False):
        key = f"{reference[0]}clip_pixel_values_{reference[1]}"
        if key in case.tensors:
            pixels = clip_pixel_values(resize(case.image(reference)), zero123.feature_extractor)
            assert close(pixels, case[key])
        embedding, latents = zero123.embed(case.image(reference), noise)
        assert close(embedding, case.embedded(reference)[0])
        assert close(latents, case.embedded(reference)[1])


@pytest.mark.parametrize("name", SDS)
def test_golden_noise_schedule(zero123, name):
    assert close(zero123.alphas, Case(name)["alphas_cumprod"])


@pytest.mark.parametrize("name", SDS)
def test_golden_denoised(zero123, name):
    """Token, both halves of the input, and the UNet, from the recorded noisy latents."""
    case = Case(name)
    B = len(case["polar_deg"])
    embedding, reference = (part.repeat_interleave(B, 0) for part in case.embedded(case.chosen()))
    tokens = token(zero123, embedding, case.camera())
    assert close(torch.cat([tokens, torch.zeros_like(tokens)]), case["encoder_hidden_states"])
    conditional, unconditional = case["unet_out"].chunk(2)
    for guidance in (0.0, 1.0, float(case.meta["guidance"])):
        expected = unconditional + guidance * (conditional - unconditional)
        actual = zero123.denoise(
            case["latents_noisy"], case["timesteps"], tokens, reference, guidance
        )
        assert close(actual, expected)


@pytest.mark.parametrize("name", SDS)
def test_golden_distillation(zero123, name):
    """From the render to the loss and its gradient, at every recorded point on the way."""
    case = Case(name)
    embedding, reference = case.embedded(case.chosen())
    pred = case["pred_rgb"].clone().requires_grad_()
    B = len(pred)
    if case.meta["as_latent"]:
        latents = F.interpolate(pred, (32, 32), mode="bilinear", align_corners=False) * 2 - 1
        t, noise = case.later_draws()
    else:
        vae_noise, t, noise = case.later_draws()
        latents = zero123.encode(resize(pred), vae_noise)
    assert close(latents, case["latents"])
    assert torch.equal(t, case["timesteps"])

    latents.retain_grad()
    tokens = token(zero123, embedding.expand(B, -1), case.camera())
    loss = distil(
        zero123, latents, tokens, reference.expand(B, -1, -1, -1), t, noise,
        float(case.meta["guidance"]),
    )  # fmt: skip
    loss.backward()
    assert close(loss, case["loss"].squeeze())
    assert close(latents.grad, case["sds_grad_latents"])
    assert close(pred.grad, case["grad_pred_rgb"])
