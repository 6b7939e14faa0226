"""InstantMesh's large reconstruction model, NeRF variant (Xu et al. 2024), and its checkpoints.

Architecture: facebook's ViT-B/16 with camera modulation, a triplane transformer, a small decoder.
Only inference; the published weights fit key for key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import UserError
from ...weights import fill, read_state
from .transformer import TriplaneTransformer
from .triplane import Synthesizer
from .vit import Encoder

PREFIX = "lrm_generator."
HEAD_DIM = 64  # channels of an attention head in every published size


@dataclass(frozen=True)
class Sizes:
    """Hyper-parameters that differ between checkpoints."""

    layers: int  # of the triplane transformer
    plane_dim: int  # channels of each plane
    dim: int = 1024  # width of the triplane transformer
    heads: int = 16
    plane_grid: int = 32  # tokens along a side of a plane, which is twice as fine
    decoder_dim: int = 64  # width inside the decoder
    encoder_layers: int = 12
    encoder_dim: int = 768
    encoder_heads: int = 12
    encoder_hidden: int = 3072
    patch: int = 16  # side of the encoder's patches, pixels
    patch_grid: int = 14  # patches along a side of the images that its positions are for

    @classmethod
    def of(cls, state: dict[str, Tensor]) -> Sizes:
        """Infer the sizes of a checkpoint from its keys and shapes.

        Raises:
            KeyError: a key that shows a size is missing.
        """
        tokens, dim = state["transformer.pos_embed"].shape[1:]
        hidden, encoder_dim = state["encoder.model.encoder.layer.0.intermediate.dense.weight"].shape
        embeddings = "encoder.model.embeddings."
        return cls(
            layers=_count(state, "transformer.layers."),
            plane_dim=state["transformer.deconv.weight"].shape[1],
            dim=dim,
            heads=dim // HEAD_DIM,
            plane_grid=math.isqrt(tokens // 3),
            decoder_dim=len(state["synthesizer.decoder.net.0.weight"]),
            encoder_layers=_count(state, "encoder.model.encoder.layer."),
            encoder_dim=encoder_dim,
            encoder_heads=encoder_dim // HEAD_DIM,
            encoder_hidden=hidden,
            patch=state[embeddings + "patch_embeddings.projection.weight"].shape[-1],
            patch_grid=math.isqrt(state[embeddings + "position_embeddings"].shape[1] - 1),
        )


LARGE = Sizes(layers=16, plane_dim=80)  # instant_nerf_large.ckpt: 378,477,332 values
BASE = Sizes(layers=12, plane_dim=40)  # instant_nerf_base.ckpt: 313,249,004 values


class LRM(nn.Module):
    """Encoder, triplane transformer and decoder: views with cameras to density and colour."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoder = Encoder(
            sizes.encoder_dim, sizes.encoder_layers, sizes.encoder_heads, sizes.encoder_hidden,
            sizes.patch, sizes.patch_grid,
        )  # fmt: skip
        self.transformer = TriplaneTransformer(
            sizes.dim, sizes.layers, sizes.heads, sizes.encoder_dim, sizes.plane_grid,
            sizes.plane_dim,
        )  # fmt: skip
        self.synthesizer = Synthesizer(sizes.plane_dim, sizes.decoder_dim)


def load(file: Path, device: torch.device) -> LRM:
    """The model of a published checkpoint, ready for inference.

    Raises:
        UserError: the file is missing, damaged, or holds something else.
    """
    state = lrm_state(read_state(file), file)
    try:
        sizes = Sizes.of(state)
    except (KeyError, ValueError) as error:
        raise _wrong_checkpoint(file, f"it lacks {error}") from error
    # Random first values would take longer than reading the file.
    with torch.device("meta"):
        model = LRM(sizes)
    model = model.to_empty(device=device)
    fill(model, state, file)
    return model.eval().requires_grad_(False)


def lrm_state(checkpoint: dict, file: Path) -> dict[str, Tensor]:
    """The reconstruction model's part of a training checkpoint, without its prefix.

    The rest are the networks of the training loss, and the cameras of one training set-up.
    """
    state = checkpoint.get("state_dict", {})
    state = {
        key.removeprefix(PREFIX): value
        for key, value in state.items()
        if key.startswith(PREFIX) and "source_camera" not in key
    }
    if not state:
        raise _wrong_checkpoint(file, f"it holds no keys state_dict/{PREFIX}*")
    if any(".net_sdf." in key for key in state):
        raise UserError(
            f"The weights {file} are InstantMesh's mesh variant; the NeRF variant is needed.",
            "Use instant_nerf_large.ckpt or instant_nerf_base.ckpt.",
        )
    return state


def _wrong_checkpoint(file: Path, reason: str) -> UserError:
    return UserError(
        f"The weights {file} are not a checkpoint of InstantMesh: {reason}.",
        "Use instant_nerf_large.ckpt or instant_nerf_base.ckpt.",
    )


def _count(state: dict[str, Tensor], prefix: str) -> int:
    """Number of numbered entries behind a prefix."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})
