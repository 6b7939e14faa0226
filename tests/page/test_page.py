"""Visits to the page in headless Chromium: runs, examples, errors, addresses, phones."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
TINY = {
    "frames": 6, "size": 96, "resolution": 32, "points": 400, "most_points": 500,
    "static_steps": 10, "dynamic_steps": 30, "image_size": 64,
    "video_size": 64, "video_seconds": 0.5,
}  # fmt: skip
VIDEOS = ("orbit", "front", "back", "left", "right", "bullet")
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/results/*/run.json"))


def choose(page, clip) -> None:
    page.set_input_files("#clip input[type=file]", clip)
    page.wait_for_selector("#run:enabled")


def set_values(page, **values) -> None:
    page.click("#more button")
    for name, value in (TINY | values).items():
        page.fill(f"#set-{name} input", str(value))
        page.locator(f"#set-{name} input").blur()
    page.click("#more button")


def wait_for_card(page, card: str, state: str) -> None:
    page.wait_for_selector(f".card[data-card='{card}'][data-state='{state}']")


def states(page) -> list[str]:
    return page.eval_on_selector_all(".card", "cards => cards.map(card => card.dataset.state)")


def wait_until_plays(page, name: str) -> None:
    page.wait_for_function(
        """name => {
            const video = document.querySelector(`#${name} video`);
            return video && video.readyState >= 3 && video.videoWidth > 0
                && !video.paused && video.currentTime > 0.1;
        }""",
        arg=name,
    )


def color_of(page, name: str) -> list[float]:
    """The mean colour of what is not white in the picture that a video shows now."""
    return page.evaluate(
        """name => {
            const video = document.querySelector(`#${name} video`);
            const canvas = document.createElement("canvas");
            canvas.width = video.videoWidth; canvas.height = video.videoHeight;
            const context = canvas.getContext("2d");
            context.drawImage(video, 0, 0);
            const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
            let sum = [0, 0, 0], count = 0;
            for (let i = 0; i < data.length; i += 4) {
                if (Math.min(data[i], data[i + 1], data[i + 2]) > 200) continue;
                for (let c = 0; c < 3; c++) sum[c] += data[i + c];
                count++;
            }
            return sum.map(value => value / Math.max(count, 1));
        }""",
        name,
    )


@pytest.mark.slow
def test_a_clip_becomes_videos(visit, red_clip, screenshot, tmp_path):
    page = visit()
    screenshot(page, "1_arrival")
    choose(page, red_clip)
    page.wait_for_function("document.querySelector('.clip video')?.videoWidth > 0")
    set_values(page, dynamic_steps=120)
    page.click("#run")
    wait_for_card(page, "4D", "running")
    assert states(page)[:4] == ["done"] * 4
    page.wait_for_selector("#live img")
    page.wait_for_selector("#live .figures:has-text('Loss')")
    screenshot(page, "2_optimizing")
    wait_for_card(page, "Videos", "done")
    page.wait_for_selector("#live .figures:has-text('dB')")
    for name in (*VIDEOS, "grid"):
        wait_until_plays(page, name)
    red, green, blue = color_of(page, "orbit")
    assert red > 1.5 * blue and red > 1.5 * green
    page.locator("#matte").scroll_into_view_if_needed()  # pictures are loaded when they are near
    page.wait_for_selector("#matte img")
    page.wait_for_selector("#mesh canvas")
    page.wait_for_function("document.querySelector('#player ds4d-player')?.loaded")
    assert page.locator("#compare img").count() >= 2
    page.click("#insight summary")
    page.wait_for_function("document.querySelector('#insight video').currentTime > 0.1")
    assert page.evaluate("document.querySelector('#insight img').naturalWidth") > 192
    screenshot(page, "3_result")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator("#mesh").scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    page.screenshot(path=ROOT / "tests/screenshots/4_chain.png")
    with page.expect_download() as download:
        page.click("#downloads >> text=Everything")
    download.value.save_as(tmp_path / "all.zip")
    names = zipfile.ZipFile(tmp_path / "all.zip").namelist()
    for wanted in ("orbit.mp4", "fourd.safetensors", "frame_0001.ply", "mesh.glb"):
        assert any(name.endswith(wanted) for name in names), wanted


@pytest.mark.skipif(not EXAMPLES, reason="no bundled results in examples/results")
def test_an_example_is_shown_without_computing(app, visit, screenshot):
    page = visit()
    before = app.folders()
    for name in EXAMPLES:
        page.click(f".example[data-name='{name}']")
        page.wait_for_selector(f"#head:has-text('{name.capitalize()}')")
        page.wait_for_function("document.querySelector('#orbit video')?.readyState >= 1")
    page.click(f".example[data-name='{EXAMPLES[0]}']")
    wait_until_plays(page, "orbit")
    assert set(states(page)) == {"done"}
    page.locator("#matte").scroll_into_view_if_needed()
    page.wait_for_selector("#matte img")
    page.wait_for_selector("#grid video")
    page.wait_for_selector("#head:has-text('Engines:')")
    assert page.inner_text("#run") == "Run it again here"
    assert app.folders() == before
    screenshot(page, "5_example")


def test_a_file_that_is_no_video_gets_one_sentence(app, visit, tmp_path, screenshot):
    (tmp_path / "notes.mp4").write_text("this is text\n" * 100)
    page = visit()
    choose(page, tmp_path / "notes.mp4")
    page.click("#run")
    page.wait_for_selector(".notice.is-error")
    text = page.inner_text("#notice .notice")
    assert "Traceback" not in page.content() and "Error" not in text
    assert len(text) < 300 and "reference" not in text
    page.wait_for_selector("#run:enabled")
    assert not page.is_visible("#cancel")
    screenshot(page, "6_error")


def test_closing_the_tab_ends_the_report_on_its_clip(app, visit, red_clip):
    """The process that makes the report is stopped meanwhile, as if the clip took very long."""
    page = visit()
    page.set_input_files("#clip input[type=file]", red_clip)
    deadline = time.monotonic() + 60
    while not (reports := [child for child in app.process().children() if makes_report(child)]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for process in reports:
        process.suspend()
    page.wait_for_timeout(2000)  # it may have waited for a clip, which has reached it by now
    page.close()
    gone, _ = psutil.wait_procs(reports, timeout=60)
    assert gone


def makes_report(process: psutil.Process) -> bool:
    try:
        return "page.preflight.process" in process.cmdline()
    except psutil.Error:
        return False


@pytest.mark.slow
def test_cancel_stops_and_the_run_goes_on_later(app, visit, red_clip, screenshot):
    page = visit()
    before = app.folders()
    choose(page, red_clip)
    set_values(page, dynamic_steps=20_000)
    page.click("#run")
    wait_for_card(page, "4D", "running")
    page.wait_for_selector("#live .figures dd")
    page.click("#cancel")
    page.wait_for_selector("#notice:has-text('Cancelled')")
    wait_for_card(page, "4D", "stopped")
    assert not page.is_visible("#cancel")
    screenshot(page, "7_cancelled")

    (folder,) = app.folders() - before
    kept = times(folder)
    page.wait_for_timeout(2000)
    assert times(folder) == kept
    assert not list(folder.rglob("*.partial-*"))

    page.click("#run")  # "Continue"
    wait_for_card(page, "4D", "running")
    assert states(page)[:4] == ["before"] * 4
    assert app.folders() - before == {folder}
    page.wait_for_selector("#finish:visible")
    page.click("#finish")
    wait_for_card(page, "Videos", "done")
    page.wait_for_selector("#head:has-text('Stopped early at step')")
    stages = json.loads((folder / "run.json").read_text())["stages"]
    assert 0 < stages["fourd"]["stopped_at_step"] < stages["fourd"]["of_steps"] == 20_010
    screenshot(page, "7_good_enough")

    page.click("#delete summary")
    page.click("#delete button")
    page.wait_for_selector("#notice:has-text('The run was deleted.')")
    assert not folder.exists() and set(states(page)) == {"waiting"}
    page.wait_for_function("!location.search")


def times(folder: Path) -> dict[Path, float]:
    """Modification times of the files of a run; a visit is no modification."""
    return {path: path.stat().st_mtime for path in folder.rglob("*") if path.name != "seen"}


@pytest.mark.slow
def test_a_run_is_found_again_at_its_address(app, visit, red_clip, screenshot):
    page = visit()
    choose(page, red_clip)
    set_values(page, dynamic_steps=120)
    page.click("#run")
    page.wait_for_url("**/?job=*")
    page.wait_for_selector(".card:not([data-state='waiting'])")
    page.reload()  # while it is at work
    page.wait_for_selector(".card:not([data-state='waiting'])")
    address = page.url
    page.context.close()  # the phone is put away
    page = visit(path=address.removeprefix(app.url))
    wait_for_card(page, "Videos", "done")
    page.reload()
    for card in ("Matte", "Mesh", "Videos"):
        wait_for_card(page, card, "done")
    wait_until_plays(page, "orbit")
    page.wait_for_selector("#head:has-text('Made here in')")
    screenshot(page, "10_found_again")
    page.click("#reset")
    page.wait_for_selector("#welcome:visible, .welcome:visible")
    assert "job=" not in page.url
    assert set(states(page)) == {"waiting"} and not page.is_visible("#orbit video")


def test_an_unknown_address_is_one_sentence(visit, screenshot):
    page = visit(path="/?job=" + 24 * "x")
    page.wait_for_selector(".notice.is-error:has-text('There is no run at this address.')")
    screenshot(page, "11_unknown")


@pytest.mark.slow
def test_two_visitors_at_once_get_their_own_results(app, visit, red_clip, blue_clip, screenshot):
    before = app.folders()
    pages = [visit(), visit()]
    for page, clip in zip(pages, (red_clip, blue_clip), strict=True):
        choose(page, clip)
        set_values(page, dynamic_steps=100)
    pages[0].click("#run")
    pages[0].wait_for_selector(".card:not([data-state='waiting'])")
    pages[1].click("#run")
    pages[1].wait_for_selector("#notice:has-text('Waiting')")
    pages[1].wait_for_selector("#notice:has-text('number 1 in the queue')")
    screenshot(pages[1], "8_waiting_for_its_turn")
    for page in pages:
        wait_for_card(page, "Videos", "done")
        wait_until_plays(page, "front")
    (red, _, little_blue), (little_red, _, blue) = (color_of(page, "front") for page in pages)
    assert red > 1.5 * little_blue and blue > 1.5 * little_red
    assert len(app.folders() - before) == 2
    with pytest.raises(urllib.error.HTTPError):  # nobody is told which runs there are
        urllib.request.urlopen(f"{app.url}/gradio_api/file={app.runs}")


def test_a_phone_needs_no_sideways_scrolling(visit, red_clip, screenshot):
    page = visit(390, 844, is_mobile=True, has_touch=True, color_scheme="dark")
    choose(page, red_clip)
    page.click("#more button")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("#more button")
    if EXAMPLES:
        page.click(".example >> nth=0")
        wait_until_plays(page, "orbit")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    screenshot(page, "9_phone")
