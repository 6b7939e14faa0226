"""A small object to show, and how to look at the player that shows it."""

from __future__ import annotations

import base64

import numpy as np
import torch

from ds4d.cameras import orbit_cameras
from ds4d.splatting.splats import Splats

SIZE = 160  # pixels of the canvas


class Ball:
    """A speckled ball of long and flat Gaussians that sways and fades; some of them jump."""

    positions = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0])
    cameras = orbit_cameras([0.0], size=SIZE)

    def __init__(self, count: int = 500, hue: float = 0.0):
        random = torch.Generator().manual_seed(3)
        directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=-1)
        self.means = 0.28 * directions
        self.quats = torch.nn.functional.normalize(torch.randn(count, 4, generator=random), dim=-1)
        self.scales = torch.rand(count, 3, generator=random) * 0.035 + 0.002
        self.opacities = torch.rand(count, generator=random) * 0.97 + 0.02
        self.colors = torch.rand(count, 3, generator=random) * (1 - hue)
        self.sway = 0.1 * torch.rand(count, 3, generator=random)
        self.fade = 0.5 * torch.rand(count, 3, generator=random) - self.colors / 2

    def splats(self, position: float) -> Splats:
        """As an asset does it: in straight lines between frames, the far ones jump."""
        after = int(torch.searchsorted(self.positions, position).clamp(1, 4))
        start, end = self.positions[after - 1 : after + 1].tolist()
        share = (position - start) / (end - start)
        way = (end - start) * self.sway
        far = way.norm(dim=-1, keepdim=True) > 0.04
        share = torch.where(far, float(share >= 0.5), share)
        moved = start * self.sway + share * way
        colors = self.colors + (start + share * (end - start)) * self.fade
        return Splats(self.means + moved, self.quats, self.scales, self.opacities, colors)


def arrived(page, what: str) -> None:
    """The first picture is "ready", or all frames are "loaded"; the page then knows `player`."""
    page.evaluate(
        "(what) => { window.player = document.querySelector('ds4d-player'); return player[what]; }",
        what,
    )


def still(page) -> None:
    """All frames are there, and time stands still."""
    arrived(page, "ready")
    arrived(page, "loaded")
    page.evaluate("async () => { player.pause(); player.time = 0; await player.draw(); }")


def pixels(page) -> np.ndarray:
    """Content of the canvas: [H, W, 4], premultiplied RGBA in [0, 1]."""
    width, height, text = page.evaluate(
        """async () => {
          const { width, height, data } = await player.pixels();
          let text = "";
          for (let at = 0; at < data.length; at += 4096)
            text += String.fromCharCode(...data.subarray(at, at + 4096));
          return [width, height, btoa(text)];
        }"""
    )
    numbers = np.frombuffer(base64.b64decode(text), np.uint8)
    return numbers.reshape(height, width, 4) / 255
