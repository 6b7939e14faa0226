"""A tiny random SAM 2 as facebook publishes it for transformers."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

REPO = "facebook/sam2.1-hiera-tiny"
SIDE = 128  # pixels that the network takes; published: 1024


def make(folder: Path) -> None:
    """Write FOLDER/facebook/sam2.1-hiera-tiny: config and weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Sam2VideoModel(config())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
            network.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(9.0)  # sees an object
    network.save_pretrained(folder / REPO)


def config() -> Sam2VideoConfig:
    """Published structure: four stages, three levels of features, memory of seven frames."""
    backbone = {
        "model_type": "sam2_hiera_det_model", "image_size": [SIDE, SIDE], "hidden_size": 8,
        "num_attention_heads": 1, "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [8, 4, 8, 4], "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4], "mlp_ratio": 2.0,
    }  # fmt: skip
    vision = {
        "model_type": "sam2_vision_model", "backbone_config": backbone, "fpn_hidden_size": 128,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[SIDE // s, SIDE // s] for s in (4, 8, 16)],
    }  # fmt: skip
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE},
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 64, "num_attention_heads": 4, "iou_head_hidden_dim": 32,
        },
        image_size=SIDE,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[SIDE // 16, SIDE // 16],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=64,
    )  # fmt: skip
