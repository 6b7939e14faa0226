"""Denoising steps: noise, batches, and guidance."""

from __future__ import annotations

import pytest
import torch

from ds4d.multiview.zero123plus.attention import install_reference_attention
from ds4d.multiview.zero123plus.conditioning import Condition
from ds4d.multiview.zero123plus.load import load_scheduler
from ds4d.multiview.zero123plus.sampler import denoise, noisy_references
from ds4d.run.events import result
from tests.fakes import zero123plus as tiny


def generators(count: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for _ in range(count)]


def one_frame(condition: Condition, index: int) -> Condition:
    rows = slice(index, index + 1)
    return Condition(
        condition.latents[rows], condition.prompt_embeds[rows],
        condition.negative_latents, condition.negative_prompt_embeds,
    )  # fmt: skip


@pytest.mark.parametrize("guided", [True, False])
def test_frames_of_a_batch_do_not_affect_each_other(unet, guided):
    condition = tiny.random_condition(3, guided)

    def denoised(part: Condition) -> torch.Tensor:
        steps = denoise(
            unet, install_reference_attention(unet), tiny.scheduler(), part,
            generators(len(part)), (24, 16), 2, 4.0,
        )  # fmt: skip
        return result(steps)

    together = denoised(condition)
    alone = torch.cat([denoised(one_frame(condition, index)) for index in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_few_steps_of_unipc_lead_where_many_do(unet, weights):
    folder = weights / "sudo-ai" / "zero123plus-v1.2" / "scheduler"
    condition = tiny.random_condition(1)

    def denoised(steps: int) -> torch.Tensor:
        scheduler, reference = load_scheduler(folder, "unipc"), install_reference_attention(unet)
        return result(
            denoise(unet, reference, scheduler, condition, generators(1), (24, 16), steps, 4.0)
        )

    many = denoised(40)
    assert (denoised(10) - many).square().mean() < 0.1**2 * many.square().mean()


def test_frames_share_their_reference_noise_and_the_negative_condition_has_its_own():
    condition, scheduler = tiny.random_condition(2), tiny.scheduler()
    scheduler.set_timesteps(5)
    sigma = scheduler.sigmas[0]
    references = noisy_references(scheduler, condition, generators(2), scheduler.timesteps[0])
    noise = references * (sigma**2 + 1) ** 0.5
    noise = noise - torch.cat([condition.negative_latents, condition.latents])
    expected = torch.randn(2, 4, 8, 8, generator=generators(1)[0]) * sigma
    torch.testing.assert_close(noise, expected[[0, 1, 1]], rtol=1e-4, atol=1e-4)
