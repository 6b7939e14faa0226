"""The preflight report on a clip, and choosing a part of it with mouse and keys."""

from __future__ import annotations

from dataclasses import asdict, replace
from html.parser import HTMLParser

import gradio as gr
import pytest

from ds4d.errors import UserError
from ds4d.preflight.checks import Check
from ds4d.presets import PRESETS
from page.api import Api
from page.components import preflight
from page.components.webcam import recorded_clip
from page.handlers import Handlers
from page.jobs.service import Service
from page.jobs.store import Store
from page.limits import Limits
from page.preflight import process
from page.preflight.pool import ClipReport
from tests.browser import program
from tests.page.conftest import PATIENCE

FAKE_CAMERA = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream"]
CONFIG = PRESETS["preview"]


@pytest.fixture
def service(tmp_path):
    made = Service(Store(tmp_path / "runs", Limits()))
    yield made
    made.preflight.close()


def contents(clip, config) -> str:
    """The panel of a clip, looked at in this process."""

    def looked(settings):
        found = process.answer(clip, asdict(settings))
        return ClipReport(**found | {"checks": tuple(Check(**check) for check in found["checks"])})

    return preflight.contents(config, looked)


class Tags(HTMLParser):
    """The tags of a page and their attributes; complains about what is not closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("img", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_panel_shows_what_is_used_and_what_it_takes(red_clip):
    text = contents(red_clip, CONFIG)
    tags = Tags(text).found
    assert sum(tag == "i" and "left" in dict(attributes).get("style", "")
               for tag, attributes in tags) == 8  # marks: all frames are used  # fmt: skip
    handles = [attributes for tag, attributes in tags if tag == "input"]
    assert [handle["value"] for handle in handles] == ["0", "8"]
    assert "8 frames are used" in text and "About <b>" in text and "estimate" in text


def test_a_part_changes_what_is_used(red_clip):
    part = replace(CONFIG, clip=replace(CONFIG.clip, start=0.25, end=0.75))
    text = contents(red_clip, part)
    assert "5 frames are used" in text and "0.25 s to 0.75 s" in text


def test_the_panel_says_why_a_clip_cannot_be_used(service, tmp_path, red_clip):
    (tmp_path / "notes.mp4").write_text("words")
    handlers = Handlers(service)
    assert "is not a video" in handlers.preflight(str(tmp_path / "notes.mp4"))["preflight"]
    assert handlers.preflight(None)["preflight"] == ""
    late = handlers.preflight(str(red_clip), start=9.0)  # seconds; the clip lasts one
    assert "fewer than two frames" in late["preflight"]


def test_names_are_text(tmp_path, red_clip):
    evil = tmp_path / "<img src=x onerror=alert(1)>.mp4"
    evil.write_bytes(red_clip.read_bytes())
    assert "<img src=x" not in contents(evil, CONFIG)


def test_programs_get_the_same(service, red_clip):
    report = Api(service).preflight(str(red_clip), "preview", start=0.25)
    assert report["used"][0] == 2 and report["source_frames"] == 8
    assert {check["name"] for check in report["checks"]} >= {"Length", "Camera", "Frame"}
    assert sum(cost["seconds"] for cost in report["costs"]) > 1


@pytest.mark.slow
def test_a_part_is_chosen_with_keys_and_mouse(visit, red_clip, screenshot):
    page = visit()
    page.set_input_files("#clip input[type=file]", red_clip)
    page.wait_for_selector("#preflight .timeline")
    assert page.inner_text("#preflight .timeline span") == "8 frames are used"
    page.focus("#preflight .from")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#preflight .timeline span:has-text('5 frames')")
    assert page.evaluate("document.activeElement.className") == "from"  # keys go on to move it
    page.click("#more button")
    assert page.input_value("#set-start input").startswith("0.37")
    page.click("#more button")
    screenshot(page, "preflight")
    for handle, goal, frames in ((".to", 5, 3), (".from", 1, 5)):
        drag(page, f"#preflight {handle}", goal)
        page.wait_for_selector(f"#preflight .timeline span:has-text('{frames} frames')")
    assert [page.input_value(f"#preflight {handle}") for handle in (".from", ".to")] == ["1", "5"]


def drag(page, handle: str, goal: int) -> None:
    """Take a slider's knob, 14 pixels wide, to another of its 0 to 8 places."""
    page.locator(handle).scroll_into_view_if_needed()
    box = page.locator(handle).bounding_box()
    middle = box["y"] + box["height"] / 2
    begin, end = (
        box["x"] + 7 + place / 8 * (box["width"] - 14)
        for place in (int(page.input_value(handle)), goal)
    )
    page.mouse.move(begin, middle)
    page.mouse.down()
    page.mouse.move(end, middle, steps=6)
    page.mouse.up()


@pytest.mark.slow
def test_a_clip_is_recorded_with_the_webcam(app, chromium):
    """Chromium's own test camera; the recording is used as the browser wrote it."""
    browser = chromium.browser_type.launch(executable_path=program(), args=FAKE_CAMERA)
    try:
        page = browser.new_context(permissions=["camera"]).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(app.url)
        page.click("#camera button")
        page.wait_for_selector("#camera button:has-text('Stop (4 s left)')")
        page.click("#camera button")
        page.wait_for_selector("#run:enabled")
        page.wait_for_selector("#preflight .checks li")
        assert "recording" in page.inner_text("#preflight h3")
    finally:
        browser.close()


@pytest.mark.parametrize("path", ["/etc/passwd", "recording.webm", None])
def test_only_uploads_are_recordings(path):
    with pytest.raises(UserError, match="not received"):
        recorded_clip(gr.EventData(None, {"path": path}))
