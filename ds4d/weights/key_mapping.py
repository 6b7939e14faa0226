"""Keys of older checkpoints under the names that today's diffusers and transformers use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Projections of a VAE's attention, as diffusers named them until version 0.17.
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def rename_old_keys(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under today's names.

    Position ids, which transformers up to 4.30 saved among the weights, are left out.
    """
    return {_rename(key): value for key, value in state.items() if not _is_position_ids(key)}


def _rename(key: str) -> str:
    parts = key.split(".")
    if "attentions" in parts and parts[-2] in OLD_ATTENTION:
        parts[-2] = OLD_ATTENTION[parts[-2]]
    return ".".join(parts)


def _is_position_ids(key: str) -> bool:
    return key.endswith("embeddings.position_ids")
