"""Check of this machine: device, engines and their weights, versions, memory and disk."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .config import MachineConfig
from .errors import UserError
from .format import file_size
from .presets import PRESETS

if TYPE_CHECKING:
    from .weights import Found

MEMORY_GB = 4.0  # needed by a preview
DISK_GB = 1.0  # a run folder, generously

EMBEDDED = {
    "matting": "alpha (clips that have it), classical (background model and graph cut)",
    "interpolate": "flow (optical flow)",
    "animate": "puppet (warps of a picture's cut-out)",
    "multiview": "given (case folders), inflate (a shape prior that is part of the program)",
    "features": "descriptors (colour, gradients, coverage)",
    "mesh": "given (a file of yours), inflated (with the views), visual_hull (carved from them)",
    "perceptual loss": "structural (SSIM and gradients)",
}

OPTIONAL = {  # package: its use
    "diff_gaussian_rasterization": "rasterizer of --rasterizer diff_gaussian",
    "simple_knn": "nearest neighbours of points on a GPU",
}


@dataclass(frozen=True)
class Pretrained:
    """An engine that needs weights."""

    stage: str
    name: str
    weights: tuple[str, ...]  # names in the catalogue
    package: str  # required beside torch
    gpu_gb: float  # GPU memory that it needs
    cpu_takes: tuple[str, ...] = ("folder",)  # as `engines.usable` takes it
    extras: tuple[str, ...] = ()  # in the catalogue; read if they are on this machine
    note: str = ""  # what else a person should know
    on_demand: bool = False  # runs only when asked for: --download leaves its weights out


def pretrained(low_memory: bool = False) -> list[Pretrained]:
    """The pretrained engines, with the weights that the settings choose by default."""
    from . import animate, features, guidance, interpolation, matting, mesh, multiview
    from .animate import imagine
    from .evaluation import papers
    from .matting import sam2

    config = PRESETS["paper"]
    clip_gb = animate.LOW_GB if low_memory else animate.GPU_GB
    views_gb = multiview.ZERO123PLUS_LOW_GB if low_memory else multiview.ZERO123PLUS_GB
    l4gm_gb = multiview.L4GM_LOW_GB if low_memory else multiview.L4GM_GB
    return [
        Pretrained("matting", "rembg", (f"rembg-{config.matting.model}",), "onnxruntime",
                   matting.REMBG_GPU_GB, matting.REMBG_ON_CPU),
        Pretrained("matting", "sam2", (sam2.WEIGHTS,), "transformers", sam2.GPU_GB, on_demand=True,
                   note="only by --matting.engine sam2; never run with these weights here"),
        Pretrained("multiview", "zero123plus", (f"zero123plus-{config.multiview.version}",),
                   "diffusers", views_gb),
        Pretrained("multiview", "relief", ("moge-2-vits",), "onnxruntime", multiview.RELIEF_GB,
                   multiview.RELIEF_ON_CPU),
        Pretrained("multiview", "l4gm", ("l4gm-recon",), "torch", l4gm_gb,
                   extras=("l4gm-interp",), on_demand=True,
                   note="only by --multiview.engine l4gm; never run with these weights here"),
        Pretrained("features", "dinov2", (f"dinov2-{config.features.model}",), "transformers",
                   features.DINOV2_GB),
        Pretrained("mesh", "instantmesh", (f"instantmesh-{config.mesh.model}",), "skimage",
                   mesh.INSTANTMESH_GB, extras=("dino-vitb16",)),
        Pretrained("guidance", "zero123 (SDS)", (config.fourd.sds_model,), "diffusers",
                   guidance.SDS_GB),
        Pretrained("perceptual loss", "lpips", (guidance.LPIPS,), "lpips", guidance.LPIPS_GB),
        *(Pretrained("animate", name, (weights,), "diffusers", clip_gb[name], on_demand=True)
          for name, weights in animate.WEIGHTS.items()),
        Pretrained("interpolate", "rife", (interpolation.RIFE,), "torch",
                   interpolation.RIFE_GPU_GB, interpolation.RIFE_ON_CPU, on_demand=True),
        *(Pretrained("evaluate", name, (name,), "transformers", 0.0, on_demand=True)
          for name in dict.fromkeys(papers.WEIGHTS.values()) if name != guidance.LPIPS),
        *(Pretrained("imagine", name, (weights,), "diffusers", imagine.GPU_GB, on_demand=True)
          for name, weights in imagine.WEIGHTS.items()),
    ]  # fmt: skip


def report(machine: MachineConfig, download: bool = False) -> int:
    """Print the results of all checks; with `download`, fetch all weights first.

    Returns:
        0 if a run is possible and all requested weights were fetched, else 1.

    Raises:
        UserError: the disk has no room for the weights, or the requested device does not exist.
    """
    fetched = _fetch_all(machine) if download else True
    importable = _print_check("program", _program)
    checks = [
        ("python", _python), ("device", partial(_device, machine.device)),
        ("rasterizer", partial(_rasterizer, machine)), ("video writer", _ffmpeg),
        ("memory", _memory), ("disk", _disk),
    ]  # fmt: skip
    fine = all([importable, *(_print_check(name, check) for name, check in checks)])
    if importable:
        print("\nEmbedded engines (no weights, no network needed)")
        for stage, engines in EMBEDDED.items():
            print(f"ok  {stage:16} {engines}")
        print("\nPretrained engines")
        if machine.commercial:
            print("    (DS4D_COMMERCIAL: only those whose weights allow commercial use)")
        _print_pretrained(machine)
        print("\nOptional packages (nothing needs them; not for commercial use)")
        for name, use in OPTIONAL.items():
            state = "not installed" if importlib.util.find_spec(name) is None else "installed"
            print(f"    {name:28} {state}: {use}")
        _print_versions()
    print("\nThe main job can run here." if fine else "\nThe main job cannot run here: see above.")
    if not fetched:
        print("Not all weights could be fetched: see the top.")
    return 0 if fine and fetched else 1


def _print_check(name: str, check: Callable[[], tuple[bool, str]]) -> bool:
    try:
        fine, message = check()
    except UserError:
        raise
    except Exception as error:  # a broken installation is a result
        fine, message = False, f"{type(error).__name__}: {error}"
    print(f"{'ok ' if fine else 'NO '} {name:14} {message}")
    return fine


def _print_pretrained(machine: MachineConfig) -> None:
    """Print whether the weights and package of each engine are here, and whether "auto" uses it."""
    from .run.engines import not_commercial, usable

    engines = pretrained(machine.low_memory)
    found = _find_all([name for engine in engines for name in engine.weights], machine)
    for engine in engines:
        fine, message = _readiness(engine, found)
        print(f"{'ok ' if fine else 'NO '} {engine.stage:16} {engine.name:14} {message}")
        if engine.note:
            print(f"    {'':16} {'':14} {engine.note}")
        if forbidden := not_commercial(engine.weights, machine):
            print(f"    {'':16} {'':14} not used: not for commercial use, {forbidden[1]}")
            continue
        if fine and not engine.on_demand:
            taken, why = usable(
                engine.weights, machine, gpu_gb=engine.gpu_gb, cpu_takes=engine.cpu_takes
            )
            if not taken:
                print(f"    {'':16} {'':14} auto does not use it: {why}")
            elif engine.package == "onnxruntime" and _without_cuda(machine):
                message = "on the CPU: this onnxruntime has no CUDA; onnxruntime-gpu does"
                print(f"    {'':16} {'':14} {message}")


def _without_cuda(machine: MachineConfig) -> bool:
    """True on a GPU whose onnxruntime is built for the CPU alone."""
    import onnxruntime

    from .run.device import pick

    built = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    return pick(machine.device).type == "cuda" and not built


def _readiness(engine: Pretrained, found: dict[str, Found]) -> tuple[bool, str]:
    from .weights import CATALOGUE

    if importlib.util.find_spec(engine.package) is None:
        return False, f"{engine.package} is not installed: pip install -r requirements.txt"
    for name in engine.weights:
        if found[name].where == "missing":
            return False, f"{name}: {found[name].message}"
    away = [name for name in engine.weights if found[name].where == "hub"]
    if away:
        total = file_size(sum(CATALOGUE[name].bytes for name in away))
        return True, f"ready after a download of {total}, at first use or by --download"
    return True, f"ready, {found[engine.weights[0]].message}"


def _find_all(names: list[str], machine: MachineConfig) -> dict[str, Found]:
    """Find weights in parallel, so that timeouts of unreachable hosts do not add up."""
    from .weights import find

    with ThreadPoolExecutor(len(names)) as pool:
        found = pool.map(lambda name: find(name, machine.weights), names)
        return dict(zip(names, found, strict=True))


def _fetch_all(machine: MachineConfig) -> bool:
    """Print names, sizes and licences of the weights, then fetch those that are not here."""
    from .run.engines import not_commercial
    from .weights import CATALOGUE, fetch

    engines = [engine for engine in pretrained()
               if not engine.on_demand and not not_commercial(engine.weights, machine)]  # fmt: skip
    names = [name for engine in engines for name in (*engine.weights, *engine.extras)]
    found = _find_all(names, machine)
    states = {"folder": "here", "cache": "here", "hub": "to download", "missing": "missing"}
    print("Weights of the pretrained engines")
    for name in names:
        weights, state = CATALOGUE[name], states[found[name].where]
        print(f"{file_size(weights.bytes):>9}  {state:12} {name}: {weights.use}")
        print(f"{'':9}  {'':12} licence: {weights.licence}")
    _check_room([name for name in names if found[name].where == "hub"])
    complete = True
    for name in names:
        try:
            print(f"ok  {name}: {fetch(name, machine.weights)}", flush=True)
        except UserError as error:
            print(f"NO  {error.sentence}", flush=True)
            complete = False
    print()
    return complete


def _check_room(names: list[str]) -> None:
    """Compare the download sizes with the free space of each disk."""
    from .weights import CATALOGUE
    from .weights.find import cache_folders

    needed: dict[int, int] = {}
    places: dict[int, Path] = {}
    for name in names:
        place = cache_folders(CATALOGUE[name])[0]
        place = next(folder for folder in (place, *place.parents) if folder.exists())
        disk = place.stat().st_dev
        places.setdefault(disk, place)
        needed[disk] = needed.get(disk, 0) + CATALOGUE[name].bytes
    for disk, bytes in needed.items():
        free = shutil.disk_usage(places[disk]).free
        space = f"{file_size(bytes)} to download, {file_size(free)} free at {places[disk]}"
        print(f"{space}\n", flush=True)
        if free < bytes:
            raise UserError(
                f"The disk has no room for the weights: {space}.",
                "Make room, or set HF_HOME, U2NET_HOME and TORCH_HOME to folders on another disk.",
            )


def _print_versions() -> None:
    from .run.recorder import versions

    print("\nVersions")
    for name, version in versions().items():
        print(f"  {name:24} {version}")


def _program() -> tuple[bool, str]:
    """Import everything that a run needs."""
    from . import __version__, pipeline  # noqa: F401
    from .run import recorder

    return True, f"DS4D {__version__}, {len(recorder.versions())} libraries"


def _python() -> tuple[bool, str]:
    return True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _device(asked: str) -> tuple[bool, str]:
    """The device, and whether the pretrained engines fit it."""
    import torch

    from .run.device import is_small, pick

    device = pick(asked)
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        fit = "only with --low-memory" if is_small(device) else "all"
        memory = f"{facts.total_memory / 1e9:.0f} GB"
        return True, f"{facts.name}, {memory}: the pretrained engines fit {fit}"
    description = f"CPU, {torch.get_num_threads()} threads"
    if asked == "cpu":
        return True, description
    if shutil.which("nvidia-smi"):
        return True, f"{description}; torch {torch.__version__} cannot use the GPU that is here"
    return True, f"{description}; with a GPU of 16 GB the pretrained engines would run"


def _rasterizer(machine: MachineConfig) -> tuple[bool, str]:
    """Render one Gaussian and check the result; the first time compiles the kernels."""
    import torch

    from .cameras import orbit_cameras
    from .run.device import pick
    from .splatting.rasterize import check
    from .splatting.splats import Splats, render

    check(machine.rasterizer, pick(machine.device))
    started = time.perf_counter()
    quats = torch.tensor([[1.0, 0, 0, 0]])
    one = Splats(torch.zeros(1, 3), quats, torch.full((1, 3), 0.1), torch.ones(1), torch.ones(1, 3))
    _, alpha, _ = render(one, orbit_cameras([0.0], size=32))
    fine = bool(alpha[0, 16, 16] > 0.9) and bool(alpha[0, 0, 0] == 0)
    return fine, f"CPU kernels (numba), ready in {time.perf_counter() - started:.1f} s"


def _ffmpeg() -> tuple[bool, str]:
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    found = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True)
    return "libx264" in found.stdout, f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()} with libx264"


def _memory() -> tuple[bool, str]:
    import psutil

    free = psutil.virtual_memory().available / 1e9
    return free >= MEMORY_GB, f"{free:.1f} GB free, a preview needs {MEMORY_GB:.0f}"


def _disk() -> tuple[bool, str]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return free >= DISK_GB, f"{free:.1f} GB free here, a run needs up to {DISK_GB:.0f}"
