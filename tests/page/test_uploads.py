"""Uploads: what the component takes, and several pictures as one clip."""

from __future__ import annotations

import zipfile

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import FileData
from PIL import Image

from ds4d.errors import UserError
from page import uploads
from page.limits import Limits
from page.uploads import CLIP_TYPES, ClipData, clip_file, one_file
from tests.paths import ROOT


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "get_upload_folder", lambda: str(tmp_path / "uploads"))
    files = []
    for index in (10, 2, 1):
        folder = tmp_path / str(index)
        folder.mkdir()
        files.append(str(folder / f"{index % 10}.PNG"))
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(files[-1], "PNG")
    return files


@pytest.mark.parametrize("suffix", CLIP_TYPES)
@pytest.mark.parametrize("capitals", [True, False])
def test_every_kind_of_clip_is_taken_alone_and_among_others(
    tmp_path, monkeypatch, suffix, capitals
):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))  # the default is there once an app ran
    file = tmp_path / f"clip{suffix.upper() if capitals else suffix}"
    file.touch()
    data = FileData(path=str(file), orig_name=file.name)
    component = clip_file()
    assert component.preprocess(ClipData(data)) == str(file)
    assert component.preprocess(ClipData([data])) == str(file)
    assert component.preprocess(ClipData([data, data])) == [str(file)] * 2
    assert component.preprocess(None) is component.preprocess(ClipData([])) is None


@pytest.mark.parametrize(
    "suffix", [".m4v", ".avi", ".3gp", ".mts", ".ts", ".ogv", ".apng", ".avif"]
)
def test_kinds_that_people_have_are_among_them(suffix):
    assert suffix in CLIP_TYPES


def test_other_files_are_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(gr.Error, match="Invalid file type"):
        clip_file().preprocess(ClipData(FileData(path=str(tmp_path / "notes.txt"))))


def test_several_pictures_become_one_zip_whatever_their_order(pictures):
    zipped = one_file(pictures, Limits())
    assert zipped == one_file(pictures[::-1], Limits()) != one_file(pictures[:2], Limits())
    with zipfile.ZipFile(zipped) as archive:
        assert archive.namelist() == ["0.PNG", "1.PNG", "2.PNG"]


def test_pictures_of_one_name_are_all_kept(pictures):
    with zipfile.ZipFile(one_file([pictures[0]] * 2, Limits())) as archive:
        assert archive.namelist() == ["0.PNG", "0_1.PNG"]


def test_one_file_stays_what_it_is():
    assert one_file("a.mp4", Limits()) == "a.mp4" and one_file(None, Limits()) is None


def test_mixed_or_too_many_files_are_refused(pictures):
    with pytest.raises(UserError, match="not all pictures"):
        one_file([*pictures, "clip.mp4"], Limits())
    with pytest.raises(UserError, match="too large"):
        one_file(pictures, Limits(clip_mb=1e-5))


@pytest.mark.slow
def test_a_browser_uploads_capitals_and_several_pictures(visit, red_clip, tmp_path):
    inputs = ROOT / "tests/inputs"
    capitals = tmp_path / "CLIP.M4V"
    capitals.write_bytes(red_clip.read_bytes())
    for files, words in (
        ([capitals], "8 of 8 frames are used"),
        (sorted((inputs / "avif").iterdir()), "4 of 4 frames are used"),
    ):
        page = visit()
        page.set_input_files("#clip input[type=file]", files)
        page.wait_for_selector("#run:enabled")
        page.wait_for_selector(f"#preflight :text('{words}')")


def test_a_component_that_was_updated_still_takes_one_file_or_several():
    with gr.Blocks():
        component = clip_file(label="Your clip")
    anew = type(component)(**component.constructor_args | {"visible": False})
    assert component.data_model is anew.data_model is ClipData
