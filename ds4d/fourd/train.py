"""The optimization: a static stage on the middle frame, then all frames (paper section 3.5)."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cameras import orbit_cameras
from ..config import FourdConfig
from ..events import Event, Stage
from ..images import tile
from ..multiview import Views
from ..splat import rasterize
from ..workspace import replacing
from . import checkpoint
from .asset import Asset
from .batches import Targets
from .deformation import Deformation, stacked
from .densify import Statistics, densify
from .dsfd import decouple
from .gaussians import Gaussians, Offsets, deformed, from_points
from .losses import photometric, regularisers, structural
from .threads import threads_for
from .tssf import Lookup

EVENT_EVERY = 20  # steps between two events with figures
PREVIEW_EVERY = 100  # steps between two pictures


def run(
    views: Views,
    positions: Tensor,  # [T] place of each frame in the clip, [0, 1]
    features: Tensor,  # [T, V, h, w, D]
    points: Tensor,  # [N, 3] world, the start
    colors: Tensor,  # [N, 3] in [0, 1]
    config: FourdConfig,
    seed: int,
    checkpoints: Path,  # folder for resumable state
    key: str,  # what the state must have been made from to be resumed
) -> Stage[tuple[Asset, dict]]:
    """Optimize, with events; resumes from the last checkpoint of the same key.

    Returns:
        The asset, and the facts of the run for its record.
    """
    training = Training(views, positions, features, points, colors, config, seed)
    state = checkpoints / "latest.safetensors"
    resumed = checkpoint.load(state, training, key)
    if resumed:
        words = f"resumed at step {training.step} of {training.total}"
        yield Event("fourd", training.step, training.total, words, warning=True)
    pixels = 2 * config.times_per_step * config.coarse_size**2
    while training.step < training.total:
        with threads_for(pixels):
            metrics = training.advance()
        if training.step % config.checkpoint_every == 0:
            with replacing(state) as path:
                checkpoint.save(path, training, key)
        told = training.step % EVENT_EVERY == 0 or training.step == training.total
        # An event every step, so that whoever closes the generator waits for one step only.
        yield training.event(metrics) if told else Event("fourd", training.step, training.total)
    facts = {
        "gaussians": len(training.gaussians),
        "perceptual_loss": "structural (no network)",
        "sds": "off (needs a pretrained network)",
        "resumed_from_step": resumed,
    }
    return training.asset(), facts


class Training:
    """The state of an optimization, and one step of it."""

    def __init__(
        self,
        views: Views,
        positions: Tensor,
        features: Tensor,
        points: Tensor,
        colors: Tensor,
        config: FourdConfig,
        seed: int,
    ):
        self.config = config
        self.positions = positions.float()
        self.cameras = views.cameras
        self.targets = {
            size: Targets(views, size) for size in {config.coarse_size, config.fine_size}
        }
        self.features = decouple(features, config.projection, config.reference)  # [T, V, h, w, 2D]
        self.generator = torch.Generator().manual_seed(seed)
        self.gaussians = from_points(points, colors)
        for tensor in self.gaussians.tensors().values():
            tensor.requires_grad_()
        self.network = Deformation(config, channels=self.features.shape[-1])
        self.network.reset(self.generator, config.zero_heads)
        self.optimizer = self._optimizer()
        self.statistics = Statistics.zeros(len(self.gaussians))
        self.lookup: Lookup | None = None  # made again when it is asked for
        self.step = 0
        self.started = (time.perf_counter(), 0)  # and the step of that moment

    @property
    def total(self) -> int:
        return self.config.static_iterations + self.config.dynamic_iterations

    @property
    def moving(self) -> bool:
        return self.step >= self.config.static_iterations

    def _optimizer(self) -> torch.optim.Adam:
        planes = list(self.network.planes.parameters())
        in_planes = {id(parameter) for parameter in planes}
        network = [p for p in self.network.parameters() if id(p) not in in_planes]
        constant = {
            "log_scales": self.config.scale_lr,
            "quats": self.config.rotation_lr,
            "logits": self.config.opacity_lr,
            "sh0": self.config.color_lr,
        }
        groups = [
            {"name": name, "params": [tensor], "lr": constant.get(name, 0.0)}
            for name, tensor in self.gaussians.tensors().items()
        ]
        groups += [{"name": "planes", "params": planes, "lr": 0.0}]
        groups += [{"name": "network", "params": network, "lr": 0.0}]
        return torch.optim.Adam(groups, eps=1e-15, fused=True)

    def advance(self) -> dict[str, float]:
        """One step. Returns its metrics."""
        config = self.config
        if self.step % config.visibility_every == 0:
            self.lookup = None
        self._set_learning_rates()
        loss, offsets2d = self._loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        if self.step < config.densify_until:
            self.statistics.add(offsets2d.grad)
            if self.step > config.densify_from and self.step % config.densify_every == 0:
                self._densify()
        return {"loss": loss.item(), "gaussians": len(self.gaussians)}

    def _densify(self) -> None:
        self.gaussians = densify(
            self.gaussians, self.optimizer, self.statistics, self.config, self.generator
        )
        self.statistics = Statistics.zeros(len(self.gaussians))
        self.lookup = None

    def _set_learning_rates(self) -> None:
        """Log-linear from first to last value; what deforms starts its clock with the motion."""
        config = self.config
        share = self.step / self.total
        moved = max(self.step - config.static_iterations, 0) / max(config.dynamic_iterations, 1)
        decaying = {
            "means": (config.means_lr, share),
            "network": (config.network_lr, moved),
            "planes": (config.plane_lr, moved),
        }
        for group in self.optimizer.param_groups:
            if group["name"] in decaying:
                (first, last), share_done = decaying[group["name"]]
                group["lr"] = first * (last / first) ** share_done

    def _loss(self) -> tuple[Tensor, Tensor]:
        """The step's loss, and the zeros that collect gradients of the projected centres."""
        config = self.config
        fine = self.step >= config.fine_from * self.total
        targets = self.targets[config.fine_size if fine else config.coarse_size]
        times, views = self._draw(len(targets.rgb))
        cameras = targets.cameras[views]
        means, quats, scales = deformed(self.gaussians, self._offsets(times))
        pairs = len(views) // len(times)
        offsets2d = torch.zeros(len(views), len(self.gaussians), 2, requires_grad=True)
        rgb, alpha, _ = rasterize(
            means.repeat_interleave(pairs, 0), quats.repeat_interleave(pairs, 0),
            scales.repeat_interleave(pairs, 0), self.gaussians.logits.sigmoid(),
            self.gaussians.colors(), cameras.viewmats, cameras.Ks, cameras.width, cameras.height,
            torch.ones(len(views), 3), means2d_offsets=offsets2d,
        )  # fmt: skip
        frames = [index for index in times for _ in range(pairs)]
        true_rgb, true_alpha = targets.of(frames, views)
        return self._errors(rgb, alpha, true_rgb, true_alpha, views), offsets2d

    def _errors(
        self,
        rgb: Tensor,  # [B, H, W, 3]
        alpha: Tensor,  # [B, H, W, 1]
        true_rgb: Tensor,
        true_alpha: Tensor,
        views: list[int],  # B view indices
    ) -> Tensor:
        config = self.config
        front = torch.tensor([view == 0 for view in views])
        rgb_weight = torch.where(front, config.front_rgb, config.view_rgb)
        alpha_weight = torch.where(front, config.front_alpha, config.view_alpha)
        loss = (rgb_weight * photometric(rgb, true_rgb, config.robust)).sum()
        loss = loss + (alpha_weight * photometric(alpha, true_alpha, config.robust)).sum()
        if config.perceptual:
            # One pseudo view of each pair: the second, which is never the front in the paper.
            chosen = [index for index in range(1, len(views), 2) if views[index] > 0]
            if chosen:
                errors = structural(rgb[chosen], true_rgb[chosen])
                loss = loss + config.perceptual * errors.sum()
        return loss + regularisers(self.network, config) if self.moving else loss

    def _draw(self, frames: int) -> tuple[list[int], list[int]]:
        """Frames of this step, and two views for each of them."""
        count = len(self.cameras)
        middle = frames // 2
        times, views = [], []
        for _ in range(self.config.times_per_step):
            times.append(self._randint(frames) if self.moving else middle)
            first = 0 if self.config.front_always else self._randint(count)
            views += [first, (first + 1 + self._randint(count - 1)) % count]
        return times, views

    def _randint(self, bound: int) -> int:
        return int(torch.randint(bound, (), generator=self.generator))

    def _offsets(self, times: list[int]) -> Offsets:
        """What moves the Gaussians at the given frames; nothing does in the static stage."""
        if not self.moving:
            zero = torch.zeros(len(times), 1, 1)
            return Offsets(zero, zero, zero)
        return stacked([self._offsets_at(frame) for frame in times])

    def _offsets_at(self, frame: int) -> Offsets:
        if self.lookup is None:
            self.lookup = self._look()
        reduced = self.network.tssf.reduced(self.features[frame])
        position = float(self.positions[frame])
        return self.network(self.gaussians.means, position, reduced, self.lookup)

    def _look(self) -> Lookup:
        shape = tuple(self.features.shape[2:4])
        return Lookup.of(self.gaussians, self.cameras, self.config.visibility, shape)

    def event(self, metrics: dict[str, float]) -> Event:
        """News of the run, with a picture now and then."""
        started, first = self.started
        if self.step > first:
            metrics["steps_per_second"] = (self.step - first) / (time.perf_counter() - started)
        preview = None
        if self.step % PREVIEW_EVERY == 0 or self.step == self.total:
            preview, metrics["psnr"] = self._preview()
        stage = "all frames" if self.moving else "middle frame"
        return Event("fourd", self.step, self.total, stage, preview, metrics)

    @torch.no_grad()
    def _preview(self) -> tuple[np.ndarray, float]:
        """The frame, its render and an orbiting view, side by side, and the render's PSNR in dB."""
        targets = self.targets[self.config.fine_size]
        frames = len(targets.rgb)
        frame = self.step // PREVIEW_EVERY % frames if self.moving else frames // 2
        offsets = self._offsets([frame])
        means, quats, scales = (tensor[0] for tensor in deformed(self.gaussians, offsets))
        opacities, colors = self.gaussians.logits.sigmoid(), self.gaussians.colors()
        size = targets.cameras.width
        orbit = orbit_cameras([self.step // PREVIEW_EVERY * 15], 10.0, size=size)
        pictures = [targets.of([frame], [0])[0][0]]
        for camera in (targets.cameras[0], orbit):
            rgb, _, _ = rasterize(
                means, quats, scales, opacities, colors, camera.viewmats, camera.Ks,
                size, size, torch.ones(1, 3),
            )  # fmt: skip
            pictures.append(rgb[0].clamp(0, 1))
        error = (pictures[1] - pictures[0]).square().mean().item()
        row = (torch.stack(pictures) * 255).round().to(torch.uint8).numpy()
        return tile(row, columns=3), -10 * math.log10(max(error, 1e-10))

    @torch.no_grad()
    def asset(self) -> Asset:
        """The result so far."""
        gaussians = Gaussians(**{k: v.detach() for k, v in self.gaussians.tensors().items()})
        maps = self.network.tssf.reduced(self.features).half()
        return Asset(
            gaussians, self.network, maps, self._look(), self.positions, self.cameras, self.config
        )
