"""The command line: from a clip to evaluated results, interrupted runs, and bad input."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tyro
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ds4d import cli
from ds4d.cli import INTERRUPTED, _commands, main
from ds4d.errors import UserError
from ds4d.fourd.ablations import ABLATIONS
from ds4d.presets import PRESETS
from ds4d.run.workspace import replacing
from tests.evaluation import reference_scorer

ROOT = Path(__file__).resolve().parents[1]
VIDEOS = {"orbit", "front", "back", "left", "right", "bullet", "compare"}


@pytest.fixture(scope="session")
def run(case, tiny, tmp_path_factory) -> Path:
    """A finished run of the tiny case."""
    folder = tmp_path_factory.mktemp("runs") / "blobs"
    assert main(["generate", str(case), "--out", str(folder), *tiny]) == 0
    return folder


def test_a_run_leaves_everything_that_is_promised(run):
    record = json.loads((run / "run.json").read_text())
    engines = {name: stage.get("engine") for name, stage in record["stages"].items()}
    assert engines["multiview"] == "given" and engines["matting"] == "alpha"
    assert all(stage["seconds"] >= 0 for stage in record["stages"].values())
    assert record["config"]["fourd"]["points"] == 400 and record["seed"] == 0
    assert {path.stem for path in (run / "videos").iterdir()} == VIDEOS
    assert len(list((run / "exports/ply").glob("frame_*.ply"))) == 6
    for name in ("mesh.glb", "points.ply", "fourd.safetensors", "multiview/grid.mp4", "log.txt"):
        assert (run / name).stat().st_size > 0, name
    assert not list(run.rglob("*.partial-*"))


def test_the_record_says_how_close_the_front_is(run):
    facts = json.loads((run / "run.json").read_text())["stages"]["videos"]
    assert facts["front_psnr"] > 20 and facts["front_iou"] > 0.8
    assert len(facts["front_frames"]) == 6
    pictures = [iio.imread(run / f"previews/compare_{name}.png") for name in ("input", "render")]
    difference = np.abs(pictures[0].astype(float) - pictures[1]).mean()
    assert pictures[0].shape == pictures[1].shape == (64, 64, 3) and difference < 12


def test_evaluate_prints_what_the_scorer_finds(run, case, capsys):
    assert main(["evaluate", str(run), str(case)]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["heldout"]["mask_iou"] > 0.85
    assert metrics["heldout"]["psnr_fg"] > 17
    assert reference_scorer.score(run / "evaluation/blobs", case) == metrics


def test_what_is_done_is_not_done_again(run, case, tiny, capsys):
    before = (run / "fourd.safetensors").stat().st_mtime_ns
    assert main(["generate", str(case), "--out", str(run), *tiny]) == 0
    assert capsys.readouterr().err.count("done before") == 8
    assert (run / "fourd.safetensors").stat().st_mtime_ns == before


def test_a_changed_setting_redoes_only_what_depends_on_it(run, case, tiny, capsys):
    old = run / "exports/animations/orbit.gif"
    with replacing(old) as path:
        path.touch()
    changed = list(tiny)
    changed[changed.index("--videos.seconds") + 1] = "0.25"
    assert main(["generate", str(case), "--out", str(run), *changed]) == 0
    assert capsys.readouterr().err.count("done before") == 6  # all but videos and export
    assert len(iio.imread(run / "videos/front.mp4")) == 6
    assert not old.exists()


def test_the_videos_show_the_object_the_right_way_round(run, case):
    assert main(["render", str(run), "--videos.size", "64", "--videos.seconds", "0.5"]) == 0
    front, back = (iio.imread(run / f"videos/{name}.mp4")[-1] for name in ("front", "back"))
    red = [
        np.argwhere((image[..., 0] > 150) & (image[..., 1] < 110)).mean(0)
        for image in (front, back)
    ]
    assert red[0][1] > 36 > 28 > red[1][1]  # on the right in front, on the left from behind
    assert red[0][0] < 30  # it has risen at the end of the clip


def test_one_video_can_be_had_as_a_gif_or_transparent(run, tmp_path):
    run = shutil.copytree(run, tmp_path / "copy")  # others compare what the whole run has written
    small = ["--views", "front", "--videos.size", "64", "--videos.seconds", "0.5"]
    for format in ("gif", "webm"):
        assert main(["render", str(run), "--format", format, *small]) == 0
        assert (run / f"exports/animations/front.{format}").stat().st_size > 0


def test_exports_can_be_chosen_and_are_named(run, capsys):
    (run / "exports/object.glb").unlink()
    assert main(["export", str(run), "--formats", "glb", "splat", "--moment", "0"]) == 0
    printed = capsys.readouterr().out.splitlines()
    names = "moment.splat", "moment.spz", "moment.glb"
    names += "object.glb", "object_morph.glb", "object.usdz"
    assert printed == [str(run / f"exports/{name}") for name in names]
    assert all(Path(line).exists() for line in printed)


def test_the_command_line_knows_every_video_and_format():
    from typing import get_args

    from ds4d import export
    from ds4d.cli import options
    from ds4d.render import turntable

    assert get_args(options.View) == turntable.VIDEOS
    assert get_args(options.Format) == tuple(export.FORMATS)


def start(case: Path, out: Path, options: list[str]) -> subprocess.Popen:
    """A run that listens to Ctrl-C as in a terminal, also where these tests are run behind one."""
    command = [sys.executable, "-m", "ds4d", "generate", str(case), "--out", str(out), *options]
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def test_ctrl_c_within_a_kernel_is_a_ctrl_c(tmp_path, monkeypatch, capsys):
    def runs(command):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise SystemError("a kernel returned a result with an exception set") from interrupt

    monkeypatch.setitem(cli.RUNNERS, cli.Doctor, runs)
    assert main(["doctor"]) == INTERRUPTED
    assert "Stopped." in capsys.readouterr().err

    def breaks(command):
        raise SystemError("something else")

    monkeypatch.setitem(cli.RUNNERS, cli.Doctor, breaks)
    with pytest.raises(SystemError, match="something else"):
        main(["doctor"])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_resumes_and_ends_with_the_same_asset(run, case, tiny, tmp_path, how):
    process = start(case, tmp_path, tiny)
    checkpoint = tmp_path / "checkpoints/latest.safetensors"
    while not checkpoint.exists():
        assert process.poll() is None, process.stderr.read()
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode in (INTERRUPTED, -signal.SIGINT), errors  # 130 in a shell, both
        assert "continues from the last checkpoint" in errors and "Traceback" not in errors
    assert not (tmp_path / "fourd.safetensors").exists()
    again = start(case, tmp_path, tiny)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert "resumed at step" in errors
    whole, resumed = (load_file(folder / "fourd.safetensors") for folder in (run, tmp_path))
    assert whole.keys() == resumed.keys()
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    files = [{str(p.relative_to(f)) for p in (f / "exports").rglob("*")} for f in (run, tmp_path)]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [("clip.mp4", b"this is no video", "video"), ("absent.mp4", None, "no clip")],
)
def test_a_bad_clip_is_one_sentence(tmp_path, capsys, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["generate", str(tmp_path / name), "--out", str(tmp_path / "run")]) == 1
    errors = capsys.readouterr().err
    assert sentence in errors and "Traceback" not in errors


def test_videos_that_cannot_be_made_are_refused_before_any_work(case, tmp_path, capsys):
    options = ["--out", str(tmp_path / "run"), "--videos.size", "65"]
    assert main(["generate", str(case), *options]) == 1
    assert "even size" in capsys.readouterr().err
    assert not (tmp_path / "run" / "clip").exists()


def test_a_command_on_no_run_is_one_sentence(tmp_path, capsys):
    assert main(["render", str(tmp_path / "nowhere")]) == 1
    assert "no run folder" in capsys.readouterr().err


def test_the_doctor_finds_this_machine_fit(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "rasterizer" in printed and "The main job can run here." in printed


def test_help_comes_at_once_and_says_units_and_defaults():
    """Help imports nothing heavy; the asked preset gives the defaults."""
    code = "import sys; from ds4d.cli import main\ntry: main(sys.argv[1:])\n"
    code += "except SystemExit: pass\nassert 'torch' not in sys.modules, 'help loads torch'"
    for preset, points in (("preview", "4000"), ("paper", "10000")):
        options = ["generate", "--preset", preset, "--help"]
        command = [sys.executable, "-c", code, *options]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert f"default: {points}" in " ".join(shown.split())
        assert "pixels" in shown and "seconds" in shown


@pytest.mark.parametrize("options", [
    ["--preset", "paper", "--ablation", "C"], ["--ablation=C", "--preset=paper"],
])  # fmt: skip
def test_preset_and_ablation_stand_anywhere_and_give_defaults(options):
    line = ["generate", options[0], *options[1:], "clip.mp4", "--out", "run", "--fourd.points", "7"]
    config = tyro.cli(_commands(line), args=line).config
    assert (config.preset, config.ablation) == ("paper", "C")
    paper = PRESETS["paper"].fourd
    assert config.fourd == replace(ABLATIONS["C"](paper), points=7) != replace(paper, points=7)


def test_a_mesh_of_one_s_own_takes_the_place_of_the_carved_one(run, case, tmp_path):
    from ds4d import pipeline
    from ds4d.config import Config
    from ds4d.run.workspace import Workspace

    config = Config()
    config = replace(
        config,
        clip=replace(config.clip, size=64),
        mesh=replace(config.mesh, file=str(run / "mesh.glb")),
    )
    workspace = Workspace(tmp_path)
    events = list(pipeline.generate(case, workspace, config, until="mesh"))
    stage = workspace.record["stages"]["mesh"]
    assert stage["engine"] == "given" and stage["why"] == "mesh.glb"
    assert max(event.metrics.get("iou", 0) for event in events if event.stage == "mesh") > 0.85
    with pytest.raises(UserError, match="There is no mesh"):
        gone = replace(config, mesh=replace(config.mesh, file="gone.glb"))
        list(pipeline.generate(case, workspace, gone, until="mesh"))


def test_a_full_disk_is_one_sentence_whoever_reports_it(tmp_path, monkeypatch, capsys):
    def full(command):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(cli, "RUNNERS", dict.fromkeys(cli.RUNNERS, full))
    assert main(["doctor"]) == 1
    assert "The disk is full." in capsys.readouterr().err
