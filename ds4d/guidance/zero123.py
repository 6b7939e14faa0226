"""Score distillation by Zero123: does a render look like the object, seen from its camera?"""

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
from .networks import Networks, seen
from .schedule import angles, camera_vector, choose_references, draw_shots, timestep_range

GUIDANCE = 5.0
BATCH = 8  # reference images that are embedded at once


class Zero123:
    """Zero123 and what it has seen of the object.

    Use: load, remember the references, loss in every step, forget.
    """

    def __init__(self, parts: Networks, stable: bool):
        self.networks: Networks | None = parts
        self.stable = stable

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

    def remember(
        self,
        images: np.ndarray,  # [T, V, S, S, 4] uint8 RGBA, straight alpha; view 0 is the front
        cameras: Cameras,  # V, looking at the origin
        generator: torch.Generator,  # on the CPU
    ) -> Stage[None]:
        """Embed every reference image once, over white.

        What is not needed afterwards is let go: CLIP's tower and the VAE's decoder.
        """
        parts = self.networks
        T, V = images.shape[:2]
        flat = images.reshape(T * V, *images.shape[2:])
        found: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(flat), BATCH):
            rgb = torch.from_numpy(over(flat[start : start + BATCH])).permute(0, 3, 1, 2) / 255
            found.append(parts.embed(rgb, torch.randn(len(rgb), 4, 32, 32, generator=generator)))
            done = min(start + BATCH, len(flat))
            yield Event("fourd", message=f"Zero123 has seen {done} of {len(flat)} images")
        embeddings, latents = (torch.cat(part) for part in zip(*found, strict=True))
        self.embeddings = embeddings.unflatten(0, (T, V))  # [T, V, D]
        self.latents = latents.unflatten(0, (T, V))  # [T, V, 4, 32, 32]
        self.azimuths, self.elevations = angles(cameras)  # [V]
        for unneeded in (parts.image_encoder, parts.vae.decoder):
            unneeded.to("meta")
        release()

    def loss(
        self,
        rgb: Tensor,  # [B, H, W, 3] in [0, 1], renders
        frames: list[int],  # [B] which frame each render shows
        azimuths: Tensor,  # [B] degrees, where it is seen from
        elevations: Tensor,  # [B] degrees, positive = from above
        step: int,  # of the optimization: early steps see more noise
        generator: torch.Generator,  # on the CPU
    ) -> Tensor:  # scalar
        """The sum over the renders of 1/2 |z - stopgrad(z - w (eps - noise))|^2, as in STAG4D."""
        drawn = self._questions(torch.as_tensor(frames), azimuths, elevations, step, generator)
        return self.judge(rgb, {name: tensor.to(rgb.device) for name, tensor in drawn.items()})

    def draw(
        self,
        frames: Tensor,  # [B]
        size: int,  # of the renders, pixels
        step: int,
        generator: torch.Generator,  # on the CPU
    ) -> dict[str, Tensor]:
        """Everything that chance decides in a step, on the CPU: cameras to render from, their
        backgrounds, and what `judge` needs."""
        shots = draw_shots(len(frames), size, generator)
        cameras = shots.cameras
        placed = {
            "viewmats": cameras.viewmats, "Ks": cameras.Ks, "backgrounds": shots.backgrounds,
        }  # fmt: skip
        asked = self._questions(frames, shots.azimuths, shots.elevations, step, generator)
        return placed | asked

    def _questions(
        self,
        frames: Tensor,  # [B]
        azimuths: Tensor,  # [B] degrees
        elevations: Tensor,  # [B] degrees
        step: int,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """References, relative cameras, noise levels and noise."""
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

    def judge(
        self,
        rgb: Tensor,  # [B, H, W, 3] in [0, 1], renders
        drawn: dict[str, Tensor],  # by `draw`, on the networks' device
    ) -> Tensor:  # scalar
        """The sum over the renders of the distillation loss; waits for nothing on a GPU."""
        parts, noise = self.networks, drawn["noise"]
        chosen = drawn["frames"], drawn["references"]
        latents = parts.encode(seen(rgb.permute(0, 3, 1, 2)), noise[0])
        tokens = token(parts, self.embeddings[chosen], drawn["camera"])
        return distil(parts, latents, tokens, self.latents[chosen], drawn["t"], noise[1])

    def forget(self) -> None:
        """Let go of the networks and of the references."""
        self.networks = None
        self.embeddings = self.latents = torch.empty(0)
        release()


@torch.no_grad()
def token(
    parts: Networks,
    embeddings: Tensor,  # [B, D] CLIP's, of the reference images
    camera: Tensor,  # [B, 4] relative camera (camera_vector)
) -> Tensor:  # [B, 1, D]
    """What the UNet attends to."""
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
    """A loss whose gradient with respect to the latents is w (eps - noise), w = 1 - alphabar_t.

    Nothing flows through the UNet. A gradient that is no number counts as none.
    """
    alphas = parts.alphas[t].view(-1, 1, 1, 1)
    latents = latents.float()
    with torch.no_grad():
        noisy = alphas.sqrt() * latents + (1 - alphas).sqrt() * noise
        predicted = parts.denoise(noisy, t, tokens, references, guidance)
        gradient = torch.nan_to_num((1 - alphas) * (predicted - noise), 0.0, 0.0, 0.0)
        target = latents - gradient
    return 0.5 * (latents - target).square().sum()
