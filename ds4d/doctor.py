"""What runs on this machine, and why not what does not."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

MEMORY_GB = 4.0  # what a preview needs
DISK_GB = 1.0  # a run folder, generously

ENGINES = {
    "matting": "alpha (clips that have it), classical (background model and GrabCut)",
    "multiview": "given (case folders), inflate (from the silhouette)",
    "features": "descriptors (colour, gradients, coverage)",
    "mesh": "visual_hull (carved from the seven silhouettes)",
    "perceptual loss": "structural (SSIM and gradients)",
}


def report() -> int:
    """Print what was found. Returns 0 when the main job can run here, else 1."""
    checks = [
        ("python", _python), ("device", _device), ("rasterizer", _rasterizer),
        ("video writer", _ffmpeg), ("memory", _memory), ("disk", _disk),
    ]  # fmt: skip
    fine = all([_print_check(name, check) for name, check in checks])
    print("\nEngines (embedded: no weights, no network needed)")
    for stage, engines in ENGINES.items():
        print(f"  {stage:16} {engines}: ready")
    print("  Pretrained engines are not part of this version.")
    _print_versions()
    print("\nThe main job can run here." if fine else "\nThe main job cannot run here: see above.")
    return 0 if fine else 1


def _print_check(name: str, check: Callable[[], tuple[bool, str]]) -> bool:
    try:
        fine, words = check()
    except Exception as error:  # whatever is broken here is the answer, not a crash
        fine, words = False, f"{type(error).__name__}: {error}"
    print(f"{'ok ' if fine else 'NO '} {name:14} {words}")
    return fine


def _print_versions() -> None:
    from .pipeline import versions

    print("\nVersions")
    for name, version in versions().items():
        print(f"  {name:24} {version}")


def _python() -> tuple[bool, str]:
    return True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _device() -> tuple[bool, str]:
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        return True, f"{name} is there, but this version computes on the CPU"
    return True, f"CPU, {torch.get_num_threads()} threads (no GPU found)"


def _rasterizer() -> tuple[bool, str]:
    """Draw one Gaussian and look whether it is there; the first time compiles the kernels."""
    import torch

    from .cameras import orbit_cameras
    from .splat.splats import Splats, render

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
