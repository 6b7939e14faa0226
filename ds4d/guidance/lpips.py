"""LPIPS (Zhang et al. 2018), the perceptual loss of the paper: VGG16 and the heads of the lpips
package."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..kernels import dispatch
from ..weights import fetch, fill, read_state

SIZE = 256  # pixels; larger images are resized to it
SLICE_ENDS = (4, 9, 16, 23, 30)  # layers of VGG16 at which the package cuts it into slices

Perceptual = Callable[[Tensor, Tensor], Tensor]  # [B, H, W, 3] twice, in [0, 1] -> [B]


def load(weights: str, device: torch.device) -> Perceptual:
    """Load LPIPS onto a device.

    Args:
        weights: the user's own folder of weights, or "".

    Returns:
        A function of renders and targets; gradients flow to the renders, not to its weights.

    Raises:
        UserError: VGG16's weights are missing, damaged, or another network's.
    """
    file = Path(fetch("lpips-vgg16", weights))
    state = trunk(read_state(file))
    network = build(device)
    fill(network.net, state, file)
    return perceptual_loss(network)


def perceptual_loss(network: nn.Module) -> Perceptual:
    """The network as a loss of renders and targets.

    On a GPU its convolutions run in half precision, and a kernel compares their features.
    """
    if next(network.parameters()).is_cuda:
        network.net.to(dtype=torch.float16, memory_format=torch.channels_last)

    def perceptual(
        render: Tensor,  # [B, H, W, 3] in [0, 1]
        target: Tensor,  # [B, H, W, 3] in [0, 1]
    ) -> Tensor:  # [B]
        render, target = _prepare(render), _prepare(target)
        if kernels := dispatch.kernels("lpips", render):
            return kernels.distance(render, target, network)
        return network(render, target).flatten()

    return perceptual


def build(device: torch.device) -> nn.Module:
    """Build the package's network with its heads and a random VGG16; nothing is downloaded."""
    import lpips

    with warnings.catch_warnings():  # about an argument that the package passes to torchvision
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    return network.requires_grad_(False).eval().to(device)


def trunk(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename VGG16's convolutions as the package names them; the classifier is not used."""
    renamed = {}
    for key, value in state.items():
        part, _, rest = key.partition(".")
        if part == "features":
            layer = int(rest.split(".")[0])
            index = 1 + sum(layer >= end for end in SLICE_ENDS)
            renamed[f"slice{index}.{rest}"] = value
        elif part != "classifier":
            renamed[key] = value
    return renamed


def _prepare(images: Tensor) -> Tensor:
    """Convert [B, H, W, 3] in [0, 1] to [B, 3, h, w] in [-1, 1], at most SIZE high and wide."""
    images = images.permute(0, 3, 1, 2)
    if max(images.shape[2:]) > SIZE:
        images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True)
    return images * 2 - 1
