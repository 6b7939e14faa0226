"""Reference attention: the six views' self-attention reads the tokens of the input frame.

Every denoising step passes the UNet twice. The first pass, over the noised condition, writes the
input tokens of each self-attention. The second, over the grid of views, reads them: keys and values
come from the grid's own tokens and, behind them, from the written ones ("scaled reference
attention" of Zero123++, arXiv 2310.15110). With an anchor, the sources of later frames are averaged
with the first frame's (STAG4D, arXiv 2403.14939), so that all frames show the same object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor


@dataclass
class ReferenceState:
    """State that the processors of one UNet share between its two passes."""

    writing: bool = True
    tokens: dict[str, Tensor] = field(default_factory=dict)  # by layer, [1 + B or B, n, C]
    anchor: Anchor | None = None


class Anchor:
    """Sources of keys and values of the first frame, of every layer in every step.

    Only as many tokens are kept as the grid has at a layer's width; where two levels share a
    width, the coarser one's reference tokens are among them, as in the published code. Zero123++
    at its real size keeps 110 MB a step in half precision with guidance: 3.1 GB for 28 steps, 8.3
    GB for 75.
    """

    def __init__(self, unet: UNet2DConditionModel, grid: tuple[int, int], device: torch.device):
        """
        Args:
            grid: height and width of the grid's latents.
            device: where the tokens are kept.
        """
        self.tokens = grid[0] * grid[1]
        self.width = unet.config.block_out_channels[0]
        self.device = device
        self.recording = True
        self.sources: list[Tensor] = []
        self.position = 0

    def replay(self) -> None:
        """End recording, and begin reading what was recorded from its start."""
        self.recording, self.position = False, 0

    def blend(self, sources: Tensor) -> Tensor:
        """Sources [2 B or B, n, C] of a layer, recorded or averaged with the first frame's."""
        count = self.grid_tokens(sources.shape[-1])
        if self.recording:
            self.sources.append(sources[:, :count].to(self.device, copy=True))
            return sources
        first = self.sources[self.position].to(sources.device)
        self.position += 1
        first = first.repeat_interleave(len(sources) // len(first), 0)
        return torch.cat([(first + sources[:, :count]) / 2, sources[:, count:]], 1)

    def grid_tokens(self, channels: int) -> int:
        """Tokens of the grid in a layer with so many channels: each level halves both sides."""
        return self.tokens // (channels // self.width) ** 2


def anchor_bytes(unet: UNet2DConditionModel, grid: tuple[int, int], steps: int, halves: int) -> int:
    """Upper bound of an anchor's memory, bytes; `halves` is 2 with guidance, else 1."""
    anchor = Anchor(unet, grid, torch.device("cpu"))
    layers = [m for name, m in unet.named_modules() if name.endswith("attn1")]
    values = sum(anchor.grid_tokens(layer.query_dim) * layer.query_dim for layer in layers)
    return values * halves * steps * unet.dtype.itemsize


class ReferenceAttention:
    """diffusers attention processor of one self-attention layer."""

    def __init__(self, name: str, state: ReferenceState):
        self.name = name
        self.state = state
        self.processor = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,  # [B, n, C], normalised
        encoder_hidden_states: None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        state = self.state
        if state.writing:
            state.tokens[self.name] = hidden_states
            return self.processor(attn, hidden_states, None, attention_mask)
        written = _expand_negative(state.tokens.pop(self.name), len(hidden_states))
        sources = torch.cat([hidden_states, written], dim=1)
        if state.anchor is not None:
            sources = state.anchor.blend(sources)
        return self.processor(attn, hidden_states, sources, attention_mask)


def _expand_negative(written: Tensor, count: int) -> Tensor:
    """Tokens [count, n, C]: the negative condition is written once, [1 + B], and read B times."""
    if len(written) == count:
        return written
    return torch.cat([written[:1].expand(len(written) - 1, -1, -1), written[1:]])


def install_reference_attention(unet: UNet2DConditionModel) -> ReferenceState:
    """Give every self-attention of a UNet a `ReferenceAttention`; cross-attention stays plain."""
    state = ReferenceState()
    unet.set_attn_processor({
        name: ReferenceAttention(name, state)
        if name.endswith("attn1.processor")
        else AttnProcessor2_0()
        for name in unet.attn_processors
    })  # fmt: skip
    return state
