"""Pretrained networks at real size: parameters, memory and seconds on this machine's GPU.

    python -m benchmarks.networks [--json FILE] [--only NAME ...] [--folder FOLDER]

Speed and memory do not depend on the values of weights, so random ones in the published layouts are
written to a folder (11 GB, reused later) and loaded like real ones.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from ds4d.cameras import rig_cameras
from ds4d.config import MachineConfig, MultiviewConfig
from ds4d.run.device import release
from ds4d.run.events import Event

FRAMES, SIZE = 24, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", default=list(MEASURES))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "ds4d-random")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("A GPU is needed: real sizes take hours on a CPU.")
    report = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": []}
    for name in options.only:
        for row in MEASURES[name](options.folder):
            report["rows"].append(row)
            print(json.dumps(row), flush=True)
        if options.json:
            options.json.write_text(json.dumps(report, indent=1))
        release()
    print(table(report["rows"]))


def table(rows: list[dict]) -> str:
    """The rows as markdown."""
    lines = ["| network | parameters | half precision | load | peak memory | seconds |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        load = f"{row['load_s']:.1f} s" if "load_s" in row else ""
        lines.append(
            f"| {row['what']} | {row['parameters'] / 1e6:.0f} M | "
            f"{2 * row['parameters'] / 1e9:.2f} GB | {load} | {row['peak_gb']:.1f} GB | "
            f"{row['seconds']:.3g} per {row['per']} |"
        )
    return "\n".join(lines)


# --- measures: each yields rows --------------------------------------------------------------


def zero123plus(folder: Path) -> Iterator[dict]:
    from ds4d.multiview.zero123plus.generate import generate_views

    parameters = write("zero123plus", folder)
    frames = _frames(5)
    for steps, low_memory in ((28, False), (75, False), (28, True)):
        machine = MachineConfig(device="cuda", weights=str(folder), low_memory=low_memory)
        config = MultiviewConfig(steps=steps)
        events = generate_views(frames, config, machine, seed=0, total=len(frames) * steps)
        marks, peak = _followed(events)
        # The first frame is drawn alone and kept as the anchor; the others share a batch.
        loaded = next(at for at, event in marks if "step 1 of" in event.message)
        seconds = (marks[-1][0] - loaded) / (len(frames) - 1 / steps)
        mode = ", --low-memory" if low_memory else ""
        yield _row(
            f"Zero123++ v1.2, {steps} steps, anchored{mode}", parameters, peak, seconds, "frame",
            load_s=loaded,
        )  # fmt: skip


def dinov2(folder: Path) -> Iterator[dict]:
    from ds4d.features import dinov2 as engine

    parameters = write("dinov2", folder)
    images = np.stack([_frames(FRAMES)] * 7, 1)
    machine = MachineConfig(device="cuda", weights=str(folder))
    marks, peak = _followed(engine.run(images, model="base", machine=machine))
    first = marks[1][0]
    what = f"DINOv2 base, {FRAMES} x 7 images at 518 px"
    yield _row(what, parameters, peak, marks[-1][0] - first, "clip", load_s=first)


def instantmesh(folder: Path) -> Iterator[dict]:
    from ds4d.mesh.instantmesh.engine import _reconstruct

    parameters = write("instantmesh", folder)
    machine = MachineConfig(device="cuda", weights=str(folder))
    images = np.stack([_frames(1)[0]] * 6)
    cameras = rig_cameras(SIZE)[range(1, 7)]
    for _ in range(2):  # the first time warms up
        marks, peak = _followed(_reconstruct(images, cameras, 256, "large", machine))
    loaded = next(at for at, event in marks if event.message == "reading the views")
    what = "InstantMesh's LRM large, grid of 256^3"
    yield _row(what, parameters, peak, marks[-1][0] - loaded, "mesh", load_s=loaded)


def sds(folder: Path) -> Iterator[dict]:
    from ds4d.guidance import networks
    from ds4d.guidance.schedule import sample_views
    from ds4d.guidance.zero123 import Zero123
    from tests.fakes import zero123 as published

    parts = networks.build(published.REAL, torch.device("cuda"))
    parameters = sum(_count(m) for m in (parts.unet, parts.vae, parts.image_encoder))
    zero123, generator = Zero123(parts, stable=False), torch.Generator().manual_seed(0)
    images = np.stack([_frames(FRAMES)] * 7, 1)
    marks, peak = _followed(zero123.encode_references(images, rig_cameras(SIZE), generator))
    what = f"Zero123, embedding {FRAMES} x 7 references"
    yield _row(what, parameters, peak, marks[-1][0], "clip")

    rgb = torch.rand(4, SIZE, SIZE, 3, device="cuda", requires_grad=True)

    def step() -> None:
        shots = sample_views(4, SIZE, generator)
        zero123.loss(rgb, [0, 1, 2, 3], shots.azimuths, shots.elevations, 0, generator).backward()

    seconds, peak = _timed(step)
    yield _row("Zero123, one SDS step at batch 4", _count(parts.unet), peak, seconds, "step")
    zero123.free()


def lpips(folder: Path) -> Iterator[dict]:
    from ds4d.guidance import lpips

    network = lpips.build(torch.device("cuda"))
    parameters, perceptual = _count(network), lpips.perceptual_loss(network)
    render = torch.rand(4, SIZE, SIZE, 3, device="cuda", requires_grad=True)
    target = torch.rand(4, SIZE, SIZE, 3, device="cuda")
    seconds, peak = _timed(lambda: perceptual(render, target).sum().backward())
    yield _row("LPIPS (VGG16), batch 4 at 512 px", parameters, peak, seconds, "step")


MEASURES: dict[str, Callable[[Path], Iterator[dict]]] = {
    "zero123plus": zero123plus, "dinov2": dinov2, "instantmesh": instantmesh, "sds": sds,
    "lpips": lpips,
}  # fmt: skip


# --- measurement ------------------------------------------------------------------------------


def _followed(events: Iterator[Event]) -> tuple[list[tuple[float, Event]], float]:
    """Run a stage: seconds and events, and the peak of the GPU's memory in GB."""
    torch.cuda.reset_peak_memory_stats()
    started, marks = time.perf_counter(), []
    for event in events:
        torch.cuda.synchronize()
        marks.append((time.perf_counter() - started, event))
    torch.cuda.synchronize()
    marks.append((time.perf_counter() - started, Event("end")))
    return marks, torch.cuda.max_memory_allocated() / 1e9


def _timed(step: Callable[[], None], repeats: int = 20) -> tuple[float, float]:
    """Median seconds of a step, and its peak memory in GB."""
    for _ in range(3):
        step()
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        started = time.perf_counter()
        step()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), torch.cuda.max_memory_allocated() / 1e9


def _row(what: str, parameters: int, peak: float, seconds: float, per: str, **more: float) -> dict:
    facts = {"what": what, "parameters": parameters, "peak_gb": round(peak, 2)}
    return facts | {"seconds": round(seconds, 5), "per": per} | more


def _frames(count: int) -> np.ndarray:
    """A ball in `count` moments, [count, S, S, 4] uint8."""
    y, x = np.mgrid[:SIZE, :SIZE]
    frames = np.zeros((count, SIZE, SIZE, 4), np.uint8)
    for index, frame in enumerate(frames):
        inside = (x - 256) ** 2 + (y - 230 - 2 * index) ** 2 < 180**2
        frame[inside] = (180, 90, 60, 255)
    return frames


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# --- random weights at real size --------------------------------------------------------------


def write(name: str, folder: Path) -> int:
    """Write random weights into a folder of weights, unless they are there already.

    Args:
        name: a key of WRITERS.

    Returns:
        The number of parameters.
    """
    path, writer = WRITERS[name]
    place = folder / path
    note = place.with_name(f"{place.name}.parameters")
    if not note.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(writer(place)))
    return int(note.read_text())


def _random(network: nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Small random weights, and norms that change nothing, for a network on the meta device."""
    state = {}
    for name, value in network.state_dict().items():
        if value.ndim < 2:
            state[name] = torch.full(value.shape, float(name.endswith("weight")), dtype=dtype)
        else:
            state[name] = (torch.randn(value.shape, device="cuda") * 0.02).to("cpu", dtype)
    return state


def _write_zero123plus(repo: Path) -> int:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    from tests.fakes import zero123plus as published

    published.write_settings(repo, published.SCHEDULER)
    picture = {"crop_size": {"height": 512, "width": 512}, "size": {"shortest_edge": 512}}
    real = {
        "feature_extractor_vae/preprocessor_config.json": published.VAE_PIXELS | picture,
        "text_encoder/config.json": published.TEXT,
        "unet/config.json": published.UNET,
        "vae/config.json": published.VAE,
        "vision_encoder/config.json": published.VISION,
    }
    for name, facts in real.items():
        (repo / name).write_text(json.dumps(facts))
    with torch.device("meta"):
        parts = {
            "unet/diffusion_pytorch_model": UNet2DConditionModel.from_config(published.UNET),
            "vae/diffusion_pytorch_model": AutoencoderKL.from_config(published.VAE),
            "text_encoder/model": CLIPTextModel(CLIPTextConfig.from_dict(published.TEXT)),
            "vision_encoder/model": CLIPVisionModelWithProjection(
                CLIPVisionConfig.from_dict(published.VISION)
            ),
        }
    for name, network in parts.items():
        dtype = torch.float32 if name.startswith("unet") else torch.float16
        save_file(_random(network, dtype), repo / f"{name}.safetensors")
    return sum(_count(network) for network in parts.values())


def _write_dinov2(repo: Path) -> int:
    from transformers import Dinov2Config, Dinov2Model

    from tests.fakes import dinov2 as published

    real = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    network = Dinov2Model(Dinov2Config.from_dict(published.config() | real))
    network.save_pretrained(repo)
    (repo / "preprocessor_config.json").write_text(json.dumps(published.PREPROCESSOR))
    return _count(network)


def _write_instantmesh(file: Path) -> int:
    from ds4d.mesh.instantmesh.model import LARGE
    from tests.fakes import instantmesh as published

    published.write(file, LARGE)
    return sum(value.numel() for value in published.weights(LARGE).values())


def _write_vgg16(file: Path) -> int:
    from tests.fakes import lpips as published

    torch.save(published.state(), file)
    return sum(value.numel() for value in published.state().values())


WRITERS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "zero123plus": ("sudo-ai/zero123plus-v1.2", _write_zero123plus),
    "dinov2": ("facebook/dinov2-base", _write_dinov2),
    "instantmesh": ("TencentARC/InstantMesh/instant_nerf_large.ckpt", _write_instantmesh),
    "lpips": ("torchvision/vgg16-397923af.pth", _write_vgg16),
}


if __name__ == "__main__":
    main()
