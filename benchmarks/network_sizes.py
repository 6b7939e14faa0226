"""Parameters of the learned networks at their published sizes, beside the sizes of their files.

    python -m benchmarks.network_sizes [--json benchmarks/results/network_sizes.json]

Networks are built on PyTorch's meta device, which takes no memory. Their parameters in the
precision of the published files have to make up the bytes that the catalogue of weights states: the
layouts that the code loads are then those of the files, up to what the files hold beside them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from torch import nn

from ds4d.weights import CATALOGUE

SINGLE, HALF = 4, 2  # bytes of a value


@dataclasses.dataclass(frozen=True)
class Options:
    json: Path | None = None
    """file for the rows as JSON"""


def wan() -> list[tuple[nn.Module, int]]:
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=24, attention_head_dim=128, in_channels=48,
        out_channels=48, text_dim=4096, freq_dim=256, ffn_dim=14336, num_layers=30,
    )  # fmt: skip
    vae = AutoencoderKLWan(
        base_dim=160, decoder_base_dim=256, z_dim=48, dim_mult=[1, 2, 4, 4], num_res_blocks=2,
        attn_scales=[], temperal_downsample=[False, True, True], is_residual=True, in_channels=12,
        out_channels=12, patch_size=2, scale_factor_temporal=4, scale_factor_spatial=16,
        latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
    )  # fmt: skip
    text = UMT5EncoderModel(UMT5Config(
        vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64,
        feed_forward_proj="gated-gelu", is_gated_act=True,
    ))  # fmt: skip
    return [(transformer, SINGLE), (vae, SINGLE), (text, HALF)]


def svd() -> list[tuple[nn.Module, int]]:
    from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    unet = UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20))
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
        layers_per_block=2,
    )  # fmt: skip
    image = CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16,
        patch_size=14, projection_dim=1024,
    ))  # fmt: skip
    return [(unet, HALF), (vae, HALF), (image, HALF)]


def sdxl() -> list[tuple[nn.Module, int]]:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    unet = UNet2DConditionModel(
        block_out_channels=(320, 640, 1280), attention_head_dim=(5, 10, 20),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10), cross_attention_dim=2048, sample_size=128,
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2,
    )  # fmt: skip
    small = CLIPTextModel(CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12,
    ))  # fmt: skip
    large = CLIPTextModelWithProjection(CLIPTextConfig(
        hidden_size=1280, intermediate_size=5120, num_attention_heads=20, num_hidden_layers=32,
        projection_dim=1280,
    ))  # fmt: skip
    return [(unet, HALF), (vae, HALF), (small, HALF), (large, HALF)]


def clip() -> list[tuple[nn.Module, int]]:
    from transformers import CLIPConfig, CLIPModel

    vision = {"patch_size": 32, "num_hidden_layers": 12}
    return [(CLIPModel(CLIPConfig(vision_config=vision, projection_dim=512)), SINGLE)]


def dinov2(width: int, layers: int) -> list[tuple[nn.Module, int]]:
    from transformers import Dinov2Config, Dinov2Model

    return [(Dinov2Model(Dinov2Config(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64, patch_size=14,
        image_size=518,
    )), SINGLE)]  # fmt: skip


def own(name: str) -> list[tuple[nn.Module, int]]:
    """A network whose code is in this project, or torchvision's VGG."""
    from torchvision.models import vgg16

    from ds4d.evaluation.i3d import I3D
    from ds4d.evaluation.inception import Inception
    from ds4d.interpolation.ifnet import IFNet

    kinds = {"i3d": I3D, "inception": Inception, "rife": IFNet, "vgg16": vgg16}
    return [(kinds[name](), SINGLE)]


NETWORKS: dict[str, Callable[[], list[tuple[nn.Module, int]]]] = {  # by name in the catalogue
    "wan2.2-ti2v-5b": wan,
    "svd-xt": svd,
    "sdxl-base": sdxl,
    "clip-vit-b32": clip,
    "dinov2-small": lambda: dinov2(384, 12),
    "dinov2-base": lambda: dinov2(768, 12),
    "dinov2-large": lambda: dinov2(1024, 24),
    "rife-4.6": lambda: own("rife"),
    "i3d-kinetics400": lambda: own("i3d"),
    "inception-fid": lambda: own("inception"),
    "lpips-vgg16": lambda: own("vgg16"),
}


def measure(name: str) -> dict:
    """Parameters of the networks of one entry, their bytes, and those of the published files."""
    with torch.device("meta"):
        parts = NETWORKS[name]()
    counts = [(sum(value.numel() for value in part.parameters()), size) for part, size in parts]
    return {
        "weights": name,
        "parameters": sum(count for count, _ in counts),
        "parts": {
            type(part).__name__: count for (part, _), (count, _) in zip(parts, counts, strict=True)
        },
        "bytes": sum(count * size for count, size in counts),
        "published_bytes": CATALOGUE[name].bytes,
    }


def main(options: Options) -> None:
    rows = [measure(name) for name in NETWORKS]
    print(
        "| weights | parameters | GB in the files' precision | GB of the files |\n|---|---|---|---|"
    )
    for row in rows:
        print(f"| {row['weights']} | {row['parameters'] / 1e6:,.1f} M | {row['bytes'] / 1e9:.3f} | "
              f"{row['published_bytes'] / 1e9:.3f} |")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
