"""The progress strip and the live panel, from events alone."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from ds4d.run.events import STAGES, Event
from page.progress import Progress

FACTS = {name: {"seconds": 2.0} for name in STAGES} | {
    "matting": {"seconds": 3.0, "engine": "classical", "warnings": ["It touches the edge."]}
}


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.jpg")
    return tmp_path / "picture.jpg"


def card_states(progress: Progress) -> list[str]:
    return re.findall(r'data-state="(\w+)"', progress.strip())


def test_cards_fill_from_left_to_right(tmp_path):
    progress = Progress()
    assert card_states(progress) == ["waiting"] * 6
    progress.update(Event("clip", 1, 1), {}, tmp_path)
    progress.update(Event("matting", 3, 12, "cutting"), FACTS, tmp_path)
    assert card_states(progress) == ["done", "running", *["waiting"] * 4]
    assert "3 of 12" in progress.strip()


def test_a_card_of_two_stages_is_done_with_the_second(tmp_path):
    progress = Progress()
    progress.update(Event("multiview", 1, 1), FACTS, tmp_path)
    progress.update(Event("features", 0, 4), FACTS, tmp_path)
    assert card_states(progress)[2] == "running"
    progress.update(Event("mesh", 0, 4), FACTS, tmp_path)
    assert card_states(progress)[2:4] == ["done", "running"]
    assert "done in 4.0 s" in progress.strip()


def test_the_end_names_engines_seconds_and_warnings(tmp_path):
    progress = Progress()
    for name in STAGES:
        progress.update(Event(name, 1, 1), FACTS, tmp_path)
    progress.finish(FACTS)
    strip = progress.strip()
    assert card_states(progress) == ["done"] * 6
    assert "by background model and graph cut" in strip and "It touches the edge." in strip
    assert progress.seconds == 17.0
    assert progress.engines() == "Engines: mattes by background model and graph cut."


def test_skipped_stages_show_the_picture_they_left(tmp_path):
    (tmp_path / "previews").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "previews/clip.jpg")
    progress = Progress()
    progress.update(Event("clip", 1, 1, "done before", skipped=True), FACTS, tmp_path)
    assert card_states(progress)[0] == "before"
    assert progress.strip().count("<img") == 1


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_a_halted_run_says_where(tmp_path, state):
    progress = Progress()
    progress.update(Event("mesh", 1, 4), FACTS, tmp_path)
    progress.halt(state)
    assert card_states(progress)[3] == state


def test_warnings_show_as_they_come_and_once(tmp_path):
    progress = Progress()
    text = "It <b>stands</b> still."
    progress.update(Event("clip", 1, 1), FACTS, tmp_path)
    progress.update(Event("clip", 1, 1, text, warning=True), {}, tmp_path)
    progress.update(Event("matting", 1, 1), {"clip": {"warnings": [text]}}, tmp_path)
    assert progress.strip().count("It &lt;b&gt;stands&lt;/b&gt; still.") == 1


def test_figures_and_curves_are_those_of_the_events(tmp_path, picture):
    progress = Progress()
    for step in range(0, 400, 20):
        metrics = {"loss": 1 / (step + 1), "psnr": 10 + step / 20}
        event = Event("fourd", step, 400, "all frames", metrics=metrics)
        progress.update(event, FACTS, tmp_path, picture, at=step / 10)
    live = progress.live()
    assert "29.0 dB" in live and live.count("<polyline") == 2
    assert "10.0 steps/s" in live
    heights = [float(y) for y in re.findall(r",([\d.]+)", live.split("<polyline")[1])]
    assert heights == sorted(heights, reverse=True)  # PSNR rises, so y falls


def test_a_finished_run_is_read_from_its_folder(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"stages": FACTS}))
    progress = Progress.of_run(tmp_path)
    assert card_states(progress) == ["done"] * 6 and progress.seconds == 17.0
