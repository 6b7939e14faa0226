"""Networks that score images and videos as the papers do, with their published preprocessing.

CLIP, LPIPS and FVD follow the script of Consistent4D, CLIP-T that of 4DGen (docs/method.md,
section 13).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ..errors import UserError
from ..guidance import lpips
from ..weights import fetch, fill, read_json, read_state, rename_old_keys
from .i3d import I3D
from .inception import Inception

SIDE = 512  # pixels; images are resized to it first
CLIP_SIDE, I3D_SIDE, INCEPTION_SIDE = 224, 224, 299
I3D_FRAMES = 9  # that leave two steps in time, which the network averages
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CLIP, CLIP_LAION, I3D_WEIGHTS = "clip-vit-b32", "clip-vit-b32-laion", "i3d-kinetics400"
INCEPTION = "inception-fid"

Embed = Callable[[np.ndarray], np.ndarray]  # images [N, H, W, 3] uint8 -> features [N, D] float32


def load_clip(name: str, weights: str, device: torch.device) -> nn.Module:
    """The image encoder of a CLIP model. Raises UserError for weights that do not fit."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = fetch(name, weights)
    config = read_json(folder / "config.json")
    vision = CLIPVisionConfig.from_dict(config["vision_config"])
    vision.projection_dim = config.get("projection_dim", vision.projection_dim)
    network = CLIPVisionModelWithProjection(vision)
    file = folder / "pytorch_model.bin"
    state = rename_old_keys(read_state(file))
    own = ("vision_model.", "visual_projection.")
    fill(network, {key: value for key, value in state.items() if key.startswith(own)}, file)
    return network.float().eval().requires_grad_(False).to(device)


def load_i3d(weights: str, device: torch.device) -> nn.Module:
    """The network of FVD. Raises UserError for weights that do not fit."""
    file = Path(fetch(I3D_WEIGHTS, weights))
    network = I3D()
    fill(network, read_state(file), file)
    return network.eval().requires_grad_(False).to(device)


def load_inception(weights: str, device: torch.device) -> nn.Module:
    """The network of the FID. Raises UserError for weights that do not fit."""
    file = Path(fetch(INCEPTION, weights))
    network, state = Inception(), read_state(file)
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):  # older than these counters, which nothing needs
            state.setdefault(name, value)
    fill(network, state, file)
    return network.eval().requires_grad_(False).to(device)


def load_lpips(weights: str, device: torch.device) -> Callable[[np.ndarray, np.ndarray], float]:
    """LPIPS (VGG) of two images [H, W, 3] uint8 at SIDE pixels, in single precision."""
    network = lpips.build(device)
    file = Path(fetch("lpips-vgg16", weights))
    fill(network.net, lpips.trunk(read_state(file)), file)

    def score(prediction: np.ndarray, truth: np.ndarray) -> float:
        pair = [_tensor(resized(image, SIDE)).to(device) * 2 - 1 for image in (prediction, truth)]
        with torch.inference_mode():
            return float(network(*(image[None] for image in pair)))

    return score


def clip_features(network: nn.Module) -> Embed:
    """Embeddings by Consistent4D: to SIDE pixels, then by CLIP's own preprocessing (bicubic)."""

    def embed(images: np.ndarray) -> np.ndarray:
        pixels = [_tensor(resized(resized(image, SIDE), CLIP_SIDE)) for image in images]
        return _embedded(network, torch.stack(pixels))

    return embed


def clip_features_4dgen(network: nn.Module) -> Embed:
    """Embeddings by 4DGen: channels stay in the order of OpenCV (blue first), bilinear."""

    def embed(images: np.ndarray) -> np.ndarray:
        pixels = torch.stack([_tensor(image[..., ::-1]) for image in images])
        size = (CLIP_SIDE, CLIP_SIDE)
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        return _embedded(network, pixels)

    return embed


def _embedded(network: nn.Module, pixels: Tensor) -> np.ndarray:
    place = next(network.parameters()).device
    mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    with torch.inference_mode():
        parts = [network(((part - mean) / std).to(place)).image_embeds for part in pixels.split(16)]
    return torch.cat(parts).float().cpu().numpy()


def inception_features(network: nn.Module) -> Embed:
    """Features [N, 2048] of frames as torch-fidelity, which torchmetrics uses, shows them."""
    place = next(network.parameters()).device

    def embed(images: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            parts = [
                network((resized_as_tensorflow(part, INCEPTION_SIDE).to(place) - 128) / 128)
                for part in pixels.split(16)
            ]
        return torch.cat(parts).double().cpu().numpy()

    return embed


def resized_as_tensorflow(images: Tensor, side: int) -> Tensor:
    """Images [N, C, H, W] bilinear as by TensorFlow 1: pixel i is taken from i * H / side."""
    for axis in (2, 3):
        size = images.shape[axis]
        places = torch.arange(side, dtype=torch.float32) * (size / side)
        before = places.long().clamp(max=size - 1)
        after = (before + 1).clamp(max=size - 1)
        share = (places - before).view((-1, 1) if axis == 2 else (-1,))
        images = images.index_select(axis, before) * (1 - share) + share * images.index_select(
            axis, after
        )
    return images


def video_logits(network: nn.Module, frames: np.ndarray) -> np.ndarray:
    """Logits [400] of a video [T, H, W, 3] uint8 by Consistent4D: channels bicubic, as floats.

    Raises:
        UserError: the video has fewer than I3D_FRAMES frames.
    """
    if len(frames) < I3D_FRAMES:
        raise UserError(
            f"FVD needs at least {I3D_FRAMES} frames; a view has {len(frames)}.",
            "Leave fvd out of --metrics.",
        )
    place = next(network.parameters()).device
    pixels = np.stack([
        np.stack([
            Image.fromarray(frame[..., channel].astype(np.float32)).resize(
                (I3D_SIDE, I3D_SIDE), resample=Image.Resampling.BICUBIC
            )
            for channel in range(3)
        ])
        for frame in frames
    ])  # [T, 3, 224, 224]  # fmt: skip
    video = torch.from_numpy(pixels / 127.5 - 1).float().transpose(0, 1)[None]
    with torch.inference_mode():
        return network(video.to(place))[0].double().cpu().numpy()


def cosine(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosine of each pair of features [N, D], [N]."""
    return (_unit(features) * _unit(others)).sum(-1)


def spherical(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spherical distance 2 asin^2(|x - y| / 2) of each pair of features [N, D] of length 1, [N].

    They are scaled to that length first.
    """
    half = np.linalg.norm(_unit(features) - _unit(others), axis=-1) / 2
    return 2 * np.arcsin(half.clip(0, 1)) ** 2


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """An image [H, W, 3] uint8 by Pillow's default, bicubic, [side, side, 3] uint8."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=-1, keepdims=True)


def _tensor(image: np.ndarray) -> Tensor:
    """[H, W, 3] uint8 -> [3, H, W] float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
