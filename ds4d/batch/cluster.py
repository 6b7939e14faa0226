"""A Ray cluster, or a local Ray on this machine: what it has, and what each stage asks of it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..config import Config
from ..errors import UserError
from ..run.estimate import CPU_GB, GPU_GB, pictures_gb
from ..run.hardware import cores, gpu_name

# Reading, videos and exports need no GPU: it never waits for them.
ON_GPU = ("matting", "multiview", "features", "mesh", "fourd")
SMALL_GPU_GB = 20.0  # below, the pretrained networks need --low-memory
SPARE = 1.25  # on the memory that was measured of a stage: caches of torch, the context of CUDA
LEAST_SHARE = 0.05  # of a GPU
OBJECT_STORE_BYTES = 100_000_000  # tasks hand on files, not objects
MISSING = UserError(
    "Ray is not installed, which clusters and batches need.",
    "pip install -r requirements-cluster.txt",
)


@dataclass(frozen=True)
class Cluster:
    """The resources of the machines together."""

    cpus: int
    gpus: float
    gpu_gb: float  # memory of a GPU; all are of one kind
    node_cpus: int  # of the largest machine
    node_gb: float  # memory that the largest machine offers to tasks
    local: bool
    dashboard: str = ""  # address of Ray's dashboard; empty = there is none

    def threads(self, clips: int) -> int:
        """CPU threads of a task: one, or more where there are more cores than clips."""
        return max(1, min(self.cpus // max(clips, 1), self.node_cpus, 4))

    def resources(self, step: str, config: Config, threads: int) -> dict[str, Any]:
        """Resources of the task of a stage, as options for Ray."""
        gb = min(CPU_GB + pictures_gb(config, config.clip.frames), self.node_gb)
        asked: dict[str, Any] = {"num_cpus": threads, "memory": int(gb * 1e9)}
        if self.uses_gpu(step, config):
            asked |= {"num_gpus": self.gpu_share(step), "num_cpus": 1}
        return asked

    def uses_gpu(self, step: str, config: Config) -> bool:
        return self.gpus > 0 and config.machine.device != "cpu" and step in ON_GPU

    def gpu_share(self, step: str) -> float:
        """Share of a GPU by the memory of a stage: small ones share a large GPU."""
        share = GPU_GB[step] * SPARE / self.gpu_gb
        return 1.0 if share > 0.5 else max(round(share, 2), LEAST_SHARE)

    def machine(self, step: str, config: Config) -> dict[str, Any]:
        """Settings of the machine for a stage. Engines are chosen for the GPUs of the cluster, also
        where a stage runs on a machine without one."""
        if self.gpus == 0 or config.machine.device == "cpu":
            return {"device": "cpu"}
        low = config.machine.low_memory or self.gpu_gb < SMALL_GPU_GB
        device = "cuda" if step in ON_GPU else "cpu"
        return {"device": device, "chosen_on": "cuda", "low_memory": low}

    def clips_at_once(self, threads: int) -> int:
        """Clips in work at a time: one for every slot, and as many again on a cluster, so that
        slots never wait and an autoscaler sees what is wanted."""
        slots = int(self.cpus // threads + self.gpus / LEAST_SHARE / 4)
        return max(1, slots if self.local else 2 * slots)


@contextlib.contextmanager
def connected(address: str, dashboard: bool) -> Iterator[Cluster]:
    """A connection to a cluster, or a local Ray that ends with the block.

    Args:
        address: auto, ray://HOST:PORT or HOST:PORT; empty = a local Ray.
        dashboard: start Ray's dashboard, for a local Ray.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    if not address:  # tasks have the priority of this command; Ray's own default is 15 lower
        os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        import ray
    except ImportError as error:
        raise MISSING from error
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address.startswith("ray://"):  # tasks of other drivers search modules in its folder anyway
        quiet["runtime_env"] = {"env_vars": {"PYTHONPATH": "."}}
    try:
        if address:
            context = ray.init(address, **quiet)
        else:
            context = ray.init(
                "local", num_cpus=cores(), num_gpus=None if gpu_name() else 0,
                include_dashboard=dashboard, object_store_memory=OBJECT_STORE_BYTES, **quiet,
            )  # fmt: skip
    except Exception as error:  # Ray raises Exception itself where a process does not start in time
        ray.shutdown()
        raise UserError(
            f"Ray cannot be reached{f' at {address}' if address else ''}: {_first_line(error)}",
            "Start a cluster (docs/cluster.md), or leave out --address.",
        ) from error
    for number, handler in handlers.items():  # Ray puts its own in their place
        signal.signal(number, handler)
    try:
        url = context.dashboard_url
        yield replace(described(local=not address), dashboard=f"http://{url}" if url else "")
    finally:
        ray.shutdown()


def described(local: bool) -> Cluster:
    """The cluster that this process is connected to."""
    import ray

    total = ray.cluster_resources()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = total.get("GPU", 0.0)
    gpu_gb = 0.0
    if gpus:
        gpu_gb = ray.get(ray.remote(_gpu_gb).options(num_gpus=LEAST_SHARE).remote())
    return Cluster(
        cpus=int(total.get("CPU", 1)),
        gpus=gpus,
        gpu_gb=gpu_gb,
        node_cpus=int(max((node.get("CPU", 1.0) for node in nodes), default=1.0)),
        node_gb=max((node.get("memory", 0.0) for node in nodes), default=2e9) / 1e9,
        local=local,
    )


def _gpu_gb() -> float:
    """Memory of the GPU of this task, GB."""
    import torch

    return torch.cuda.get_device_properties(0).total_memory / 1e9


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
