"""One optimization: its state, and one step of it (paper section 3.5)."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from ..cameras import Cameras, orbit_cameras
from ..config import FourdConfig
from ..guidance import Perceptual, Zero123
from ..guidance.schedule import render_size
from ..images import tile
from ..multiview.outliers import named_views
from ..multiview.views import Views
from ..run.events import Event
from ..splatting import rasterize
from ..splatting.rasterize import crowded, supports_cuda_graph, supports_offsets
from .asset import Asset
from .cuda_graph import Replayed
from .deformation import build_deformation
from .densify import Statistics, densify
from .dsfd import view_features
from .ema import EVERY, Averages
from .gaussians import Gaussians, Offsets, deformed, from_points, random_points
from .losses import Weights, image_errors, regularisers
from .optimizer import optimizer_of, set_rates
from .sampling import deals
from .targets import Targets
from .tssf import Lookup
from .view_correction import Warps, wanted

PREVIEW_EVERY = 50  # steps between two pictures


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
        rasterizer: str = "auto",
    ):
        self.config = config
        self.device, self.rasterizer = device, rasterizer
        self.perceptual, self.sds = perceptual, sds
        self.positions = positions.float().to(device)
        self.cameras = views.cameras.to(device)
        self.capture_to_world = views.capture_to_world
        # No pixels are made up: enlarged pictures would teach blur, and take longer.
        self.targets = Targets(views, min(config.image_size, views.cameras.width), device)
        left_out = named_views(config.exclude, len(positions), len(views.cameras))
        self.counts = torch.from_numpy(~left_out).float().to(device)  # [T, V] in {0, 1}
        self.features = view_features(
            features.to(device), config.features, config.projection, config.reference
        )  # [T, V, h, w, 2D]
        self.generator = torch.Generator().manual_seed(seed)  # of the CPU: the same draws anywhere
        self.deals = deals(config, len(positions), len(views.cameras), seed, self.generator)
        if config.points_from == "random":
            points, colors = random_points(len(points), torch.Generator().manual_seed(seed))
        self.gaussians = from_points(points.to(device), colors.to(device))
        for tensor in self.gaussians.tensors().values():
            tensor.requires_grad_()
        self.network = build_deformation(config, self.features.shape[-1])
        self.network.reset(self.generator, config.zero_heads)
        self.network.to(device)
        self.warps = None
        if wanted(views, config.warps, ~left_out, supports_offsets(rasterizer)):
            self.warps = Warps(len(positions), len(views.cameras)).to(device)
        self.optimizer = optimizer_of(self.gaussians, self.network, self.warps, config, device)
        self.statistics = Statistics.zeros(len(self.gaussians), device)
        self.averages: Averages | None = None  # while everything moves and nobody joins
        self.lookup: Lookup | None = None  # made again when it is asked for
        self.loss = torch.zeros(())  # of the last step
        self.changes = 0  # of what a captured step keeps
        replays = device.type == "cuda" and supports_cuda_graph(rasterizer)
        self.replayed = Replayed(self._compute, crowded) if replays else None
        self.step = 0
        self.started = (time.perf_counter(), 0)  # and the step of that moment

    @property
    def total(self) -> int:
        return self.config.static_iterations + self.config.dynamic_iterations

    @property
    def moving(self) -> bool:
        return self.step >= self.config.static_iterations

    def advance(self) -> None:
        """One step."""
        config = self.config
        if self.moving and (self.lookup is None or self.step % config.visibility_every == 0):
            self._look_around()
        set_rates(self.optimizer, self.step, config)
        inputs = {name: tensor.to(self.device) for name, tensor in self._draw().items()}
        if self.replayed is None:
            self._compute(inputs)
        else:
            shape = self.sds and self._sds_size, self.moving, self.changes, self._densifies
            self.replayed(shape, inputs)
        self.step += 1
        if self._densifies and self.step > config.densify_from:
            if self.step % config.densify_every == 0:
                self._densify()
        if self._window >= EVERY and self.moving and self.step % EVERY == 0:
            self._average()

    def _average(self) -> None:
        """Take this step into the running means, or begin them."""
        if self.averages is None:
            self.averages = self.fresh_averages()
        else:
            self.averages.look()

    def fresh_averages(self) -> Averages:
        """Running means that begin with this step, of all that draws the object."""
        drawn = [*self.gaussians.tensors().values(), *self.network.parameters()]
        return Averages(drawn, self._window)

    def averaged(self) -> AbstractContextManager[None]:
        """Inside this block everything is its running mean, where there is one."""
        return nullcontext() if self.averages is None else self.averages.shown()

    @property
    def _window(self) -> int:
        """Steps that the means look back on: in a short run few, since its early steps lag far."""
        return min(self.config.averaged, self.config.dynamic_iterations // 20)

    @property
    def pixels(self) -> int:
        """That a step draws, of all its pictures."""
        return 2 * self.config.times_per_step * self.targets.cameras.width**2

    @property
    def _sds_size(self) -> int:
        """Side of the images that SDS judges in this step, pixels."""
        return min(render_size(self.step), self.config.image_size)

    @property
    def _densifies(self) -> bool:
        return self.step < self.config.densify_until

    def _compute(self, inputs: dict[str, Tensor]) -> None:
        """What a step does once chance has had its say: loss, gradients, new parameters."""
        loss, shifts = self._loss(inputs)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.loss = loss.detach()
        if self._densifies:
            for shift in shifts:
                self.statistics.add(shift.grad)

    def _densify(self) -> None:
        self.gaussians = densify(
            self.gaussians, self.optimizer, self.statistics, self.config, self.generator
        )
        self.statistics = Statistics.zeros(len(self.gaussians), self.device)
        self.averages = None
        self._change(lookup=None)

    def _look_around(self) -> None:
        """Who is visible from where, now; in the same place, where a captured step reads it."""
        seen = self._look()
        if self.lookup is None:
            self._change(seen)
        else:
            self.lookup.grid.copy_(seen.grid)
            self.lookup.visible.copy_(seen.visible)

    def _change(self, lookup: Lookup | None) -> None:
        """Another lookup, perhaps because there are other Gaussians."""
        self.lookup = lookup
        self.changes += 1

    def _loss(self, inputs: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The step's loss, and the zeros that collect gradients of the projected centres."""
        times, views = inputs["times"], inputs["views"]  # [K], [2 K]
        moments = deformed(self.gaussians, self._offsets(times))  # each [K, N, ...]
        if len(times) == 1:  # both views share the Gaussians of a single moment
            at = [moment.squeeze(0) for moment in moments]
        else:  # repeat_interleave would gather, and scatter gradients
            at = [moment[:, None].expand(-1, 2, -1, -1).flatten(0, 1) for moment in moments]
        frames = times.repeat_interleave(2)
        bent, colors, springs = self._warped(frames, views)
        cameras = self.targets.cameras[views]
        rgb, alpha, shifts = self._render(at, cameras, bent=bent, colors=colors)
        loss = self._errors(rgb, alpha, frames, views) + springs
        if self.sds is None:
            return loss, [shifts]
        distilled, others = self._distilled(moments, inputs)
        return loss + distilled, [shifts, others]

    def _warped(
        self, frames: Tensor, views: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | float]:
        """How some views [B] of frames [B] are bent, [B, N, 2] pixels, the colours that they show,
        [B, N, 3], and the weighted springs; None where views are taken as they are."""
        if self.warps is None or not self.moving:
            return None, None, 0.0
        bent, pull = self.warps.bent(frames, views, self.lookup.grid[views])
        colors, shade = self.warps.tinted(frames, views, self.gaussians.colors())
        springs = self.config.warp_pull * pull + self.config.tint_pull * shade
        return bent * self.targets.cameras.width, colors, springs

    def _render(
        self,
        moment: Sequence[Tensor],  # means, quats, scales; each [N, ...] or [B, N, ...]
        cameras: Cameras,  # B
        backgrounds: Tensor | None = None,  # [B, 3]; None is white
        bent: Tensor | None = None,  # [B, N, 2] pixels that the views are bent by
        colors: Tensor | None = None,  # [B, N, 3]; None are the Gaussians' own
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Colours [B, H, W, 3], alphas [B, H, W, 1], and the zeros beside the projected centres."""
        if backgrounds is None:
            backgrounds = torch.ones(len(cameras), 3, device=self.device)
        shifts = torch.zeros(
            len(cameras), len(self.gaussians), 2, requires_grad=True, device=self.device
        )
        rgb, alpha, _ = rasterize(
            *moment, self.gaussians.logits.sigmoid(),
            self.gaussians.colors() if colors is None else colors,
            cameras.viewmats, cameras.Ks, cameras.width, cameras.height,
            backgrounds, antialiased=self.config.antialiased,
            means2d_offsets=shifts if bent is None else shifts + bent, backend=self.rasterizer,
        )  # fmt: skip
        return rgb, alpha, shifts

    def _distilled(
        self, moments: Sequence[Tensor], inputs: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Score distillation of one random side of each moment (STAG4D, on which DS4D builds)."""
        size = self._sds_size
        cameras = Cameras(inputs["viewmats"], inputs["Ks"], size, size)
        rgb, _, shifts = self._render(moments, cameras, inputs["backgrounds"])
        return self.config.sds * self.sds.judge(rgb, inputs), shifts

    def _errors(
        self,
        rgb: Tensor,  # [B, H, W, 3]
        alpha: Tensor,  # [B, H, W, 1]
        frames: Tensor,  # [B]
        views: Tensor,  # [B]
    ) -> Tensor:
        """How far renders of views of frames are from what they should be, and regularisers."""
        config, front = self.config, views == 0
        counts = self.counts[frames, views]
        weights = Weights(
            counts * torch.where(front, config.front_rgb, config.view_rgb),
            counts * torch.where(front, config.front_alpha, config.view_alpha),
            config.perceptual * counts * ~front if config.perceptual else None,
        )
        truth = self.targets.of(frames, views)
        loss = image_errors(rgb, alpha, truth, weights, config.robust, self.perceptual)
        return loss + regularisers(self.network, config) if self.moving else loss

    def _draw(self) -> dict[str, Tensor]:
        """All that chance decides in a step: frames, two views of each, and what SDS looks at."""
        times, views = [], []
        count = self.config.times_per_step
        first = (self.step - (self.config.static_iterations if self.moving else 0)) * count
        for number in range(first, first + count):
            time, *pair = self.deals.deal(number, None if self.moving else len(self.positions) // 2)
            times.append(time)
            views += pair
        drawn = {"times": torch.tensor(times), "views": torch.tensor(views)}
        if self.sds is not None:
            size = self._sds_size
            drawn |= self.sds.draw(drawn["times"], size, self.step, self.generator)
        return drawn

    def _offsets(self, times: Tensor) -> Offsets:
        """What moves the Gaussians at some frames [K]; nothing does in the static stage."""
        if not self.moving:
            zero = torch.zeros(len(times), 1, 1, device=self.device)
            return Offsets(zero, zero, zero)
        lookup = self.lookup or self._look()
        reduced = self.network.reduced(self.features[times])
        return self.network.at(self.gaussians.means, self.positions[times], reduced, lookup)

    def _look(self) -> Lookup:
        reads = self.config.features != "none"
        visibility = self.config.visibility if reads else "none"
        tolerance = self.config.depth_tolerance
        return Lookup.of(self.gaussians, self.cameras, visibility, tolerance, self.rasterizer)

    def event(self) -> Event:
        """News of the run, with a picture now and then."""
        metrics = {"loss": self.loss.item(), "gaussians": len(self.gaussians)}
        started, first = self.started
        if self.step > first:
            metrics["steps_per_second"] = (self.step - first) / (time.perf_counter() - started)
        preview = None
        if self.step % PREVIEW_EVERY == 0 or self.step == self.total:
            with self.averaged():
                preview, metrics["psnr"] = self._preview()
        stage = "all frames" if self.moving else "middle frame"
        return Event("fourd", self.step, self.total, stage, preview, metrics)

    @torch.no_grad()
    def _preview(self) -> tuple[np.ndarray, float]:
        """The frame, its render and an orbiting view, side by side, and the render's PSNR in dB."""
        targets = self.targets
        frames = len(self.positions)
        frame = self.step // PREVIEW_EVERY % frames if self.moving else frames // 2
        chosen = torch.tensor([frame], device=self.device)
        moment = deformed(self.gaussians, self._offsets(chosen))
        size = targets.cameras.width
        orbit = orbit_cameras([self.step // PREVIEW_EVERY * 15], 10.0, size=size).to(self.device)
        pictures = [targets.of(chosen, torch.zeros_like(chosen)).rgb[0] / 255]
        if self.capture_to_world is not None:  # from where nobody looked, nothing is known
            orbit = targets.cameras[1 + self.step // PREVIEW_EVERY % (len(self.cameras) - 1)]
        for camera in (targets.cameras[0], orbit):
            rgb, _, _ = self._render(moment, camera)
            pictures.append(rgb[0].clamp(0, 1))
        error = (pictures[1] - pictures[0]).square().mean().item()
        row = (torch.stack(pictures) * 255).round().to(torch.uint8).cpu().numpy()
        return tile(row, columns=3), -10 * math.log10(max(error, 1e-10))

    @torch.no_grad()
    def asset(self) -> Asset:
        """The result so far."""
        with self.averaged():
            tensors = self.gaussians.tensors().items()
            return Asset(
                Gaussians(**{name: tensor.detach().clone() for name, tensor in tensors}),
                copy.deepcopy(self.network), self.network.reduced(self.features).half(),
                self._look(), self.positions.cpu(), self.cameras, self.config,
                self.capture_to_world,
            ).to("cpu")  # fmt: skip
