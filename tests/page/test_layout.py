"""The wiring of the page: every handler gets each value, and sets each one, under its own name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

from ds4d.render import VIDEOS
from page import layout
from page.jobs.service import Service
from page.jobs.store import Store
from page.limits import Limits
from page.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
ELEMENTS = {name: f"set-{name}" for name in SETTINGS} | {
    "clip": "clip",
    "preset": "preset",
    "mesh": "own-mesh",
}


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    return layout.create_app(Service(Store(tmp_path_factory.mktemp("runs"), Limits())))


def functions(blocks, name: str) -> list:
    return [f for f in blocks.fns.values() if f.fn and getattr(f.fn, "__name__", "") == name]


@pytest.mark.parametrize("name", ["start", "preflight", "generate"])
def test_settings_reach_their_parameters(blocks, name):
    found = [f for f in functions(blocks, name) if f.input_keyword_names]
    assert found
    for function in found:
        inputs = dict(zip(function.input_keyword_names, function.inputs, strict=True))
        wanted = ELEMENTS.keys() & inputs.keys()
        assert wanted and {n: inputs[n].elem_id for n in wanted} == {n: ELEMENTS[n] for n in wanted}


def test_a_run_is_ordered_with_every_setting(blocks):
    for name in ("start", "generate"):
        for function in functions(blocks, name):
            assert set(function.input_keyword_names) >= {
                "clip",
                "preset",
                "seed",
                *SETTINGS,
                "mesh",
            }


def test_handlers_answer_by_name():
    ui = {}
    with gr.Blocks() as blocks:
        ui |= {name: gr.Textbox(elem_id=name) for name in ("a", "b", "c")}
        button = gr.Button()

        def handler(b: str, a: str) -> dict[str, str]:
            return {"c": f"{a} and {b}"}

        layout.connect(ui, button.click, handler, ("a", "b"), ("c", "a"))
    (function,) = blocks.fns.values()
    assert function.fn("B", "A") == {ui["c"]: "A and B"}
    assert function.input_keyword_names == ["a", "b"] and function.outputs == [ui["c"], ui["a"]]


def test_every_video_has_a_player_with_its_name():
    assert set(layout.VIDEO_LABELS) == set(VIDEOS)


def test_settings_that_editors_fill_in_have_no_control(blocks):
    components = {b.elem_id: b for b in blocks.blocks.values() if getattr(b, "elem_id", None)}
    for name, setting in SETTINGS.items():
        shown = components[f"set-{name}"].visible is True
        assert shown == (not setting.is_list and setting.engine in ("", "inflate")), name


def test_on_a_gpu_the_settings_are_those_of_zero123plus(monkeypatch, tmp_path):
    monkeypatch.setattr(layout.hardware, "runs_zero123plus", lambda: True)
    blocks = layout.create_app(Service(Store(tmp_path, Limits())))
    components = {b.elem_id: b for b in blocks.blocks.values() if getattr(b, "elem_id", None)}
    shown = {
        n for n in ("drawing_steps", "slant", "depth") if components[f"set-{n}"].visible is True
    }
    assert shown == {"drawing_steps"}


def test_importing_the_app_neither_imports_torch_nor_makes_folders(tmp_path):
    """A Space that only shows its examples starts fast, and ZeroGPU sees no early CUDA."""
    code = (
        "import app, os, sys; assert app.demo and 'torch' not in sys.modules; "
        "assert os.environ['NUMBA_DISABLE_CUDA'] == '1'"
    )
    environment = os.environ | {"DS4D_RUNS": str(tmp_path / "runs")}
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)
    assert not (tmp_path / "runs").exists()
