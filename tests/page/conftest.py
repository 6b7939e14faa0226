"""The page in a real browser: the app as a process of its own, a Chromium, and small clips."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "tests/screenshots"
PATIENCE = 240_000  # milliseconds: a busy machine is slow; only a failure waits this long


@dataclass
class App:
    """The running app: its address, its folder of runs, its log and its process."""

    url: str
    runs: Path
    log: Path
    pid: int

    def process(self) -> psutil.Process:
        return psutil.Process(self.pid)

    def folders(self) -> set[Path]:
        return set(self.runs.iterdir())


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    with started(tmp_path_factory.mktemp("app")) as app:
        yield app


@contextmanager
def started(folder: Path, **environment: str) -> Iterator[App]:
    """The app in a process of its own, which ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = (
        os.environ
        | environment
        | {
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_TEMP_DIR": str(folder / "gradio"),
            "DS4D_RUNS": str(folder / "runs"),
        }
    )
    log = folder / "app.log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_answers(url, process, log)
        yield App(url, folder / "runs", log, process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_until_answers(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the app does not answer:\n{log.read_text()}")


@pytest.fixture
def visit(app, chromium):
    """Open the page as a new visitor; fails on console errors and on requests to other hosts."""
    problems, contexts = [], []

    def open_page(width: int = 1280, height: int = 900, path: str = "", **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: problems.append(f"error in the page: {error}"))
        page.on("console", lambda message: problems.extend(_console_error(message)))
        page.on("request", lambda request: problems.extend(_foreign_request(request.url, app.url)))
        page.goto(app.url + path)
        page.wait_for_selector("#strip li.card")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


# The mesh viewer logs an error when WebGPU is missing; leaving a page aborts its open requests.
HARMLESS = ("BJS", "AbortError", "Unexpected error Connection errored out")


def _console_error(message) -> list[str]:
    harmless = message.text.startswith(HARMLESS)
    return [f"console: {message.text}"] if message.type == "error" and not harmless else []


def _foreign_request(url: str, home: str) -> list[str]:
    return [] if url.startswith((home, "data:", "blob:")) else [f"request to another host: {url}"]


@pytest.fixture
def screenshot():
    """Save a screenshot of a page for people to inspect."""
    SCREENSHOTS.mkdir(exist_ok=True)

    def take(page, name: str) -> None:
        page.wait_for_timeout(400)
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return take


def draw_clip(path: Path, color: tuple[int, int, int], frames: int = 8, side: int = 96) -> Path:
    """Write a clip of a shaded ball that moves from left to right over grey."""
    rows, columns = np.mgrid[:side, :side]
    pictures = np.full((frames, side, side, 3), 225, np.uint8)
    for picture, center in zip(pictures, np.linspace(0.38, 0.62, frames) * side, strict=True):
        distance = np.hypot(columns - center, rows - side / 2) / (side * 0.26)
        shade = np.clip(1.1 - 0.5 * distance, 0, 1)[..., None]
        picture[distance < 1] = (shade * color)[distance < 1]
    iio.imwrite(path, pictures, fps=8, codec="libx264", plugin="FFMPEG")
    return path


@pytest.fixture(scope="session")
def red_clip(tmp_path_factory):
    return draw_clip(tmp_path_factory.mktemp("clips") / "red ball.mp4", (220, 40, 30))


@pytest.fixture(scope="session")
def blue_clip(tmp_path_factory):
    return draw_clip(tmp_path_factory.mktemp("clips") / "blue ball.mp4", (30, 60, 220))
