"""One optimization: its state, and one step of it (paper section 3.5)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..cameras import Cameras, orbit_cameras
from ..config import FourdConfig
from ..events import Event
from ..guidance import Perceptual, Zero123
from ..guidance.schedule import draw_shots, render_size
from ..images import tile
from ..multiview import Views
from ..splat import rasterize
from .asset import Asset
from .batches import Targets
from .deformation import Deformation
from .densify import Statistics, densify
from .dsfd import decouple
from .gaussians import Gaussians, Offsets, deformed, from_points
from .kernels.adam import Adam
from .losses import photometric, regularisers
from .tssf import Lookup

PREVIEW_EVERY = 100  # steps between two pictures


class Training:
    """The state of an optimization, and one step of it.

    Args:
        perceptual: judges renders of pseudo views, [B, H, W, 3] twice -> [B].
        sds: score distillation with the run's views as its references, or None.
    """

    def __init__(
        self,
        views: Views,
        positions: Tensor,
        features: Tensor,
        points: Tensor,
        colors: Tensor,
        config: FourdConfig,
        seed: int,
        device: torch.device,
        perceptual: Perceptual,
        sds: Zero123 | None,
    ):
        self.config = config
        self.device = device
        self.perceptual, self.sds = perceptual, sds
        self.positions = positions.float()
        self.cameras = views.cameras.to(device)
        self.targets = {
            size: Targets(views, size, device) for size in {config.coarse_size, config.fine_size}
        }
        features = features.to(device)
        self.features = decouple(features, config.projection, config.reference)  # [T, V, h, w, 2D]
        self.generator = torch.Generator().manual_seed(seed)  # of the CPU: the same draws anywhere
        self.gaussians = from_points(points.to(device), colors.to(device))
        for tensor in self.gaussians.tensors().values():
            tensor.requires_grad_()
        self.network = Deformation(config, channels=self.features.shape[-1])
        self.network.reset(self.generator, config.zero_heads)
        self.network.to(device)
        self.optimizer = self._optimizer()
        self.statistics = Statistics.zeros(len(self.gaussians), device)
        self.lookup: Lookup | None = None  # made again when it is asked for
        self.loss = torch.zeros(())  # of the last step
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
        if self.device.type == "cpu":
            return Adam(groups, eps=1e-15)
        return torch.optim.Adam(groups, eps=1e-15, fused=True)

    def advance(self) -> None:
        """One step."""
        config = self.config
        if self.step % config.visibility_every == 0:
            self.lookup = None
        self._set_learning_rates()
        loss, shifts = self._loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.loss = loss.detach()
        self.step += 1
        if self.step < config.densify_until:
            for shift in shifts:
                self.statistics.add(shift.grad)
            if self.step > config.densify_from and self.step % config.densify_every == 0:
                self._densify()

    def _densify(self) -> None:
        self.gaussians = densify(
            self.gaussians, self.optimizer, self.statistics, self.config, self.generator
        )
        self.statistics = Statistics.zeros(len(self.gaussians), self.device)
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

    def _loss(self) -> tuple[Tensor, list[Tensor]]:
        """The step's loss, and the zeros that collect gradients of the projected centres."""
        config = self.config
        fine = self.step >= config.fine_from * self.total
        targets = self.targets[config.fine_size if fine else config.coarse_size]
        times, views = self._draw(len(targets.rgb))
        moments = deformed(self.gaussians, self._offsets(times))  # each [K, N, ...]
        pairs = len(views) // len(times)
        if len(times) == 1:  # all views share the Gaussians of a single moment
            at = [moment[0] for moment in moments]
        else:
            at = [moment.repeat_interleave(pairs, 0) for moment in moments]
        rgb, alpha, shifts = self._render(at, targets.cameras[views])
        frames = [index for index in times for _ in range(pairs)]
        true_rgb, true_alpha = targets.of(frames, views)
        loss = self._errors(rgb, alpha, true_rgb, true_alpha, views)
        if self.sds is None:
            return loss, [shifts]
        distilled, others = self._distilled(moments, times)
        return loss + distilled, [shifts, others]

    def _render(
        self,
        moment: Sequence[Tensor],  # means, quats, scales; each [N, ...] or [B, N, ...]
        cameras: Cameras,  # B
        backgrounds: Tensor | None = None,  # [B, 3]; None is white
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colours [B, H, W, 3], alphas [B, H, W, 1], and the zeros beside the projected centres."""
        if backgrounds is None:
            backgrounds = torch.ones(len(cameras), 3, device=self.device)
        shifts = torch.zeros(
            len(cameras), len(self.gaussians), 2, requires_grad=True, device=self.device
        )
        rgb, alpha, _ = rasterize(
            *moment, self.gaussians.logits.sigmoid(), self.gaussians.colors(),
            cameras.viewmats, cameras.Ks, cameras.width, cameras.height,
            backgrounds, means2d_offsets=shifts,
        )  # fmt: skip
        return rgb, alpha, shifts

    def _distilled(self, moments: Sequence[Tensor], times: list[int]) -> tuple[Tensor, Tensor]:
        """Score distillation of one random side of each moment (STAG4D, on which DS4D builds)."""
        size = min(render_size(self.step), self.config.fine_size)
        shots = draw_shots(len(times), size, self.generator)
        cameras, backgrounds = shots.cameras.to(self.device), shots.backgrounds.to(self.device)
        rgb, _, shifts = self._render(moments, cameras, backgrounds)
        loss = self.sds.loss(
            rgb, times, shots.azimuths, shots.elevations, self.step, self.generator
        )
        return self.config.sds * loss, shifts

    def _errors(
        self,
        rgb: Tensor,  # [B, H, W, 3]
        alpha: Tensor,  # [B, H, W, 1]
        true_rgb: Tensor,
        true_alpha: Tensor,
        views: list[int],  # B view indices
    ) -> Tensor:
        config = self.config
        front = torch.tensor([view == 0 for view in views], device=self.device)
        rgb_weight = torch.where(front, config.front_rgb, config.view_rgb)
        alpha_weight = torch.where(front, config.front_alpha, config.view_alpha)
        loss = (rgb_weight * photometric(rgb, true_rgb, config.robust)).sum()
        loss = loss + (alpha_weight * photometric(alpha, true_alpha, config.robust)).sum()
        if config.perceptual:
            # One pseudo view of each pair: the second, which is never the front in the paper.
            chosen = [index for index in range(1, len(views), 2) if views[index] > 0]
            if chosen:
                pictures = (torch.stack([x[index] for index in chosen]) for x in (rgb, true_rgb))
                errors = self.perceptual(*pictures)
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
            zero = torch.zeros(len(times), 1, 1, device=self.device)
            return Offsets(zero, zero, zero)
        if self.lookup is None:
            self.lookup = self._look()
        reduced = self.network.tssf.reduced(self.features[times])
        positions = self.positions[times].to(self.device)
        return self.network.at(self.gaussians.means, positions, reduced, self.lookup)

    def _look(self) -> Lookup:
        return Lookup.of(self.gaussians, self.cameras, self.config.visibility)

    def event(self) -> Event:
        """News of the run, with a picture now and then."""
        metrics = {"loss": self.loss.item(), "gaussians": len(self.gaussians)}
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
        moment = deformed(self.gaussians, self._offsets([frame]))
        size = targets.cameras.width
        orbit = orbit_cameras([self.step // PREVIEW_EVERY * 15], 10.0, size=size).to(self.device)
        pictures = [targets.of([frame], [0])[0][0]]
        for camera in (targets.cameras[0], orbit):
            rgb, _, _ = self._render(moment, camera)
            pictures.append(rgb[0].clamp(0, 1))
        error = (pictures[1] - pictures[0]).square().mean().item()
        row = (torch.stack(pictures) * 255).round().to(torch.uint8).cpu().numpy()
        return tile(row, columns=3), -10 * math.log10(max(error, 1e-10))

    @torch.no_grad()
    def asset(self) -> Asset:
        """The result so far."""
        gaussians = Gaussians(**{k: v.detach() for k, v in self.gaussians.tensors().items()})
        maps = self.network.tssf.reduced(self.features).half()
        asset = Asset(
            gaussians, self.network, maps, self._look(), self.positions, self.cameras, self.config
        )
        return asset.to("cpu")
