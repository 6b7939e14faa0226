"""Files with random damage, from fixed seeds: they are read, or refused in a sentence."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from pathlib import Path

import pytest

from benchmarks import hostile
from benchmarks.hostile import CLIPS, damaged
from ds4d import clip, pipeline
from ds4d.cli import main
from ds4d.config import ClipConfig, Config
from ds4d.errors import UserError
from ds4d.mesh.read import load
from ds4d.run.structure import structure
from ds4d.run.workspace import Workspace
from tests.paths import ROOT

INPUTS, OLD = ROOT / "tests/inputs", ROOT / "tests/run/old_runs"
MESHES = ("models/up.glb", "models/up.obj")
EACH = 4  # damaged copies of every clip
WHOLE = 60  # and of every mesh


@pytest.mark.parametrize("name", CLIPS)
def test_damaged_clips(tmp_path, name):
    dice, source = random.Random(name), INPUTS / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of readers, about the damage
        for index in range(EACH):
            file = tmp_path / f"{index}{source.suffix}"
            file.write_bytes(damaged(source.read_bytes(), dice))
            try:
                list(clip.read(file, ClipConfig(frames=4)))
            except UserError:
                pass


@pytest.mark.parametrize("name", MESHES)
def test_damaged_meshes(tmp_path, name):
    dice, source = random.Random(name), INPUTS / "mesh" / name
    for _ in range(WHOLE):
        file = tmp_path / source.name
        file.write_bytes(damaged(source.read_bytes(), dice))
        try:
            load(file)
        except UserError:
            pass


@pytest.mark.parametrize(
    "name",
    [
        "run.json", "clip/clip.json", "clip/0001.png", "frames/0000.png", "multiview/cameras.json",
        "multiview/0001/2.png", "features.safetensors", "points.ply", "mesh.glb",
        "fourd.safetensors",
    ],
)  # fmt: skip
def test_damaged_run_folders(tmp_path, name, capsys):
    dice, source = random.Random(name), OLD / "disc_run"
    config = structure(json.loads((source / "run.json").read_text())["config"], Config)
    for index in range(2):
        run = Path(shutil.copytree(source, tmp_path / str(index)))
        (run / name).write_bytes(damaged((source / name).read_bytes(), dice))
        assert main(["export", str(run), "--formats", "splat"]) in (0, 1)
        try:
            list(pipeline.generate(OLD / "disc.gif", Workspace(run), config, until="mesh"))
        except UserError as error:
            assert error.hint


@pytest.mark.parametrize("name", ["picture", "manifest", "ledger", "job", "asset", "packed"])
def test_damaged_files_of_other_kinds(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    for number in range(4):
        assert hostile.attempt(hostile.KINDS[name], random.Random(f"{name} 0 {number}")) == ""
