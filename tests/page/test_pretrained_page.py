"""A page with a folder of weights runs the pretrained engines; a program calls it here."""

from __future__ import annotations

import json

import pytest

from tests.fakes import everything
from tests.page.conftest import started


@pytest.mark.slow
def test_the_page_runs_the_networks_whose_weights_it_was_given(tmp_path, red_clip):
    from gradio_client import Client, handle_file

    weights = everything.make(tmp_path / "weights")
    with started(tmp_path, DS4D_WEIGHTS=str(weights)) as app:
        client = Client(app.url, verbose=False)
        client.predict(
            clip=handle_file(red_clip), preset="preview", seed=0, frames=2, size=64,
            drawing_steps=1, resolution=24, points=200, most_points=200, static_steps=2,
            dynamic_steps=4, image_size=32, video_size=64, video_seconds=0.5,
            api_name="/generate",
        )  # fmt: skip
        (folder,) = app.folders()
        stages = json.loads((folder / "run.json").read_text())["stages"]
    engines = [stages[name]["engine"] for name in ("matting", "multiview", "features", "mesh")]
    assert engines == ["rembg", "zero123plus", "dinov2", "instantmesh"]
    assert (folder / "exports/ds4d.zip").stat().st_size > 0
