"""Paths as people give them: no file of theirs is harmed, and no error shows a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import SafetensorError

from ds4d import clip, pipeline
from ds4d.cli import main
from ds4d.config import ClipConfig, Config, MattingConfig
from ds4d.errors import UserError, of_the_machine
from ds4d.preflight import paths
from ds4d.run.made import OWN
from ds4d.run.workspace import Workspace
from tests.paths import ROOT

CASE = ROOT / "tests/inputs/case"


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder, without the notes of a run folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and OWN not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def generate(clip: Path | str, out: Path, capsys) -> str:
    """Run the command, which has to refuse; returns what it says."""
    assert main(["generate", str(clip), "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said and len(said.strip().splitlines()) <= 2
    return said


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of pictures with their own transparency: a disc that moves."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows, columns = np.mgrid[:64, :64]
    for index in range(4):
        image = np.full((64, 64, 4), 200, np.uint8)
        image[..., 3] = 255 * (np.hypot(rows - 32, columns - 24 - 4 * index) < 14)
        Image.fromarray(image).save(folder / f"{index}.png")
    return folder


@pytest.mark.parametrize("inside", ["", "multiview", "input"])
def test_a_case_is_no_run_folder(tmp_path, capsys, inside):
    case = shutil.copytree(CASE, tmp_path / "case")
    before = contents(case)
    assert "not empty" in generate(case, case / inside, capsys)
    assert contents(case) == before


def test_a_run_inside_the_folder_of_images_goes_on_where_it_stopped(pictures):
    config = Config(clip=ClipConfig(frames=4, size=64), matting=MattingConfig(engine="alpha"))

    def skipped():
        events = pipeline.generate(pictures, Workspace(pictures / "run"), config, until="matting")
        return [event.stage for event in events if event.skipped]

    assert skipped() == []
    assert skipped() == ["clip", "matting"]


def test_a_part_of_a_run_is_not_its_own_clip(pictures):
    config = Config(clip=ClipConfig(frames=4, size=64), matting=MattingConfig(engine="alpha"))
    run = pictures / "run"
    list(pipeline.generate(pictures, Workspace(run), config, until="clip"))
    before = contents(run)
    for source in (run, run / "clip", run / "clip/0000.png"):
        with pytest.raises(UserError, match="a part of the run folder"):
            list(pipeline.generate(source, Workspace(run), config, until="clip"))
    assert contents(run) == before


@pytest.mark.parametrize("name", ["l" * 300 + ".mp4", "gone.mp4", "a\nb.mp4", "", "x/" * 3000])
def test_a_path_that_leads_nowhere_is_a_sentence(tmp_path, capsys, name):
    said = generate(tmp_path / "nowhere" / name, tmp_path / "run", capsys) if name else ""
    assert not name or "There is no clip" in said.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_devices_and_pipes_are_no_clips(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.mp4")
    for device in (tmp_path / "pipe.mp4", Path("/dev/zero"), Path("/dev/stdin")):
        said = generate(device, tmp_path / "run", capsys)
        assert "device or a pipe" in said or "There is no clip" in said


def test_a_huge_file_is_refused_before_it_is_read(tmp_path, capsys):
    with open(tmp_path / "huge.mp4", "wb") as file:
        file.truncate(10**12)  # a sparse file
    assert "too large" in generate(tmp_path / "huge.mp4", tmp_path / "run", capsys)
    with open(tmp_path / "huge.mp4", "rb+") as file:
        file.truncate(10**11)
    assert "at most 10.0 GB" in generate(tmp_path, tmp_path / "run", capsys)


def test_a_folder_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MAX_FILES", 3)
    for index in range(5):
        (tmp_path / f"{index}.png").touch()
    with pytest.raises(UserError, match="more than 3 files"):
        paths.check(tmp_path, ClipConfig())


def test_names_in_any_encoding_and_locale(tmp_path, pictures):
    """A clip whose name is not UTF-8, under a locale that knows ASCII only."""
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    folder = os.fsencode(tmp_path) + b"/cl\xff\xc3\xa9p"
    os.rename(pictures, folder)
    code = (
        "import sys; from pathlib import Path; from ds4d import pipeline\n"
        "from ds4d.config import *; from ds4d.run.workspace import Workspace\n"
        "config = Config(clip=ClipConfig(frames=4), matting=MattingConfig(engine='alpha'))\n"
        "clip = Path(sys.argv[1]); run = Workspace(clip / 'run')\n"
        "list(pipeline.generate(clip, run, config, until='matting')); print(run.root.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder], cwd=ROOT, env=os.environ | ascii_only,
        capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert os.path.exists(folder + b"/run/frames/0003.png")


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/run", "/dev/null"])
def test_a_run_folder_that_cannot_be_made_is_a_sentence(pictures, capsys, place):
    assert "cannot be" in generate(pictures, Path(place), capsys)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "disk is full"),
        (OSError("x.mp4 was not written: No space left on device"), "disk is full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "disk is full"),
        (PermissionError(13, "Permission denied", "/a/b"), "/a/b: Permission denied"),
        (MemoryError(), "not have enough memory"),
    ],
)
def test_errors_of_the_machine_are_sentences(error, words, monkeypatch, capsys, tmp_path):
    def fails(*arguments):
        raise error

    monkeypatch.setattr(paths, "check", fails)
    assert words in generate("clip.mp4", tmp_path / "run", capsys)
    assert of_the_machine(ZeroDivisionError()) is None


def test_settings_of_a_run_that_are_out_of_range_are_refused_by_the_pipeline(pictures, tmp_path):
    config = replace(Config(), clip=replace(Config().clip, frames=-3))
    with pytest.raises(UserError, match="--clip.frames cannot be -3"):
        list(pipeline.generate(pictures, Workspace(tmp_path / "run"), config))


def test_videos_are_written_into_folders_with_colons(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    for name in ("a:b/x.mp4", "http:/y.mp4", "-z.mp4", "a%03d.mp4"):
        Path(name).parent.mkdir(exist_ok=True)
        clip.write_video(Path(name), frames, fps=8)
        assert Path(name).stat().st_size > 0
