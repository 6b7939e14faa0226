"""The optimization of a 4D asset: its state, one step of it, and its result."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from ..config import FourdConfig
from ..guidance import Perceptual, Zero123
from ..guidance.schedule import render_size
from ..multiview.outliers import named_views
from ..multiview.views import Views
from ..splatting.rasterize import crowded, supports_cuda_graph, supports_offsets
from ..splatting.splats import Splats
from . import frame_weights
from .asset import Asset
from .checkpoint import flatten, part
from .cuda_graph import GraphedStep
from .deformation import build_deformation
from .densify import Densifier
from .dsfd import view_features
from .ema import INTERVAL, RunningMean
from .front_colors import fit_front_colors
from .gaussians import Gaussians, from_points, from_splats, random_points, thinned
from .model import Model
from .objective import Objective
from .optimizer import Optimizer
from .preview import preview
from .sampling import build_sampler, sample_batch
from .targets import Targets
from .view_correction import ViewCorrection, needs_correction
from .visibility import Visibility


class Trainer:
    """The state of an optimization.

    Args:
        views: T frames of V views.
        positions: place of each frame in the clip [T], in [0, 1].
        features: view features [T, V, h, w, D].
        points: initial centres [N, 3], world units.
        colors: initial colours [N, 3] in [0, 1].
        perceptual: loss of renders and targets, [B, H, W, 3] twice -> [B].
        sds: score distillation with the run's views as its references, or None.
        rasterizer: backend of `rasterize`.
        start: Gaussians of the middle frame, to begin with instead of faint ones on the points.
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
        start: Splats | None = None,
    ):
        T, V = views.images.shape[:2]
        self.config, self.device, self.sds = config, device, sds
        self.cameras, self.capture_to_world = views.cameras.to(device), views.capture_to_world
        self.front_is_best = views.from_meshes  # the others are renders of a guess
        self.generator = torch.Generator().manual_seed(seed)  # on the CPU: the same on any device
        self.sampler = build_sampler(config, T, V, seed, self.generator)
        self.weighs_frames = config.shuffled and config.hard_frames > 0
        included = ~named_views(config.exclude, T, V)
        confidence = 1.0 if views.confidence is None else views.confidence
        self.targets = Targets(views, config.image_size, device, included * confidence)
        self.features = view_features(  # [T, V, h, w, 2D]
            features.to(device), config.features, config.projection, config.reference
        )
        if config.points_from == "random":
            points, colors = random_points(len(points), torch.Generator().manual_seed(seed))
        if start is None:
            gaussians = from_points(points.to(device), colors.to(device), config.color_knots)
        else:
            chosen = thinned(start, len(points), torch.Generator().manual_seed(seed))
            gaussians = from_splats(chosen.to(device), config.color_knots)
        for tensor in gaussians.tensors().values():
            tensor.requires_grad_()
        network = build_deformation(config, self.features.shape[-1])
        network.reset(self.generator, config.zero_heads)
        self.model = Model(gaussians, network.to(device))
        self.correction = None
        if needs_correction(views, config.warps, included, supports_offsets(rasterizer)):
            self.correction = ViewCorrection(T, V).to(device)
        self.objective = Objective(
            config, self.targets, positions.float().to(device), self.features, self.correction,
            perceptual, sds, rasterizer,
        )  # fmt: skip
        self.optimizer = Optimizer(self.model, self.correction, config, device)
        self.densifier = Densifier(config, len(gaussians), device)
        self.visibility = Visibility(config, self.cameras, rasterizer)
        self.running_mean: RunningMean | None = None  # in the dynamic stage
        self.graph: GraphedStep | None = None
        if device.type == "cuda" and supports_cuda_graph(rasterizer):
            self.graph = GraphedStep(self._compute, crowded)
        self.loss = torch.zeros(())  # of the last step
        self.step = 0

    @property
    def total(self) -> int:
        """Steps of the whole optimization."""
        return self.config.static_iterations + self.config.dynamic_iterations

    @property
    def dynamic(self) -> bool:
        """True when the next step belongs to the dynamic stage."""
        return self.step >= self.config.static_iterations

    @property
    def pixels(self) -> int:
        """Pixels that a step renders."""
        return 2 * self.config.times_per_step * self.targets.cameras.width**2

    def advance(self) -> None:
        """Take one step."""
        if self.dynamic:
            self.visibility.refresh(self.model.gaussians, self.step)
            self._weigh_frames()
        self.optimizer.set_rates(self.step)
        inputs = {name: tensor.to(self.device) for name, tensor in self.sample().items()}
        if self.graph is None:
            self._compute(inputs)
        else:
            collects = self.densifier.collects(self.step)
            shape = self.sds and self._sds_size, self.dynamic, self.visibility.version, collects
            self.graph(shape, inputs)
        self.step += 1
        if self.densifier.due(self.step):
            self.model.gaussians = self.densifier.densify(
                self.model.gaussians, self.optimizer.adam, self.generator
            )
            self.running_mean = None
            self.visibility.reset()
        self._update_mean()

    def _weigh_frames(self) -> None:
        """Update the sampler's weights where this dynamic step is due."""
        step = self.step - self.config.static_iterations
        if self.weighs_frames and step and step % frame_weights.INTERVAL == 0:
            lookup, power = self.visibility.lookup, self.config.hard_frames
            errors = frame_weights.front_errors(self.objective, self.model, lookup)
            self.sampler.weights = frame_weights.weights(errors, power)

    def sample(self) -> dict[str, Tensor]:
        """Random inputs of a step, on the CPU: "frames" [K], "views" [K, 2], and those of SDS."""
        step = self.step - (self.config.static_iterations if self.dynamic else 0)
        frame = None if self.dynamic else len(self.features) // 2
        inputs = sample_batch(self.sampler, step, self.config.times_per_step, frame)
        if self.sds is not None:
            inputs |= self.sds.sample(inputs["frames"], self._sds_size, self.step, self.generator)
        return inputs

    @property
    def _sds_size(self) -> int:
        """Side of the images for score distillation in this step, pixels."""
        return min(render_size(self.step), self.config.image_size)

    def _compute(self, inputs: dict[str, Tensor]) -> None:
        """The deterministic part of a step: loss, backward, optimizer update."""
        lookup = self.visibility.lookup if self.dynamic else None
        loss, shifts = self.objective.loss(self.model, inputs, lookup, self._sds_size)
        self.optimizer.minimize(loss)
        self.loss = loss.detach()
        if self.densifier.collects(self.step):
            for shift in shifts:
                self.densifier.statistics.add(shift.grad)

    @property
    def _mean_steps(self) -> int:
        """Length of the running mean: short in a short run, whose early steps lag far behind."""
        return min(self.config.averaged, self.config.dynamic_iterations // 20)

    def _update_mean(self) -> None:
        """Update the running mean where this step is due, or begin it."""
        if self._mean_steps < INTERVAL or not self.dynamic or self.step % INTERVAL:
            return
        if self.running_mean is None:
            self.running_mean = RunningMean(self.model, self._mean_steps)
        else:
            self.running_mean.update(self.model)

    @property
    def result(self) -> Model:
        """The model so far: the running mean once it has begun."""
        return self.model if self.running_mean is None else self.running_mean.model

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, but the step's number."""
        parts = {
            "statistics": self.densifier.state_dict(),
            "gaussians": self.model.gaussians.tensors(),
            "network": self.model.network.state_dict(),
            "lookup": self.visibility.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        if self.correction is not None:
            parts["view_correction"] = self.correction.state_dict()
        if self.running_mean is not None:
            parts["averages"] = self.running_mean.state_dict()
        if self.weighs_frames and self.sampler.weights is not None:
            parts["sampler"] = {"weights": torch.from_numpy(self.sampler.weights)}
        return {"generator": self.generator.get_state()} | flatten(parts)

    def load_state_dict(self, state: dict[str, Tensor], step: int) -> None:
        """Restore `state_dict` at a step.

        Raises:
            KeyError, RuntimeError: the state is of another version of this class or its parts.
        """
        self.generator.set_state(state["generator"])  # stays on the CPU
        state = {name: tensor.to(self.device) for name, tensor in state.items()}
        tensors = part(state, "gaussians.")
        for tensor in tensors.values():
            tensor.requires_grad_()
        self.model.gaussians = Gaussians(**{n: tensors[n] for n in self.model.gaussians.tensors()})
        self.model.network.load_state_dict(part(state, "network."))
        if self.correction is not None:
            self.correction.load_state_dict(part(state, "view_correction."))
        self.densifier.load_state_dict(part(state, "statistics."))
        self.visibility.load_state_dict(part(state, "lookup."))
        if "sampler.weights" in state:
            self.sampler.weights = state["sampler.weights"].cpu().numpy()
        self.optimizer.load_state_dict(part(state, "optimizer."), self.model.gaussians)
        if averages := part(state, "averages."):
            self.running_mean = RunningMean(self.model, self._mean_steps)
            self.running_mean.load_state_dict(averages)
        self.step = step

    def preview(self) -> tuple[np.ndarray, float]:
        """A preview image of the model so far, and its PSNR in dB."""
        model, lookup = self.result, None
        if self.dynamic:
            lookup = self.visibility.lookup or self.visibility.compute(model.gaussians)
        real = self.capture_to_world is not None
        return preview(self.objective, model, lookup, self.step, real)

    def asset(self) -> Asset:
        """The asset of the model so far, on the CPU."""
        model = self.result
        lookup = self.visibility.compute(model.gaussians)
        gaussians = model.gaussians
        if self.front_is_best:
            gaussians = fit_front_colors(self.objective, model, lookup)
        tensors = gaussians.tensors().items()
        return Asset(
            Gaussians(**{name: tensor.detach().clone() for name, tensor in tensors}),
            copy.deepcopy(model.network), model.network.reduced(self.features).detach().half(),
            lookup, self.objective.positions.cpu(), self.cameras, self.config,
            self.capture_to_world,
        ).to("cpu")  # fmt: skip
