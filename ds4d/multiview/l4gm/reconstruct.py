"""Gaussians of every frame of a clip, window by window.

The network sees up to 16 frames at a time. View 0 is each frame's own; the other views are the
same in all frames of a window: those of the clip's first frame, and in later windows renders of the
last Gaussians so far, with whose frame the window begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...run.device import release
from ...run.events import Event, Stage
from ...splatting.splats import Splats, render
from .frames import SIZE, l4gm_cameras, plucker_rays, with_rays
from .gaussians import activated, to_splats
from .network import L4GM

WINDOW, LOW_WINDOW = 16, 8  # frames of a window; with --low-memory
AZIMUTHS = (90.0, 180.0, 270.0)  # of the views beside the front
BETWEEN = 3  # the interpolation network makes two frames between each two


def windows(frames: int, length: int = WINDOW) -> list[range]:
    """Frames of each window; it begins with the last frame of the one before.

    The published script fills the last window with copies of the last frame. Nothing in the network
    depends on the number of frames, so that here it ends with the clip.
    """
    starts = range(0, max(frames - 1, 1), length - 1)
    return [range(start, min(start + length, frames)) for start in starts]


def reconstruct(
    network: L4GM,
    fronts: Tensor,  # [T, 3, 256, 256] in [0, 1], on white
    sides: Tensor,  # [3, 3, 256, 256] of the first frame
    azimuths: Sequence[float],  # of the three side views, degrees
    length: int,  # frames of a window
    event: Event,  # its step counts the frames that are done
    rasterizer: str = "auto",
) -> Stage[list[Splats]]:
    """Gaussians of all frames in our world, on the network's device."""
    found: list[Splats] = []
    for window in windows(len(fronts), length):
        if found:
            sides, azimuths = side_views(found[-1], rasterizer), AZIMUTHS
        images = torch.stack([fronts[list(window)], *_repeated(sides, len(window))], 1)
        made = forward(network, images[None], (0.0, *azimuths))
        found += made[1:] if found else made
        message = f"Gaussians of frames {window[0] + 1} to {window[-1] + 1}"
        yield Event(event.stage, event.step + len(found), event.total, message)
    return found


def in_between(
    network: L4GM,
    fronts: Tensor,  # [T, 3, 256, 256] in [0, 1], on white
    ends: list[Splats],  # T, of these frames
    event: Event,  # its step counts the pairs that are done
    rasterizer: str = "auto",
) -> Stage[list[Splats]]:
    """Gaussians of 3 (T - 1) + 1 frames by the interpolation network.

    It sees both frames of a pair, and two blends of their pictures and renders. Each pair of
    neighbours is joined once. The published script takes the first frame of a window twice and
    leaves out the last pair of all windows but the first.
    """
    found: list[Splats] = []
    views = [side_views(splats, rasterizer) for splats in ends]
    for first in range(len(ends) - 1):
        pair = [torch.cat([fronts[k][None].to(views[k]), views[k]]) for k in (first, first + 1)]
        made = forward(network, blended(*pair)[None], (0.0, *AZIMUTHS))
        found += made[1:] if found else made
        message = f"Gaussians between frames {first + 1} and {first + 2}"
        yield Event(event.stage, event.step + first + 1, event.total, message)
    return found


def blended(first: Tensor, last: Tensor) -> Tensor:
    """Pictures [V, 3, S, S] of two frames, with those between: [4, V, 3, S, S]."""
    return torch.stack([torch.lerp(first, last, step / BETWEEN) for step in range(BETWEEN + 1)])


def side_views(splats: Splats, rasterizer: str = "auto") -> Tensor:
    """The three side views [3, 3, 256, 256] of Gaussians, on white: every second pixel of a render
    of twice the size."""
    rgb, _, _ = render(splats, l4gm_cameras(AZIMUTHS, 2 * SIZE), 1.0, rasterizer)
    return rgb[:, ::2, ::2].movedim(-1, 1).clamp(0, 1)


@torch.no_grad()
def forward(
    network: L4GM,
    images: Tensor,  # [1, T, V, 3, S, S] in [0, 1]
    azimuths: Sequence[float],  # V, degrees
) -> list[Splats]:
    """Gaussians of T frames; in single precision where half precision overflows."""
    device, dtype = network.conv.weight.device, network.conv.weight.dtype
    rays = plucker_rays(azimuths, images.shape[-1]).to(device)
    pictures = with_rays(images.to(device), rays)
    raw = network(pictures.to(dtype))
    if dtype != torch.float32 and not raw.isfinite().all():
        del raw
        raw = network.float()(pictures)
        network.to(dtype)
        release()
    return [to_splats(gaussians, faint=0.0) for gaussians in activated(raw)]


def _repeated(sides: Tensor, frames: int) -> list[Tensor]:
    """Each side view for all frames, [T, 3, S, S]."""
    return [side.expand(frames, *side.shape) for side in sides]
