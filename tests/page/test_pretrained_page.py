"""A page with a folder of weights runs the pretrained engines: for a program, and for a visitor."""

from __future__ import annotations

import json

import pytest

from tests.fakes import everything
from tests.page.conftest import PATIENCE, started
from tests.page.test_drafts_page import open_tab, titles
from tests.page.test_page import states, wait_for_card

SMALL = {"DS4D_NETWORK_CLIP_SIZE": "64", "DS4D_NETWORK_PICTURE_SIZE": "64", "DS4D_DRAFTS": "2"}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    folder = tmp_path_factory.mktemp("app")
    weights = everything.make(folder / "weights")
    with started(folder, DS4D_WEIGHTS=str(weights), **SMALL) as app:
        yield app


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "taken"), [("auto", "zero123plus"), ("l4gm", "l4gm")])
def test_the_page_runs_the_networks_whose_weights_it_was_given(app, red_clip, asked, taken):
    from gradio_client import Client, handle_file

    before = app.folders()
    Client(app.url, verbose=False).predict(
        clip=handle_file(red_clip), preset="preview", seed=0, frames=2, size=64, drawing_steps=1,
        resolution=24, points=200, most_points=200, static_steps=2, dynamic_steps=4, image_size=32,
        video_size=64, video_seconds=0.5, views_engine=asked, api_name="/generate",
    )  # fmt: skip
    (folder,) = app.folders() - before
    stages = json.loads((folder / "run.json").read_text())["stages"]
    engines = [stages[name]["engine"] for name in ("matting", "multiview", "features", "mesh")]
    assert engines == ["rembg", taken, "dinov2", "instantmesh"]
    assert (folder / "exports/ds4d.zip").stat().st_size > 0


@pytest.mark.slow
def test_words_become_pictures_and_one_of_them_clips(app, chromium, screenshot):
    before = app.folders()
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(app.url)
    open_tab(page, "Words")
    page.fill("#words textarea", "a red fox")
    page.click("#draw")
    wait_for_card(page, "Picture", "done")
    assert titles(page) == ["Seed 0", "Seed 1"]
    screenshot(page, "18_pictures_of_words")
    page.click("button.draft[data-name='seed_1.png']")
    page.wait_for_selector("#picture:visible")
    page.check("#engine input[value='wan']")
    page.fill("#motion textarea", "it jumps")
    page.click("#move")
    wait_for_card(page, "Motion", "running")
    page.wait_for_selector("#strip .card[data-card='Motion']:has-text(' of 200')")
    assert states(page)[:2] == ["done", "running"]
    screenshot(page, "19_clips_of_a_network")
    page.click("#cancel")
    page.wait_for_selector("#notice:has-text('Cancelled.')")
    (folder,) = app.folders() - before
    page.close()
