"""Names of weights that older files have: the libraries that read them have changed since."""

from __future__ import annotations

from torch import Tensor

# What diffusers called the projections of a VAE's attention until version 0.17.
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def modern(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of today.

    Position numbers, which files of transformers up to 4.30 hold as if they were weights, are left
    out.
    """
    return {_renamed(key): value for key, value in state.items() if not _is_position(key)}


def _renamed(key: str) -> str:
    parts = key.split(".")
    if "attentions" in parts and parts[-2] in OLD_ATTENTION:
        parts[-2] = OLD_ATTENTION[parts[-2]]
    return ".".join(parts)


def _is_position(key: str) -> bool:
    return key.endswith("embeddings.position_ids")
