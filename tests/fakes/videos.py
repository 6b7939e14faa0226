"""Wan 2.2, Stable Video Diffusion and SDXL with tiny random weights in the published layouts.

Sizes aside, configurations are the published ones; what could not be read is what the pipelines of
diffusers expect.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    AutoencoderKLWan,
    EulerDiscreteScheduler,
    UNet2DConditionModel,
    UNetSpatioTemporalConditionModel,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
)
from safetensors.torch import save_file
from torch import nn
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

from ds4d.weights import CATALOGUE
from tests.fakes.zero123plus import write_tokenizer

WAN, SVD, SDXL, SSD = (
    CATALOGUE[name] for name in ("wan2.2-ti2v-5b", "svd-xt", "sdxl-base", "ssd-1b")
)
Z = 4  # channels of Wan's latents; 48 as published


def make(folder: Path) -> None:
    """Write all four repositories into FOLDER/OWNER/REPO."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_wan(folder / WAN.repo)
        write_svd(folder / SVD.repo)
        write_sdxl(folder / SDXL.repo)
        write_sdxl(folder / SSD.repo)


def write_wan(repo: Path) -> None:
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=Z,
        out_channels=Z, text_dim=16, freq_dim=16, ffn_dim=32, num_layers=1, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", eps=1e-6, image_dim=None, added_kv_proj_dim=None,
        rope_max_seq_len=64,
    )  # fmt: skip
    vae = AutoencoderKLWan(
        base_dim=8, decoder_base_dim=8, z_dim=Z, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
        attn_scales=[], temperal_downsample=[False, True, True], is_residual=True, in_channels=12,
        out_channels=12, patch_size=2, scale_factor_temporal=4, scale_factor_spatial=16,
        latents_mean=[0.0] * Z, latents_std=[1.0] * Z,
    )  # fmt: skip
    text = UMT5EncoderModel(UMT5Config(
        vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu", is_gated_act=True,
    ))  # fmt: skip
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0,
        num_train_timesteps=1000,
    )  # fmt: skip
    _index(repo, "WanPipeline", expand_timesteps=True, boundary_ratio=None,
           transformer_2=[None, None], scheduler=scheduler, text_encoder=text, vae=vae,
           transformer=transformer, tokenizer=["transformers", "T5TokenizerFast"])  # fmt: skip
    scheduler.save_pretrained(repo / "scheduler")
    _network(repo / "transformer", "diffusion_pytorch_model", transformer, parts=5)
    _network(repo / "text_encoder", "model", text, parts=3)
    _network(repo / "vae", "diffusion_pytorch_model", vae)
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    words += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz.,"]
    T5Tokenizer(vocab=words, extra_ids=0).save_pretrained(repo / "tokenizer")
    for file in ("special_tokens_map.json", "spiece.model"):  # of the slow tokenizer; not read
        (repo / "tokenizer" / file).write_text("{}")


def write_svd(repo: Path) -> None:
    image = CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=224, patch_size=56, projection_dim=16,
    ))  # fmt: skip
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32), down_block_types=(
            "CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        in_channels=8, out_channels=4, layers_per_block=1, cross_attention_dim=16,
        num_attention_heads=(1, 1), addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24, num_frames=25, sample_size=96,
        transformer_layers_per_block=1,
    )  # fmt: skip
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2,
        layers_per_block=1, latent_channels=4, sample_size=768, force_upcast=True,
    )  # fmt: skip
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="v_prediction", timestep_type="continuous", use_karras_sigmas=True,
        timestep_spacing="leading", steps_offset=1, sigma_min=0.002, sigma_max=700.0,
    )  # fmt: skip
    processor = ["transformers", "CLIPImageProcessor"]
    _index(repo, "StableVideoDiffusionPipeline", image_encoder=image, unet=unet, vae=vae,
           scheduler=scheduler, feature_extractor=processor)  # fmt: skip
    scheduler.save_pretrained(repo / "scheduler")
    CLIPImageProcessor().save_pretrained(repo / "feature_extractor")
    _network(repo / "image_encoder", "model.fp16", image)
    _network(repo / "unet", "diffusion_pytorch_model.fp16", unet)
    _network(repo / "vae", "diffusion_pytorch_model.fp16", vae)


def write_sdxl(repo: Path) -> None:
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2,
             "num_hidden_layers": 2, "vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513,
              "projection_dim": 16}  # fmt: skip
    first = CLIPTextModel(CLIPTextConfig(**small))
    second = CLIPTextModelWithProjection(CLIPTextConfig(**small, hidden_act="gelu"))
    unet = UNet2DConditionModel(
        block_out_channels=(32, 32), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, sample_size=128,
        cross_attention_dim=32, attention_head_dim=(2, 2), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1), projection_class_embeddings_input_dim=64,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1, latent_channels=4,
        sample_size=1024, scaling_factor=0.13025, force_upcast=True,
    )  # fmt: skip
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
        timestep_spacing="leading", interpolation_type="linear", use_karras_sigmas=False,
    )  # fmt: skip
    tokenizer = ["transformers", "CLIPTokenizer"]
    _index(repo, "StableDiffusionXLPipeline", force_zeros_for_empty_prompt=True, unet=unet, vae=vae,
           scheduler=scheduler, text_encoder=first, text_encoder_2=second, tokenizer=tokenizer,
           tokenizer_2=tokenizer)  # fmt: skip
    scheduler.save_pretrained(repo / "scheduler")
    for name in ("tokenizer", "tokenizer_2"):
        write_tokenizer(repo / name)
    _network(repo / "text_encoder", "model.fp16", first)
    _network(repo / "text_encoder_2", "model.fp16", second)
    _network(repo / "unet", "diffusion_pytorch_model.fp16", unet)
    _network(repo / "vae", "diffusion_pytorch_model.fp16", vae)


def _index(repo: Path, pipeline: str, **parts) -> None:
    """model_index.json: the class of each part, and settings of the pipeline."""
    repo.mkdir(parents=True, exist_ok=True)
    listed = {"_class_name": pipeline, "_diffusers_version": "0.35.0.dev0"}
    for name, part in parts.items():
        module = type(part).__module__.split(".")[0]
        known = module in ("diffusers", "transformers")
        listed[name] = [module, type(part).__name__] if known else part
    (repo / "model_index.json").write_text(json.dumps(listed, indent=2))


def _network(folder: Path, stem: str, network: nn.Module, parts: int = 1) -> None:
    """config.json and the weights, in one file or in parts with their index."""
    network.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    if isinstance(network, UMT5EncoderModel):
        state.pop("encoder.embed_tokens.weight", None)  # tied to `shared`, and saved once
    names = sorted(state)
    if parts == 1:
        save_file(state, folder / f"{stem}.safetensors", metadata={"format": "pt"})
        return
    where = {}
    for part in range(parts):
        file = f"{stem}-{part + 1:05d}-of-{parts:05d}.safetensors"
        own = {name: state[name] for name in names[part::parts]}
        where |= dict.fromkeys(own, file)
        save_file(own, folder / file, metadata={"format": "pt"})
    total = sum(value.numel() * value.element_size() for value in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
