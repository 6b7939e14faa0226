"""Train the shape prior on a folder of open 3D objects.

    python -m training.shape_prior.train --assets ASSETS --out RUN --budget 1140 --piece 560
    torchrun --nproc-per-node gpu -m training.shape_prior.train --assets ASSETS --out RUN

The second line trains on all GPUs of the machine: every process has its own figures and batches.
One piece of the training at a time: a piece ends after its seconds and leaves RUN/checkpoint.pt,
from which the next call goes on; the learning rate falls over the whole budget. The averaged
weights are in RUN/shape_prior.safetensors.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ds4d.multiview.shape_prior.network import STEEPEST, ShapePrior, Sizes, parameters
from ds4d.multiview.shape_prior.weights import load_weights, save_weights

from .assets import Asset, read_folder, split
from .losses import losses, total
from .procedural import figures
from .views import PointClouds, render_clips

GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples modulo 1 are spread evenly
FISH = (
    "fish", "shark", "tetra", "betta", "tang", "idol", "piranha", "tuna", "puffer", "snapper",
    "grouper", "humphead", "gramma", "whale", "dolphin",
)  # fmt: skip
SHARES = {
    "animal": 0.25, "fish": 0.04, "human": 0.22, "creature": 0.12, "figure": 0.25, "other": 0.12,
}  # fmt: skip
ANIMATED = 5.0  # chance of an animated object over that of one at rest
CLOCK = 10  # steps between looks at the clock


@dataclass(frozen=True)
class Training:
    """Settings of one training."""

    assets: Path  # folder with objects_*.npz and clips_*.npz
    out: Path  # folder of checkpoints and logs
    budget: float = 1140.0  # seconds of the whole training
    piece: float = 560.0  # seconds of this call
    clips: int = 30  # in a batch of each process
    frames: int = 6  # of each clip
    single: float = 0.15  # share of the steps on single frames
    points: int = 131_072  # on each object
    figures: int = 2000  # made by a program, for each process
    learning_rate: float = 1e-3
    warmup: int = 400  # steps
    weight_decay: float = 0.05
    average: float = 0.999  # decay of the averaged weights, per step
    slant_noise: float = 0.1  # radians: deviation of the slants that condition the decoder
    own_slants: float = 0.35  # share of the clips whose decoder gets the network's own slants
    seed: int = 0
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    save_every: float = 120.0  # seconds
    start: Path | None = None  # weights to start from instead of random ones
    limit: int | None = None  # train on the first few objects (to try things out)
    sizes: Sizes = field(default_factory=Sizes)


def main(settings: Training) -> None:
    """One piece of a training."""
    begun = time.monotonic()
    rank = join(settings.device)
    settings.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    assets, _ = split(read_folder(settings.assets))
    assets = assets[: settings.limit] + figures(settings.figures, settings.seed + rank)
    chances = torch.tensor(shares(assets), device=settings.device)
    clouds = PointClouds(assets, settings.points, settings.device)
    state = State(settings, rank)
    ready = agreed(time.monotonic() - begun, settings.device)
    state.say(
        f"{len(assets)} objects, {parameters(state.network) / 1e6:.2f} M weights, ready after "
        f"{ready:.0f} s; {state.seconds:.0f} s trained before"
    )
    state.train(clouds, chances, min(settings.budget, state.seconds + settings.piece - ready))
    state.save()
    state.export()
    if dist.is_initialized():
        dist.destroy_process_group()


def join(device: str) -> int:
    """Rank of this process among those that torchrun started; 0 where it is the only one."""
    if "RANK" not in os.environ:
        return 0
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return dist.get_rank()


def agreed(seconds: float, device: str) -> float:
    """The first process's clock: the learning rate and the end have to be the same in all."""
    clock = torch.tensor(seconds, device=device, dtype=torch.float64)
    if dist.is_initialized():
        dist.broadcast(clock, 0)
    return float(clock)


def shares(assets: list[Asset]) -> list[float]:
    """Chance of each object: its group's share, evenly but for animated ones."""
    groups = [group(asset) for asset in assets]
    weights = [ANIMATED if asset.clips else 1.0 for asset in assets]
    sums = {
        name: sum(w for w, g in zip(weights, groups, strict=True) if g == name) for name in SHARES
    }
    return [SHARES[g] * w / sums[g] for w, g in zip(weights, groups, strict=True)]


def group(asset: Asset) -> str:
    """Group of SHARES that an object belongs to."""
    if asset.category == "figure":
        return "figure"
    if asset.category == "animal" and any(word in asset.name for word in FISH):
        return "fish"
    if asset.category == "animal" and not asset.clips:
        return "other"  # fishing rods and boxes: the categories come from names
    if asset.category == "robot":
        return "creature"
    return asset.category if asset.category in SHARES else "other"


class State:
    """A training in progress."""

    def __init__(self, settings: Training, rank: int = 0):
        self.settings, self.rank = settings, rank
        torch.manual_seed(settings.seed)
        self.network = ShapePrior(settings.sizes).to(
            settings.device, memory_format=torch.channels_last
        )
        if settings.start:
            self.network.load_state_dict(load_weights(settings.start)[0], strict=False)
        self.average = {name: value.clone() for name, value in _floats(self.network).items()}
        self.optimizer = torch.optim.AdamW(
            _decayed(self.network, settings.weight_decay), settings.learning_rate, (0.9, 0.98)
        )
        self.step, self.seconds = 0, 0.0
        self.checkpoint = settings.out / "checkpoint.pt"
        if self.checkpoint.exists():
            self._load()
        self.model = (
            DistributedDataParallel(self.network) if dist.is_initialized() else self.network
        )
        seed = 1_000_003 * self.step + 1009 * rank + settings.seed
        self.rng = torch.Generator(settings.device).manual_seed(seed)

    def train(self, clouds: PointClouds, chances: Tensor, ends: float) -> None:
        """Steps until `ends` seconds of training."""
        settings, begun, before = self.settings, time.monotonic(), self.seconds
        saved = shown = self.seconds
        sums: dict[str, Tensor] = {}
        count = 0
        while self.seconds < ends:
            for _ in range(CLOCK):
                terms = self._step(clouds, chances)
                sums = {name: sums.get(name, 0) + value.detach() for name, value in terms.items()}
                count += 1
            self.seconds = before + agreed(time.monotonic() - begun, settings.device)
            if self.seconds - shown > 20 or self.seconds >= ends:
                means = {name: round(float(value) / count, 5) for name, value in sums.items()}
                pace = round((self.seconds - shown) / count, 4)
                about = {"step": self.step, "seconds": round(self.seconds), "pace": pace}
                self.say(json.dumps(about | means))
                shown, sums, count = self.seconds, {}, 0
            if self.seconds - saved > settings.save_every:
                self.save()
                saved = self.seconds

    def say(self, line: str) -> None:
        """Print a line of the first process and keep it in its log."""
        if self.rank == 0:
            print(line, flush=True)
            with (self.settings.out / "log.txt").open("a") as log:
                print(line, file=log)

    def _step(self, clouds: PointClouds, chances: Tensor) -> dict[str, Tensor]:
        settings = self.settings
        alone = self.step * GOLDEN % 1 < settings.single
        frames = 1 if alone else settings.frames
        number = settings.clips * settings.frames // frames
        objects = torch.multinomial(chances, number, replacement=True, generator=self.rng)
        with torch.no_grad():
            clips = render_clips(clouds, objects, frames, settings.sizes.pixels, self.rng)
            off = torch.randn(clips.slants.shape, device=chances.device, generator=self.rng)
            conditions = (clips.slants + settings.slant_noise * off).clamp(-STEEPEST, STEEPEST)
            own = torch.rand(number, device=chances.device, generator=self.rng)
        cuda = settings.device == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if cuda else nullcontext():
            surfaces, encoded = self.model(clips.images, conditions, own < settings.own_slants)
        terms = losses(surfaces, encoded, clips, self.rng)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        total(terms).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(settings.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.values()), list(_floats(self.network).values()), 1 - decay
            )
        return terms

    def _learning_rate(self) -> float:
        progress = min(1.0, self.seconds / self.settings.budget)
        warm = min(1.0, (self.step + 1) / self.settings.warmup)
        return (
            self.settings.learning_rate
            * warm
            * (0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2)
        )

    def save(self) -> None:
        """Write the checkpoint, aside first; one process does."""
        if self.rank:
            return
        aside = self.checkpoint.with_suffix(".part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average,
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
            },
            aside,
        )
        os.replace(aside, self.checkpoint)

    def export(self) -> None:
        """Write the averaged weights as they are shipped; one process does."""
        if self.rank:
            return
        about = {"sizes": json.dumps(asdict(self.settings.sizes)), "steps": str(self.step)}
        save_weights(self.settings.out / "shape_prior.safetensors", self.average, about)

    def _load(self) -> None:
        stored = torch.load(self.checkpoint, map_location=self.settings.device, weights_only=True)
        self.network.load_state_dict(stored["network"])
        self.average = stored["average"]
        self.optimizer.load_state_dict(stored["optimizer"])
        self.step, self.seconds = stored["step"], stored["seconds"]


def _floats(network: torch.nn.Module) -> dict[str, Tensor]:
    """Weights and running statistics."""
    return {name: v for name, v in network.state_dict().items() if v.is_floating_point()}


def _decayed(network: torch.nn.Module, decay: float) -> list[dict]:
    """Parameter groups: matrices and kernels decay, vectors do not."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Training))
