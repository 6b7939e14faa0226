"""Score distillation by Zero123 (SDS, Poole et al. 2023, in STAG4D's formulation)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cameras import Cameras
from ..images import over
from ..run.device import release
from ..run.events import Event, Stage
from ..weights import fetch
from . import networks
from .networks import Networks, resize
from .schedule import camera_vector, choose_references, sample_views, timestep_range, view_angles

GUIDANCE = 5.0
BATCH = 8  # reference images that are encoded at once


class Zero123:
    """Zero123's networks with the encoded reference images of one object.

    Use: `load`, `encode_references`, then `sample` and `distillation_loss` in every step, `free`.
    """

    def __init__(self, parts: Networks, stable: bool):
        self.networks: Networks | None = parts
        self.stable = stable  # Stable Zero123, with its own camera vectors

    @classmethod
    def load(cls, name: str, weights: str, device: torch.device) -> Zero123:
        """Load "zero123-xl" or "stable-zero123" onto a device.

        Args:
            weights: the user's own folder of weights, or "".

        Raises:
            UserError: the weights are missing, damaged, or another model's.
        """
        parts = networks.load(Path(fetch(name, weights)), device)
        return cls(parts, stable=name == "stable-zero123")

    def encode_references(
        self,
        images: np.ndarray,  # [T, V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the front
        cameras: Cameras,  # V, looking at the origin
        generator: torch.Generator,  # on the CPU
    ) -> Stage[None]:
        """Encode every reference image once, over white.

        Afterwards CLIP and the VAE's decoder are not needed, and leave memory.
        """
        parts = self.networks
        T, V = images.shape[:2]
        flat = images.reshape(T * V, *images.shape[2:])
        encoded: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(flat), BATCH):
            rgb = torch.from_numpy(over(flat[start : start + BATCH])).permute(0, 3, 1, 2) / 255
            noise = torch.randn(len(rgb), 4, 32, 32, generator=generator)
            encoded.append(parts.embed(rgb, noise))
            done = min(start + BATCH, len(flat))
            yield Event("fourd", message=f"Zero123: reference image {done} of {len(flat)}")
        embeddings, latents = (torch.cat(part) for part in zip(*encoded, strict=True))
        self.embeddings = embeddings.unflatten(0, (T, V))  # [T, V, D]
        self.latents = latents.unflatten(0, (T, V))  # [T, V, 4, 32, 32]
        self.azimuths, self.elevations = view_angles(cameras)  # [V]
        for module in (parts.image_encoder, parts.vae.decoder):
            module.to("meta")
        release()

    def loss(
        self,
        rgb: Tensor,  # [B, H, W, 3] in [0, 1], renders
        frames: list[int],  # [B] frame of each render
        azimuths: Tensor,  # [B] degrees, of the renders
        elevations: Tensor,  # [B] degrees, positive = from above
        step: int,  # of the optimization: early steps have more noise
        generator: torch.Generator,  # on the CPU
    ) -> Tensor:  # scalar
        """Sum over the renders of 1/2 |z - stopgrad(z - w (eps - noise))|^2, as in STAG4D."""
        frames = torch.as_tensor(frames)
        inputs = self._sample_conditions(frames, azimuths, elevations, step, generator)
        return self.distillation_loss(
            rgb, {name: tensor.to(rgb.device) for name, tensor in inputs.items()}
        )

    def sample(
        self,
        frames: Tensor,  # [B]
        size: int,  # of the renders, pixels
        step: int,
        generator: torch.Generator,  # on the CPU
    ) -> dict[str, Tensor]:
        """Sample all random inputs of a step on the CPU: cameras to render ("viewmats", "Ks") with
        their "backgrounds", and the inputs of `distillation_loss`."""
        views = sample_views(len(frames), size, generator)
        cameras = {
            "viewmats": views.cameras.viewmats, "Ks": views.cameras.Ks,
            "backgrounds": views.backgrounds,
        }  # fmt: skip
        return cameras | self._sample_conditions(
            frames, views.azimuths, views.elevations, step, generator
        )

    def _sample_conditions(
        self,
        frames: Tensor,  # [B]
        azimuths: Tensor,  # [B] degrees
        elevations: Tensor,  # [B] degrees
        step: int,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Sample references, relative cameras, timesteps and noise."""
        B = len(frames)
        references = choose_references(azimuths, self.azimuths, generator)
        camera = camera_vector(
            azimuths, elevations, self.azimuths[references], self.elevations[references],
            self.stable,
        )  # fmt: skip
        low, high = timestep_range(step)
        t = torch.randint(low, high + 1, (B,), generator=generator)
        noise = torch.randn(2, B, 4, 32, 32, generator=generator)
        return {
            "frames": frames, "references": references, "camera": camera, "t": t, "noise": noise,
        }  # fmt: skip

    def distillation_loss(
        self,
        rgb: Tensor,  # [B, H, W, 3] in [0, 1], renders
        inputs: dict[str, Tensor],  # of `sample`, on the networks' device
    ) -> Tensor:  # scalar
        """Sum over the renders of the distillation loss; without synchronization on a GPU."""
        parts, noise = self.networks, inputs["noise"]
        chosen = inputs["frames"], inputs["references"]
        latents = parts.encode(resize(rgb.permute(0, 3, 1, 2)), noise[0])
        tokens = token(parts, self.embeddings[chosen], inputs["camera"])
        return distil(parts, latents, tokens, self.latents[chosen], inputs["t"], noise[1])

    def free(self) -> None:
        """Free the networks and the references."""
        self.networks = None
        self.embeddings = self.latents = torch.empty(0)
        release()


@torch.no_grad()
def token(
    parts: Networks,
    embeddings: Tensor,  # [B, D] CLIP's, of the reference images
    camera: Tensor,  # [B, 4] relative camera (camera_vector)
) -> Tensor:  # [B, 1, D]
    """The token of the UNet's cross-attention."""
    joined = torch.cat([embeddings, camera.to(embeddings)], -1)
    return parts.clip_camera_projection(joined)[:, None]


def distil(
    parts: Networks,
    latents: Tensor,  # [B, 4, 32, 32] of the renders, scaled, with gradient
    tokens: Tensor,  # [B, 1, D]
    references: Tensor,  # [B, 4, 32, 32] latents of the reference images, not scaled
    t: Tensor,  # [B] timesteps
    noise: Tensor,  # [B, 4, 32, 32] standard normal
    guidance: float = GUIDANCE,
) -> Tensor:  # scalar
    """Loss whose gradient with respect to the latents is w (eps - noise), w = 1 - alphabar_t.

    No gradient flows through the UNet. Gradients that are not finite become 0.
    """
    alphas = parts.alphas[t].view(-1, 1, 1, 1)
    latents = latents.float()
    with torch.no_grad():
        noisy = alphas.sqrt() * latents + (1 - alphas).sqrt() * noise
        predicted = parts.denoise(noisy, t, tokens, references, guidance)
        gradient = torch.nan_to_num((1 - alphas) * (predicted - noise), 0.0, 0.0, 0.0)
        target = latents - gradient
    return 0.5 * (latents - target).square().sum()
