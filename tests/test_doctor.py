"""The doctor: its report on engines and weights, and downloads."""

import collections
import dataclasses
import hashlib
import importlib.util
import types

import onnxruntime
import pytest
from huggingface_hub import constants

from ds4d import doctor
from ds4d.cli import main
from ds4d.format import file_size
from ds4d.weights import CATALOGUE, find
from tests.fakes.hub import FakeHub, content_of, empty_machine, hub  # noqa: F401

NAMES = [name for engine in doctor.pretrained() for name in (*engine.weights, *engine.extras)]
FETCHED = [name for engine in doctor.pretrained() if not engine.on_demand
           for name in (*engine.weights, *engine.extras)]  # fmt: skip
TOTAL = file_size(sum(CATALOGUE[name].bytes for name in FETCHED))
ENGINES = [engine.name for engine in doctor.pretrained()]


RASTERIZER = doctor._rasterizer


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without the checks that compile or start programs."""
    monkeypatch.setattr(doctor, "_rasterizer", lambda machine: (True, "not checked"))
    monkeypatch.setattr(doctor, "_memory", lambda: (True, "not checked"))


@pytest.fixture
def full_hub(hub, monkeypatch) -> FakeHub:  # noqa: F811
    """Everything can be downloaded from the server of this machine."""
    for name in NAMES:
        weights = CATALOGUE[name]
        if not weights.url:
            hub.add(name)
            continue
        content = content_of(weights.files[0])
        hub.files[f"/{weights.files[0]}"] = content
        elsewhere = dataclasses.replace(
            weights,
            url=f"{hub.url}/{weights.files[0]}",
            checksum=f"sha256:{hashlib.sha256(content).hexdigest()}",
        )
        monkeypatch.setitem(CATALOGUE, name, elsewhere)
    return hub


def lines(printed: str) -> dict[str, str]:
    """The line of each pretrained engine, by its name."""
    part = printed.split("Pretrained engines\n")[1].split("\n\n")[0].splitlines()
    return {name: next(line for line in part if f" {name} " in line) for name in ENGINES}


def lines_below(printed: str, name: str) -> str:
    """The first line below that of a pretrained engine."""
    return printed.split(lines(printed)[name])[1].splitlines()[1]


def test_every_engine_is_in_the_table_once():
    assert len(NAMES) == len(set(NAMES)) and set(NAMES) <= set(CATALOGUE)
    stages = [engine.stage for engine in doctor.pretrained()]
    assert set(stages) >= {"matting", "multiview", "features", "mesh"}


def test_with_nothing_each_engine_says_why_and_the_main_job_still_runs(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for name, line in lines(printed).items():
        assert line.startswith("NO ") and "not on this machine, and" in line, name
        assert "cannot be reached" in line
    assert "The main job can run here." in printed


def test_offline_by_wish_is_the_reason(capsys, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    main(["doctor"])
    assert all("HF_HUB_OFFLINE is set" in line for line in lines(capsys.readouterr().out).values())


def test_a_folder_that_holds_the_weights_makes_engines_ready(capsys, tmp_path):
    for name in NAMES:
        weights = CATALOGUE[name]
        for file in weights.files:
            path = tmp_path / weights.repo / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content_of(file))
    broken = tmp_path / "facebook/dinov2-base/model.safetensors"
    broken.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    (tmp_path / "TencentARC/InstantMesh/instant_nerf_large.ckpt").unlink()
    assert main(["doctor", "--weights", str(tmp_path), "--device", "cpu"]) == 0
    lines_by_name = lines(capsys.readouterr().out)
    assert f"{broken} is a Git LFS pointer" in lines_by_name.pop("dinov2")
    assert "instant_nerf_large.ckpt is missing in" in lines_by_name.pop("instantmesh")
    for name, line in lines_by_name.items():
        assert line.startswith("ok ") and f"ready, in {tmp_path}" in line, name


def test_what_can_be_downloaded_says_how_much_and_that_a_cpu_leaves_it_out(full_hub, capsys):
    assert main(["doctor", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "ready after a download of 5.58 GB" in lines(printed)["zero123plus"]
    assert "auto does not use it: no GPU is here" in printed


def test_a_library_that_is_not_installed_is_named(full_hub, capsys, monkeypatch):
    real = importlib.util.find_spec
    hidden = lambda name, *rest: None if name == "diffusers" else real(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    main(["doctor"])
    assert "diffusers is not installed" in lines(capsys.readouterr().out)["zero123plus"]


def test_download_says_sizes_and_licences_before_it_fetches_anything(full_hub, capsys):
    assert main(["doctor", "--download"]) == 0
    printed = capsys.readouterr().out
    first = printed.index("ok  ")
    for name in FETCHED:
        weights = CATALOGUE[name]
        assert 0 < printed.index(weights.licence) < first
        assert 0 < printed.index(f"{name}: {weights.use}") < first
        assert find(name).where == "cache"
    assert f"{TOTAL} to download, " in printed[:first] and " free at " in printed[:first]
    for engine in doctor.pretrained():
        state = "ready after a download" if engine.on_demand else "ready, in"
        assert state in lines(printed)[engine.name]


def test_what_is_here_is_not_fetched_again(full_hub, capsys):
    main(["doctor", "--download"])
    capsys.readouterr()
    full_hub.requests.clear()
    assert main(["doctor", "--download"]) == 0
    assert not full_hub.requests and "to download" not in capsys.readouterr().out


def test_one_that_cannot_be_fetched_is_reported_and_the_others_come(full_hub, capsys):
    full_hub.status["sudo-ai/zero123plus-v1.2"] = 401
    assert main(["doctor", "--download"]) == 1
    printed = capsys.readouterr().out
    assert "NO  The weights zero123plus-v1.2 are not to be had" in printed
    assert "set HF_TOKEN" in printed and "Not all weights could be fetched" in printed
    assert all(find(name).where == "cache" for name in FETCHED if name != "zero123plus-v1.2")


def test_offline_download_fails_in_a_sentence_for_each(capsys):
    assert main(["doctor", "--download"]) == 1
    assert capsys.readouterr().out.count("NO  The weights ") == len(FETCHED)


def test_a_full_disk_is_reported_before_anything_is_fetched(full_hub, capsys, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 10, 3_000_000_000))
    assert main(["doctor", "--download"]) == 1
    assert f"no room for the weights: {TOTAL} to download, 3.00 GB free" in capsys.readouterr().err
    assert not [path for _, path, _ in full_hub.requests if "/resolve/" in path]


def test_a_broken_library_is_the_answer_and_not_a_crash(capsys, monkeypatch):
    def broken():
        raise ImportError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(doctor, "_program", broken)
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "NO  program        ImportError: libcudart" in printed and "cannot run here" in printed


@pytest.mark.parametrize("gigabytes, fit", [(48, "all"), (16, "only with --low-memory")])
def test_a_gpu_is_named_with_what_fits_it(full_hub, capsys, monkeypatch, gigabytes, fit):
    gpu(monkeypatch, gigabytes)
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert f"Some GPU, {gigabytes} GB: the pretrained engines fit {fit}" in printed
    assert "auto does not use it" not in printed
    built = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert ("on the CPU: this onnxruntime has no CUDA" in lines_below(printed, "rembg")) != built


def test_a_gpu_that_is_too_small_for_an_engine_is_the_reason(full_hub, capsys, monkeypatch):
    gpu(monkeypatch, 4.5)
    main(["doctor"])
    assert "auto does not use it: the GPU has 4 GB, " in capsys.readouterr().out


def gpu(monkeypatch, gigabytes: float) -> None:
    facts = types.SimpleNamespace(name="Some GPU", total_memory=gigabytes * 1e9)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: facts)


def test_a_gpu_that_is_not_there_is_reported(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["doctor", "--device", "cuda"]) == 1
    assert "no CUDA GPU" in capsys.readouterr().err


def test_optional_packages_and_requested_ones_are_checked(capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: name == "simple_knn" or real(name, *rest)
    )
    main(["doctor", "--device", "cpu"])
    lines_by_name = {
        line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()
    }
    assert " not installed: rasterizer of" in lines_by_name["diff_gaussian_rasterization"]
    assert (
        " installed: nearest" in lines_by_name["simple_knn"]
        and "not" not in lines_by_name["simple_knn"]
    )
    monkeypatch.setattr(doctor, "_rasterizer", RASTERIZER)
    assert main(["doctor", "--device", "cpu", "--rasterizer", "diff_gaussian"]) == 1
    assert "diff_gaussian does not draw on a CPU" in capsys.readouterr().err
