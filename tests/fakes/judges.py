"""CLIP, I3D and Inception with random weights in the published layouts, to score images with.

CLIP and I3D are narrow.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel

from ds4d.evaluation.i3d import I3D
from ds4d.evaluation.inception import Inception
from ds4d.weights import CATALOGUE

CLIPS = (CATALOGUE["clip-vit-b32"], CATALOGUE["clip-vit-b32-laion"])
I3D_FILE, INCEPTION_FILE = CATALOGUE["i3d-kinetics400"], CATALOGUE["inception-fid"]
NARROW = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
          "num_attention_heads": 2}  # fmt: skip


def make(folder: Path) -> None:
    """Write both CLIPs, I3D and Inception into a folder of weights."""
    with torch.random.fork_rng(devices=[]):
        for seed, weights in enumerate(CLIPS):
            torch.manual_seed(seed)
            _write_clip(folder / weights.repo, "gelu" if seed else "quick_gelu")
        torch.manual_seed(2)
        place = folder / I3D_FILE.repo
        place.mkdir(parents=True)
        torch.save(narrow_i3d().state_dict(), place / I3D_FILE.files[0])
        place = folder / INCEPTION_FILE.repo
        place.mkdir(parents=True)
        torch.save(_inception_state(), place / INCEPTION_FILE.files[0])


def _inception_state() -> dict[str, torch.Tensor]:
    """Weights of the published size; like those, without counters of batches."""
    network = Inception()
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
    state = network.state_dict()
    return {name: value for name, value in state.items() if "num_batches_tracked" not in name}


def narrow_i3d() -> I3D:
    """I3D with few channels, whose random weights neither drown nor blow up what they see."""
    network = I3D(narrower=16)
    for part in network.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.kaiming_normal_(part.weight)
    return network


def _write_clip(repo: Path, activation: str) -> None:
    text = NARROW | {"vocab_size": 99, "hidden_act": activation}
    vision = NARROW | {"image_size": 224, "patch_size": 56, "hidden_act": activation}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    repo.mkdir(parents=True)
    (repo / "config.json").write_text(json.dumps(config.to_dict(), default=str))
    (repo / "preprocessor_config.json").write_text(json.dumps({"size": 224, "resample": 3}))
    state = CLIPModel(config).state_dict()
    state["vision_model.embeddings.position_ids"] = torch.arange(17)[None]  # as older files have it
    torch.save(state, repo / "pytorch_model.bin")
