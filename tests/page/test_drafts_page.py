"""Visits to the tabs for a picture and for words: drafts are made, one is picked, and runs."""

from __future__ import annotations

import imageio.v3 as iio
import pytest

from tests.animate.figures import person
from tests.page.test_page import set_values, states, wait_for_card

TITLES = ["Walk", "Wave", "Sway", "Hop", "Nod", "Breathe"]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "person.png"
    iio.imwrite(path, person())
    return path


def open_tab(page, name: str) -> None:
    page.click(f"#source button[role=tab]:has-text('{name}')")


def titles(page) -> list[str]:
    return page.eval_on_selector_all("button.draft b", "all => all.map(b => b.textContent)")


def no_sideways_scrolling(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
def test_a_picture_is_moved_and_becomes_a_4d_object(app, visit, picture, screenshot):
    page = visit()
    before = app.folders()
    open_tab(page, "Picture")
    page.wait_for_selector(".source-note:has-text('cannot run here')")
    page.set_input_files("#picture input[type=file]", picture)
    page.wait_for_function("document.querySelector('.clip img')?.naturalWidth > 0")
    screenshot(page, "12_picture")
    page.click("#move")
    wait_for_card(page, "Motion", "running")
    page.wait_for_selector("button.draft")
    screenshot(page, "13_drafts_come")
    wait_for_card(page, "Motion", "done")
    page.wait_for_selector("#notice:has-text('Pick a clip.')")
    assert sorted(titles(page)) == sorted(TITLES)
    page.click("button.draft[data-name='clip_wave.webp']")
    page.wait_for_selector("#run:enabled")
    page.wait_for_selector(".preflight .checks li")
    screenshot(page, "14_picked")

    set_values(page, frames=2)
    page.click("#run")
    wait_for_card(page, "Matte", "done")
    page.click("#cancel")
    page.wait_for_selector("#notice:has-text('Cancelled')")
    assert states(page)[:3] == ["done"] * 3
    (folder,) = app.folders() - before  # one address from the picture to the object
    assert (folder / "input/clip_wave.webp").exists() and (folder / "input/picture.png").exists()
    page.reload()
    page.wait_for_selector("button.draft[data-name='clip_wave.webp'][aria-pressed=true]")
    wait_for_card(page, "Motion", "done")
    page.set_viewport_size({"width": 390, "height": 844})
    assert no_sideways_scrolling(page)
    screenshot(page, "15_picture_run_phone")


def test_without_a_gpu_words_lead_to_a_picture(visit, screenshot):
    page = visit(390, 844, is_mobile=True, has_touch=True)
    open_tab(page, "Words")
    page.wait_for_selector(".source-note:has-text('Words cannot be drawn here.')")
    assert not page.is_visible("#draw") and no_sideways_scrolling(page)
    screenshot(page, "16_words_phone")
    page.click("#to-picture")
    page.wait_for_selector("#picture:visible")
    page.click("#move")
    page.wait_for_selector(".notice.is-error:has-text('There is no picture yet.')")
    screenshot(page, "17_no_picture_phone")
