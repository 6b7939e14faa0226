"""Old files under today's names."""

from __future__ import annotations

import torch

from ds4d.weights import rename_old_keys


def test_only_attention_and_positions_are_touched():
    one, two = torch.zeros(1), torch.ones(1)
    state = {
        "mid_block.attentions.0.proj_attn.weight": one,
        "mid_block.attentions.0.query.bias": two,
        "encoder.query.weight": one,  # no attention of a VAE
        "vision_model.embeddings.position_ids": two,
        "conv.weight": two,
    }
    renamed = rename_old_keys(state)
    assert list(renamed) == [
        "mid_block.attentions.0.to_out.0.weight", "mid_block.attentions.0.to_q.bias",
        "encoder.query.weight", "conv.weight",
    ]  # fmt: skip
    assert renamed["mid_block.attentions.0.to_q.bias"] is two
    assert rename_old_keys(renamed) == renamed
