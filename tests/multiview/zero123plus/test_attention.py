"""Reference attention and the anchor."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention

from ds4d.multiview.zero123plus.attention import (
    Anchor,
    ReferenceAttention,
    ReferenceState,
    anchor_bytes,
    install_reference_attention,
)
from ds4d.multiview.zero123plus.sampler import denoise
from tests.fakes import zero123plus as tiny

CPU = torch.device("cpu")


@pytest.fixture
def real_unet() -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(tiny.UNET).half()


def test_reading_pass_attends_to_own_and_to_written_tokens():
    torch.manual_seed(0)
    attn, state = Attention(8, heads=2, dim_head=4), ReferenceState()
    attn.set_processor(ReferenceAttention("layer", state))
    own, reference = torch.randn(1, 5, 8), torch.randn(1, 3, 8)
    alone = attn(reference)
    state.writing = False
    reading = attn(own)
    assert state.tokens == {}

    def literal(query: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            layer(x)[0].reshape(-1, 2, 4).transpose(0, 1)
            for layer, x in ((attn.to_q, query), (attn.to_k, source), (attn.to_v, source))
        )
        mixed = torch.softmax(q @ k.transpose(1, 2) / 2, -1) @ v
        return attn.to_out[0](mixed.transpose(0, 1).reshape(1, -1, 8))

    torch.testing.assert_close(alone, literal(reference, reference))
    torch.testing.assert_close(reading, literal(own, torch.cat([own, reference], 1)))


def test_the_anchor_averages_as_many_tokens_as_the_grid_has(real_unet):
    anchor = Anchor(real_unet, (120, 80), CPU)
    assert [anchor.grid_tokens(channels) for channels in (320, 640, 1280)] == [9600, 2400, 600]
    first = torch.randn(2, 650, 1280)  # both halves of guidance
    assert torch.equal(anchor.blend(first), first)
    anchor.replay()
    later = torch.randn(6, 650, 1280)  # three frames
    blended = anchor.blend(later)
    for row in range(6):
        half = first[row // 3]
        torch.testing.assert_close(blended[row, :600], (half[:600] + later[row, :600]) / 2)
        assert torch.equal(blended[row, 600:], later[row, 600:])


def test_anchor_bytes_bound_what_the_anchor_keeps(real_unet, unet):
    assert anchor_bytes(real_unet, (120, 80), steps=75, halves=2) / 75 == pytest.approx(
        110.6e6, rel=0.01
    )
    state = install_reference_attention(unet)
    state.anchor = Anchor(unet, (24, 16), CPU)
    condition, generators = tiny.random_condition(1), [torch.Generator()]
    steps = denoise(unet, state, tiny.scheduler(), condition, generators, (24, 16), 1, 4.0)
    assert list(steps) == [1]
    kept = sum(tensor.numel() * 4 for tensor in state.anchor.sources)
    assert kept <= anchor_bytes(unet, (24, 16), steps=1, halves=2) < 1.6 * kept
