"""Catalogue of the pretrained weights that engines can use: source, revision, size, licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """One download: files of a repository on the Hugging Face hub, or one file at a URL.

    In a local folder of weights they lie at FOLDER/`repo`/`files`.
    """

    name: str
    repo: str  # OWNER/REPO on the hub; with a url, just the folder's name
    revision: str  # of the hub's repository: a full commit hash
    files: tuple[str, ...]  # of the repository, as far as they are needed
    bytes: int  # of all files, about
    licence: str
    use: str  # the stage that needs them, and the network
    url: str = ""  # of the one file, where it is not on the hub
    checksum: str = ""  # of that file: md5:... or sha256:...
    not_commercial: str = ""  # the reason why commercial use is not allowed, or not for certain


_NON_COMMERCIAL = "CC-BY-NC 4.0: non-commercial"
_FORBIDDEN = "their licence forbids it"
_L4GM = "CC-BY-NC-SA 4.0: non-commercial (by the card's text; its head says Apache-2.0)"
_APACHE = "Apache-2.0"
_REMBG = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/"

_ZERO123PLUS_FILES = (
    "model_index.json",
    "feature_extractor_clip/preprocessor_config.json",
    "feature_extractor_vae/preprocessor_config.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "vae/config.json",
    "vision_encoder/config.json",
)
_ZERO123_FILES = (
    "model_index.json",
    "clip_camera_projection/config.json",
    "clip_camera_projection/diffusion_pytorch_model.safetensors",
    "feature_extractor/preprocessor_config.json",
    "image_encoder/config.json",
    "image_encoder/model.safetensors",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)
_WAN_FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors.index.json",
    *(f"text_encoder/model-{part:05d}-of-00003.safetensors" for part in range(1, 4)),
    "tokenizer/special_tokens_map.json",
    "tokenizer/spiece.model",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    *(f"transformer/diffusion_pytorch_model-{n:05d}-of-00005.safetensors" for n in range(1, 6)),
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)
_SVD_FILES = (
    "model_index.json",
    "feature_extractor/preprocessor_config.json",
    "image_encoder/config.json",
    "image_encoder/model.fp16.safetensors",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.fp16.safetensors",
)
_SDXL_FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    *(f"{encoder}/{file}" for encoder in ("text_encoder", "text_encoder_2")
      for file in ("config.json", "model.fp16.safetensors")),
    *(f"{tokenizer}/{file}" for tokenizer in ("tokenizer", "tokenizer_2")
      for file in ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")),
    "unet/config.json",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.fp16.safetensors",
)  # fmt: skip
_CLIP_FILES = ("config.json", "preprocessor_config.json", "pytorch_model.bin")
_DINOV2_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


def _instantmesh(name: str, file: str, bytes: int, use: str, origin: str) -> Weights:
    revision = "b785b4ecfb6636ef34a08c748f96f6a5686244d0"
    return Weights(
        name, "TencentARC/InstantMesh", revision, (file,), bytes, _APACHE, use,
        not_commercial=f"their training began with {origin}, which are non-commercial",
    )  # fmt: skip


def _l4gm(part: str, use: str) -> Weights:
    """One of L4GM's two networks; the revision holds both files and the newest model card."""
    revision = "d614e8767c85bb89c0806db58b1147b577438d10"
    return Weights(
        f"l4gm-{part}", "jiawei011/L4GM", revision, (f"{part}.safetensors",), 1_865_911_466, _L4GM,
        use, not_commercial=_FORBIDDEN,
    )  # fmt: skip


def _dinov2(size: str, revision: str, bytes: int) -> Weights:
    name = f"dinov2-{size}"
    use = f"features (DINOv2 {size})"
    return Weights(name, f"facebook/{name}", revision, _DINOV2_FILES, bytes, _APACHE, use)


def _rembg(model: str, asset: str, md5: str, bytes: int, licence: str) -> Weights:
    return Weights(
        f"rembg-{model}", "rembg", "", (f"{model}.onnx",), bytes, licence,
        f"matting (rembg {model})", _REMBG + asset, f"md5:{md5}",
    )  # fmt: skip


_ALL = (
    Weights(
        "zero123plus-v1.2",
        "sudo-ai/zero123plus-v1.2",
        "2da07e89919e1a130c9b5add1584c70c7aa065fd",
        (
            *_ZERO123PLUS_FILES,
            "text_encoder/model.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
            "vision_encoder/model.safetensors",
        ),
        5_580_000_000,
        _NON_COMMERCIAL,
        "six views (Zero123++ v1.2)",
        not_commercial=_FORBIDDEN,
    ),
    Weights(
        "zero123plus-v1.1",
        "sudo-ai/zero123plus-v1.1",
        "36df7de980afd15f80b2e1a4e9a920d7020e2654",
        (
            *_ZERO123PLUS_FILES,
            "text_encoder/pytorch_model.bin",
            "unet/diffusion_pytorch_model.bin",
            "vae/diffusion_pytorch_model.bin",
            "vision_encoder/pytorch_model.bin",
        ),
        3_850_000_000,
        _NON_COMMERCIAL,
        "six views (Zero123++ v1.1)",
        not_commercial=_FORBIDDEN,
    ),
    _l4gm("recon", "six views (L4GM, Gaussians of every frame)"),
    _l4gm("interp", "six views (L4GM, frames in between)"),
    Weights(
        "moge-2-vits",
        "Ruicheng/moge-2-vits-normal-onnx",
        "e50ffda41565591092adea54c6ac83d6212e1e23",
        ("model.onnx",),
        140_852_051,
        "MIT (MoGe), Apache-2.0 (its DINOv2 encoder)",
        "depth of the front (MoGe-2 ViT-S)",
    ),
    Weights(
        "depth-anything-v2-small",
        "depth-anything/Depth-Anything-V2-Small-hf",
        "5426e4f0f36572d16453bbda7a8389317b1bef99",
        ("config.json", "model.safetensors"),
        99_174_610,
        _APACHE,
        "depth of the front (Depth Anything V2 Small)",
    ),
    _instantmesh(
        "instantmesh-unet", "diffusion_pytorch_model.bin", 1_732_056_502,
        "six views on white (InstantMesh's UNet for Zero123++ v1.2)", "Zero123++'s weights",
    ),
    _instantmesh(
        "instantmesh-large", "instant_nerf_large.ckpt", 1_510_000_000,
        "mesh (InstantMesh large)", "OpenLRM's weights",
    ),
    _instantmesh(
        "instantmesh-base", "instant_nerf_base.ckpt", 1_250_000_000,
        "mesh (InstantMesh base)", "OpenLRM's weights",
    ),
    # Only the preprocessing: InstantMesh's checkpoints hold this encoder's weights. Earlier
    # revisions have another mean and deviation.
    Weights(
        "dino-vitb16",
        "facebook/dino-vitb16",
        "f205d5d8e640a89a2b8ef0369670dfc37cc07fc2",
        ("config.json", "preprocessor_config.json"),
        698,
        _APACHE,
        "mesh (configuration of InstantMesh's encoder)",
    ),
    _dinov2("base", "f9e44c814b77203eaa57a6bdbbd535f21ede1415", 346_000_000),
    _dinov2("small", "ed25f3a31f01632728cabb09d1542f84ab7b0056", 88_000_000),
    _dinov2("large", "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c", 1_220_000_000),
    Weights(
        "zero123-xl",
        "ashawkey/zero123-xl-diffusers",
        "10e9e8e75adaa3bf77f5ac9c381419016fed68c7",
        _ZERO123_FILES,
        2_500_000_000,
        "MIT, according to the converter",
        "guidance (score distillation by Zero123 XL)",
        not_commercial="only the person who converted them states a licence",
    ),
    Weights(
        "stable-zero123",
        "ashawkey/stable-zero123-diffusers",
        "a6c09344fbd45843d35f2095c203c4a8e55b4dbb",
        _ZERO123_FILES,
        2_500_000_000,
        "MIT, according to the converter; Stability AI gave the original for research and "
        "non-commercial use",
        "guidance (score distillation by Stable Zero123)",
        not_commercial=_FORBIDDEN,
    ),
    Weights(
        "wan2.2-ti2v-5b",
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
        "b8fff7315c768468a5333511427288870b2e9635",
        _WAN_FILES,
        34_200_000_000,
        _APACHE,
        "picture to clip (Wan 2.2 TI2V 5B)",
    ),
    Weights(
        "svd-xt",
        "stabilityai/stable-video-diffusion-img2vid-xt",
        "9e43909513c6714f1bc78bcb44d96e733cd242aa",
        _SVD_FILES,
        4_510_000_000,
        "Stability AI Community: commercial use only below a yearly revenue that it states",
        "picture to clip (Stable Video Diffusion XT)",
        not_commercial="their licence allows it only below a yearly revenue",
    ),
    Weights(
        "sdxl-base",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "462165984030d82259a11f4367a4eed129e94a7b",
        _SDXL_FILES,
        6_940_000_000,
        "OpenRAIL++-M: open, with restrictions on use",
        "words to picture (Stable Diffusion XL base 1.0)",
    ),
    Weights(
        "ssd-1b",
        "segmind/SSD-1B",
        "60987f37e94cd59c36b1cba832b9f97b57395a10",
        _SDXL_FILES,
        4_460_000_000,
        _APACHE,
        "words to picture (Segmind SSD-1B)",
    ),
    Weights(
        "rife-4.6",
        "rife",
        "",
        ("flownet_v4.6.pkl",),
        21_300_000,
        "MIT (Practical-RIFE)",
        "frames in between (RIFE 4.6)",
        "https://github.com/HolyWu/vs-rife/releases/download/model/flownet_v4.6.pkl",
        "sha256:008646e761f0e67cb77f0c6c44cfe3c3e5a05d9d9465311b9681ca650ce030db",
    ),
    Weights(
        "sam2.1-hiera-tiny",
        "facebook/sam2.1-hiera-tiny",
        "de431c4043854a71d8101e17995dfe596bf101a5",
        ("config.json", "model.safetensors"),
        156_000_000,
        _APACHE,
        "matting (SAM 2.1 Hiera tiny, prompted by strokes)",
    ),
    _rembg(
        "isnet-general-use", "isnet-general-use.onnx", "fc16ebd8b0c10d971d3513d564d01e29",
        178_648_008, "Apache-2.0 (DIS)",
    ),
    _rembg(
        "birefnet-general-lite", "BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx",
        "4fab47adc4ff364be1713e97b7e66334", 224_005_088, "MIT (BiRefNet)",
    ),
    _rembg(
        "u2net", "u2net.onnx", "60024c5c889badc19c04ad937298a77b",
        175_997_641, "Apache-2.0 (U-2-Net)",
    ),
    Weights(
        "clip-vit-b32",
        "openai/clip-vit-base-patch32",
        "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        _CLIP_FILES,
        605_000_000,
        "MIT (OpenAI CLIP)",
        "evaluation (CLIP, as Consistent4D)",
    ),
    Weights(
        "clip-vit-b32-laion",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        "1a25a446712ba5ee05982a381eed697ef9b435cf",
        _CLIP_FILES,
        605_000_000,
        "MIT (LAION)",
        "evaluation (CLIP-T, as 4DGen)",
    ),
    Weights(
        "i3d-kinetics400",
        "i3d",
        "",
        ("i3d.pt",),
        50_883_138,
        "Apache-2.0, according to the repository",
        "evaluation (FVD's I3D)",
        "https://huggingface.co/zhengchong/VFID/resolve/main/i3d.pt",
        "sha256:2609088c2e8c868187c9921c50bc225329a9057ed75e76120e0b4a397a2c7538",
    ),
    Weights(
        "inception-fid",
        "inception",
        "",
        ("pt_inception-2015-12-05-6726825d.pth",),
        95_628_359,
        "Apache-2.0 (TensorFlow's Inception, ported by pytorch-fid)",
        "evaluation (FID's Inception)",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        "sha256:6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    ),
    Weights(
        "lpips-vgg16",
        "torchvision",
        "",
        ("vgg16-397923af.pth",),
        553_433_881,
        "BSD-3-Clause (torchvision)",
        "perceptual loss (LPIPS's VGG16)",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    ),
)  # fmt: skip

CATALOGUE: dict[str, Weights] = {weights.name: weights for weights in _ALL}
