"""Corrections by hand: a stroke on one frame, a view that is left out, and what runs again."""

from __future__ import annotations

import base64
import io
import json
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from ds4d import clip
from ds4d.errors import UserError
from ds4d.images import load_images, save_images
from ds4d.matting import corrections
from ds4d.presets import PRESETS
from ds4d.run.events import STAGES
from ds4d.run.workspace import Workspace
from page import hardware
from page.components import matte_editor, views_panel
from tests.stages import finished

COUNT, SIDE = 5, 64
TINY = {
    "frames": 4, "size": 64, "resolution": 24, "points": 200, "most_points": 300,
    "static_steps": 5, "dynamic_steps": 10, "image_size": 32,
    "video_size": 64, "video_seconds": 0.5,
}  # fmt: skip


def event(**data) -> gr.EventData:
    return gr.EventData(None, data)


def picture(levels: np.ndarray) -> str:
    data = io.BytesIO()
    Image.fromarray(np.dstack([levels] * 3 + [np.full_like(levels, 255)])).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


@pytest.fixture
def job(tmp_path, red_clip):
    """A job with mattes and views."""
    read = finished(clip.read(red_clip, PRESETS["preview"].clip))[1]
    workspace = Workspace(tmp_path)
    clip.save(workspace / "clip", read)
    alphas = np.where(read.frames[..., 1] < 150, 255, 0).astype(np.uint8)
    frames, squares, _ = clip.square(read, alphas, PRESETS["preview"].clip)
    save_images(workspace / "frames", frames)
    workspace.finish("matting", "key", ["frames"], **squares.facts())
    flags = [[2, 4, "another colour"]]
    workspace.finish("multiview", "key", [], flags=flags, engine="inflate")
    found = SimpleNamespace(
        folder=tmp_path, active=False, config=PRESETS["preview"],
        stage_record=lambda: json.loads((tmp_path / "run.json").read_text())["stages"],
    )  # fmt: skip
    return found


def test_the_editor_shows_a_frame_with_its_matte(job):
    text = matte_editor.contents(job, 2)
    assert 'data-frame="2"' in text and "3 of 8" in text and text.count("data:image") == 3
    data = text.partition('class="matte" src="data:image/png;base64,')[2].partition('"')[0]
    matte = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    truth = clip.load(job.folder / "clip").frames[2][..., 1] < 150
    assert ((matte > 127) == truth).mean() > 0.98  # the square is back in its place


def test_sam2_is_named_where_it_can_run(job, monkeypatch):
    for offered in (True, False):
        monkeypatch.setattr(hardware, "offers", lambda engine, offered=offered: offered)
        assert ("SAM 2" in matte_editor.contents(job)) is offered


def test_strokes_are_kept_with_the_job_and_shown_on_all_frames(job):
    marks = np.full((48, 48), corrections.UNTOUCHED, np.uint8)
    marks[20:28, 20:28] = corrections.BACKGROUND
    preview = matte_editor.save_strokes(job, event(frame="4", marks=picture(marks)))
    assert "<img" in preview and "data:image/jpeg" in preview
    number = int(clip.load(job.folder / "clip").indices[4])
    np.testing.assert_array_equal(corrections.load(job.folder, number), marks)


@pytest.mark.parametrize(
    "sent", [{"frame": "99", "marks": ""}, {"frame": "1", "marks": "data:,xyz"}]
)
def test_invalid_strokes_are_refused(job, sent):
    with pytest.raises(UserError):
        matte_editor.save_strokes(job, event(**sent))
    assert not (job.folder / "corrections").exists()


def test_strokes_wait_for_the_end_of_a_run(job):
    job.active = True
    with pytest.raises(UserError, match="in progress"):
        matte_editor.save_strokes(job, event(frame="1", marks=""))


def test_inconsistent_views_are_listed(job):
    text = views_panel.contents(job)
    assert "Frame 3, view 4" in text and "another colour" in text and "Slant" in text
    assert "Slant" not in views_panel.contents(None) and "leave" not in views_panel.contents(None)
    assert "Generate this frame again" not in text  # inflating again would show the same


def test_only_a_slider_that_was_moved_changes_its_setting():
    settings = views_panel.changed_settings(event(exclude="1:3 2:2", depth="0.8"))
    assert settings == {"exclude": "1:3 2:2", "redraw": "", "depth": 0.8}


def wait_for_end(page) -> None:
    page.wait_for_selector(".card[data-card='Videos'][data-state='done']")
    page.wait_for_selector("#run:enabled")


def states(page) -> dict[str, str]:
    cards = "cards => cards.map(card => [card.dataset.card, card.dataset.state])"
    return dict(page.eval_on_selector_all(".card", cards))


@pytest.mark.slow
def test_a_stroke_and_a_left_out_view_repeat_only_what_follows(app, visit, red_clip, screenshot):
    page = visit()
    page.set_input_files("#clip input[type=file]", red_clip)
    page.wait_for_selector("#run:enabled")
    page.click("#more button")
    for name, value in TINY.items():
        page.fill(f"#set-{name} input", str(value))
        page.locator(f"#set-{name} input").blur()
    page.click("#more button")
    before = app.folders()
    page.click("#run")
    wait_for_end(page)
    (folder,) = app.folders() - before
    solid = (load_images(folder / "frames")[..., 3] > 127).mean()

    page.click("#edit-mattes > button")
    page.wait_for_selector("#editor canvas")
    page.click("#editor [data-brush=out]")
    page.locator("#editor canvas").scroll_into_view_if_needed()
    box = page.locator("#editor canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0], middle[1] + 8, steps=4)
    page.mouse.up()
    page.locator("#edit-mattes").scroll_into_view_if_needed()
    screenshot(page, "editor")
    page.click("#editor .apply")
    page.wait_for_selector("#strokes img")
    screenshot(page, "editor_spread")
    assert len(list((folder / "corrections").glob("*.png"))) == 1
    page.click("#run")
    page.wait_for_selector(".card[data-card='Clip'][data-state='before']")
    wait_for_end(page)
    assert states(page)["Matte"] == "done"
    assert (load_images(folder / "frames")[..., 3] > 127).mean() < solid

    page.locator("#views .frame").fill("1")
    page.click("#views .leave[data-view='3']")
    page.wait_for_selector("#views .again")
    screenshot(page, "views")
    page.click("#views .again")
    page.wait_for_selector(".card[data-card='Six views'][data-state='before']")
    wait_for_end(page)
    assert states(page)["Mesh"] == "before" and states(page)["4D"] == "done"
    record = json.loads((folder / "run.json").read_text())
    assert record["config"]["fourd"]["exclude"] == ["1:3"]
    assert set(record["stages"]) == set(STAGES)
