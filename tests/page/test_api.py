"""The endpoints, called by a real client; and a server that ends during a run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.page.conftest import started
from tests.page.test_page import TINY

CALL = """
import json, sys
from gradio_client import Client, handle_file

client, clip = Client(sys.argv[1], verbose=False), handle_file(sys.argv[2])
answers = list(client.submit(clip=clip, api_name="/generate", **json.loads(sys.argv[3])))
last = answers[-1]
again = client.predict(last["job"], api_name="/result")
print(json.dumps([answers[0], last, again, client.predict(last["job"], api_name="/status")]))
"""


@pytest.fixture(scope="module")
def client(app):
    from gradio_client import Client

    return Client(app.url, verbose=False)


@pytest.mark.slow
def test_another_process_gets_the_files(app, red_clip):
    arguments = [app.url, str(red_clip), json.dumps(TINY | {"seed": 1})]
    ran = subprocess.run(
        [sys.executable, "-c", CALL, *arguments], capture_output=True, text=True, check=True
    )
    first, last, result, status = json.loads(ran.stdout)
    assert first["state"] == "queued" and first["address"] == f"{app.url}/?job={first['job']}"
    assert last["state"] == status["state"] == "done" and last["job"] == first["job"]
    assert last["engines"]["matting"] == "classical" and last["seconds"]["fourd"] > 0
    assert set(result["files"]) >= {"orbit", "front", "bullet", "mesh", "asset", "archive"}
    assert Path(result["files"]["orbit"]).read_bytes()[4:8] == b"ftyp"
    assert "fourd.safetensors" in zipfile.ZipFile(result["files"]["archive"]).namelist()


PARAMETERS = {  # as programs see them; the order is part of the API
    "/preflight": ["clip", "preset", "start", "end"],
    "/generate": [
        "clip", "preset", "seed", "start", "end", "frames", "size", "drawing_steps", "slant",
        "depth", "redraw", "resolution", "points", "most_points", "static_steps", "dynamic_steps",
        "image_size", "exclude", "video_size", "video_seconds", "views_engine", "start_from",
        "mattes_engine", "mesh",
    ],
    "/status": ["job"],
    "/result": ["job"],
    "/cancel": ["job"],
}  # fmt: skip


def test_the_endpoints_and_their_parameters_stay(client):
    described = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    found = {
        endpoint: [parameter["parameter_name"] for parameter in description["parameters"]]
        for endpoint, description in described.items()
    }
    assert found == PARAMETERS
    optional = {
        parameter["parameter_name"]: parameter["parameter_default"]
        for parameter in described["/generate"]["parameters"]
        if parameter["parameter_has_default"]
    }
    settings = dict.fromkeys(PARAMETERS["/generate"][3:])
    assert optional == {"preset": "preview", "seed": 0, **settings}


def test_assistants_read_what_each_setting_is():
    from page.api import Api, _endpoint
    from page.settings import SETTINGS

    text = _endpoint(Api(None).generate).__doc__
    assert all(f"{name}: {setting.hint}" in text for name, setting in SETTINGS.items())


def test_errors_are_sentences(client, red_clip, tmp_path):
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="There is no run at this address."):
        client.predict("nobody knows this", api_name="/status")
    with pytest.raises(AppError, match="seed must be"):
        client.predict(clip=handle_file(red_clip), seed=-1, api_name="/generate")
    with pytest.raises(AppError):  # not a file of the server
        secret = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
        client.predict(clip=secret, api_name="/generate")


@pytest.mark.slow
def test_calls_of_programs_are_forgotten(app):
    """Gradio takes every call for a session of its own, and keeps a quarter of a megabyte of it."""

    def call(times: int) -> float:
        """Megabytes of the app after some calls."""
        for _ in range(times):
            answer = httpx.post(f"{app.url}/gradio_api/call/status", json={"data": ["nobody"]})
            path = f"{app.url}/gradio_api/call/status/{answer.json()['event_id']}"
            assert "There is no run" in httpx.get(path, timeout=60).text
        return app.process().memory_info().rss / 1e6

    before = call(220)
    assert call(80) - before < 0.1 * 80


def _has_open(process, job: str) -> bool:
    return any(job in opened.path for opened in process.open_files())


@pytest.mark.slow
def test_a_job_is_cancelled_and_survives_its_server(tmp_path, red_clip):
    from gradio_client import Client, handle_file

    long = TINY | {"dynamic_steps": 20_000}

    def order(client):
        calling = client.submit(clip=handle_file(red_clip), api_name="/generate", **long)
        while not calling.outputs():
            time.sleep(0.1)
        return calling.outputs()[0]["job"]

    def wait_for(client, job, state, stage=None):
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            answer = client.predict(job, api_name="/status")
            if answer["state"] == state and stage in (None, answer.get("stage")):
                return answer
            time.sleep(0.3)
        pytest.fail(f"never {state}: {answer}")

    with started(tmp_path) as app:
        client = Client(app.url, verbose=False)
        first, second = order(client), order(client)
        assert wait_for(client, second, "queued")["ahead"] == 1
        wait_for(client, first, "running", "fourd")
        assert client.predict(second, api_name="/cancel")["state"] == "cancelled"
    with started(tmp_path) as app:  # the server was stopped while the first was at work
        client = Client(app.url, verbose=False)
        status = client.predict(first, api_name="/status")
        assert status["state"] == "cancelled" and "restarted" in status["sentence"]
        assert (app.runs / first / "checkpoints/latest.safetensors").exists()
        third = order(client)
        wait_for(client, third, "running", "fourd")
        workers = [child for child in app.process().children() if _has_open(child, third)]
        workers[0].kill()
        status = wait_for(client, third, "failed")
        assert "The system ended this run" in status["sentence"]
        assert client.predict(third, api_name="/status")["hint"]  # the page survives
