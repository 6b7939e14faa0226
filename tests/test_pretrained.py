"""The whole chain with every pretrained engine, on tiny random weights in the published layouts.

What it makes is noise; that it is made, told, stopped and resumed is what counts.
"""

from __future__ import annotations

import gc
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ds4d import pipeline
from ds4d.cli import INTERRUPTED, main
from ds4d.config import ClipConfig, Config, MachineConfig
from ds4d.run.workspace import Workspace
from tests.fakes import everything

ROOT = Path(__file__).resolve().parents[1]
FRAMES = 4
ENGINES = {
    "matting": "rembg",
    "multiview": "zero123plus",
    "features": "dinov2",
    "mesh": "instantmesh",
}
SMALL = [
    "--clip.frames", str(FRAMES), "--clip.size", "64", "--multiview.steps", "2",
    "--mesh.resolution", "32", "--fourd.points", "300", "--fourd.max-gaussians", "400",
    "--fourd.image-size", "32", "--fourd.static-iterations", "4",
    "--fourd.dynamic-iterations", "12", "--fourd.plane-size", "8", "--fourd.plane-width", "16",
    "--fourd.sds", "1e-4", "--videos.size", "64", "--videos.seconds", "0.25", "--device", "cpu",
    "--export.triangles", "2000", "--export.texture", "64", "--export.bones", "2",
]  # fmt: skip
LPIPS = ["--fourd.perceptual-loss", "lpips"]  # "auto" spares a CPU its cost


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> Path:
    return everything.make(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def dark_clip(tmp_path_factory) -> Path:
    """A dark ball that rises before a white wall: what the tiny matting network can see."""
    y, x = np.mgrid[:96, :96]
    frames = np.full((FRAMES, 96, 96, 3), 245, np.uint8)
    for index, frame in enumerate(frames):
        frame[(x - 48) ** 2 + (y - 60 + 6 * index) ** 2 < 20**2] = (60, 30, 20)
    path = tmp_path_factory.mktemp("clips") / "ball.mp4"
    iio.imwrite(path, np.repeat(frames, 3, 0), fps=12, codec="libx264", plugin="FFMPEG")
    return path


@pytest.fixture(scope="session")
def run(tiny_weights, dark_clip, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "noise"
    weights = ["--weights", str(tiny_weights), *LPIPS]
    assert main(["generate", str(dark_clip), "--out", str(folder), *weights, *SMALL]) == 0
    return folder


@pytest.mark.slow
def test_weights_that_one_gives_are_used_and_named(run):
    record = json.loads((run / "run.json").read_text())
    stages = record["stages"]
    assert {name: stages[name]["engine"] for name in ENGINES} == ENGINES
    assert stages["fourd"]["perceptual_loss"].startswith("lpips")
    assert stages["fourd"]["sds"].startswith("zero123-xl")
    assert stages["features"]["shape"][:4] == [FRAMES, 7, 37, 37]
    assert (run / "exports/ds4d.zip").stat().st_size > 0


@pytest.mark.slow
def test_the_same_command_does_nothing_again(run, tiny_weights, dark_clip, capsys):
    weights = ["--weights", str(tiny_weights), *LPIPS]
    assert main(["generate", str(dark_clip), "--out", str(run), *weights, *SMALL]) == 0
    assert capsys.readouterr().err.count("done before") == 8


@pytest.mark.slow
def test_no_network_is_left_in_memory(run, tiny_weights, dark_clip):
    gc.collect()
    held = {
        type(thing).__name__
        for thing in gc.get_objects()
        if isinstance(thing, torch.nn.Module)
        and next(thing.parameters(), None) is not None
        and type(thing).__module__.startswith(("diffusers", "transformers", "lpips", "ds4d.mesh"))
    }
    assert not held


@pytest.mark.slow
def test_other_weights_make_other_things(run, tiny_weights, dark_clip, tmp_path):
    """The embedded engines of a second run take nothing over from the pretrained ones."""
    folder = tmp_path / "again"
    shutil.copytree(run, folder)
    assert main(["generate", str(dark_clip), "--out", str(folder), *SMALL]) == 0
    stages = json.loads((folder / "run.json").read_text())["stages"]
    assert stages["multiview"]["engine"] == "inflate"
    assert stages["fourd"]["perceptual_loss"].startswith("structural")
    assert stages["fourd"]["sds"].startswith("off")


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_the_stage_it_was_in(tiny_weights, dark_clip, tmp_path):
    command = [
        sys.executable, "-m", "ds4d", "generate", str(dark_clip), "--out", str(tmp_path / "run"),
        "--weights", str(tiny_weights), *LPIPS, *SMALL,
    ]  # fmt: skip
    listening = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    log = open(tmp_path / "log", "w")
    process = subprocess.Popen(command, cwd=ROOT, stderr=log, **listening)
    record = tmp_path / "run/run.json"
    while process.poll() is None:
        if record.exists() and "matting" in json.loads(record.read_text())["stages"]:
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.05)
    # Python kills itself with SIGINT if Ctrl-C came amidst an exec(), as of a dataclass that is
    # imported: a shell shows 130 for that as well.
    stopped = process.wait(timeout=300) in (INTERRUPTED, -signal.SIGINT)
    assert stopped and "Stopped." in (tmp_path / "log").read_text(), (tmp_path / "log").read_text()
    done = json.loads(record.read_text())["stages"]
    assert "matting" in done and "videos" not in done
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0 and "done before" in finished.stderr


L4GM = ["--multiview.engine", "l4gm", "--fourd.start", "gaussians", "--clip.frames", "2"]


@pytest.mark.slow
def test_l4gm_runs_from_the_mesh_of_one_frame_to_the_exports(tiny_weights, dark_clip, tmp_path):
    command = ["generate", str(dark_clip), "--out", str(tmp_path / "run"), *SMALL, *L4GM]
    command += ["--weights", str(tiny_weights), "--fourd.sds", "0"]
    assert main(command) == 0
    record = json.loads((tmp_path / "run/run.json").read_text())["stages"]
    weights = ["l4gm-recon", "zero123plus-v1.2", "instantmesh-large"]
    assert record["multiview"]["engine"] == "l4gm" and record["multiview"]["weights"] == weights
    rows = json.loads((tmp_path / "run/previews/multiview.json").read_text())
    scores = {name for row in rows for name in row}
    assert scores >= {"sides_psnr", "sides_iou", "front_psnr", "front_iou"}
    assert (tmp_path / "run/multiview/gaussians.npz").exists()
    assert (tmp_path / "run/exports/ds4d.zip").stat().st_size > 0
    assert main([*command, "--commercial"]) == 1  # refused, and nothing of the run is lost
    assert main(command) == 0
    again = json.loads((tmp_path / "run/run.json").read_text())["stages"]
    assert again["multiview"]["key"] == record["multiview"]["key"]


def test_a_start_from_gaussians_needs_views_that_were_rendered_from_them(dark_clip, tmp_path):
    asked = [*SMALL, "--matting.engine", "classical", "--fourd.start", "gaussians"]
    asked += ["--fourd.sds", "0", "--features.engine", "descriptors"]
    assert main(["generate", str(dark_clip), "--out", str(tmp_path / "run"), *asked]) == 1
    assert "fourd" not in json.loads((tmp_path / "run/run.json").read_text())["stages"]


def test_an_engine_asked_for_by_name_is_that_engine_or_an_error(dark_clip, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    asked = [*SMALL, "--matting.engine", "classical", "--multiview.engine", "zero123plus"]
    code = main(["generate", str(dark_clip), "--out", str(tmp_path / "run"), *asked])
    assert code == 1
    stages = json.loads((tmp_path / "run/run.json").read_text())["stages"]
    assert "matting" in stages and "multiview" not in stages


@pytest.mark.slow
def test_closing_the_generator_ends_the_work_at_once(tiny_weights, dark_clip, tmp_path):
    machine = MachineConfig(device="cpu", weights=str(tiny_weights))
    config = Config(clip=ClipConfig(frames=FRAMES), machine=machine)
    events = pipeline.generate(dark_clip, Workspace(tmp_path / "run"), config)
    for event in events:
        if event.stage == "multiview" and event.step:
            break
    events.close()
    assert not list((tmp_path / "run").rglob("*.partial-*"))
    assert "multiview" not in Workspace(tmp_path / "run").record["stages"]
