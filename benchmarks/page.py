"""Waiting times of a visitor: until the page is ready, and until an example's result is shown.

python -m benchmarks.page [--json benchmarks/results/page.json]

Starts the app as a process of its own and opens it in headless Chromium, which draws WebGL by
software. Needs what requirements-test.txt installs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from .speed.measure import machine

if TYPE_CHECKING:
    from playwright.sync_api import Page

FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
ROUNDS = 3  # times that each example is clicked


@dataclasses.dataclass(frozen=True)
class Options:
    json: Path | None = None
    """file for the figures"""


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - started, 2)


def visit(folder: str) -> dict:
    """Seconds from the app's start to its first answer, to a page with everything on it, and from
    each click on an example to a picture of its result."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "DS4D_RUNS": folder}
    started = time.perf_counter()
    app = subprocess.Popen([sys.executable, "app.py"], env=environment, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        answered = _wait_for(url) - started
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=FLAGS
            )
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            opened = time.perf_counter()
            page.goto(url)
            page.wait_for_selector(".example")
            ready = time.perf_counter() - opened
            clicks = _clicks(page)
            browser.close()
    finally:
        app.terminate()
        app.wait()
    return {"answers": round(answered, 2), "page_is_there": round(ready, 2), "examples": clicks}


def _wait_for(url: str) -> float:
    """The moment when somebody answers there."""
    while True:
        try:
            urllib.request.urlopen(url, timeout=5)
            return time.perf_counter()
        except OSError:
            time.sleep(0.02)


def _clicks(page: Page) -> dict[str, list[float]]:
    """Seconds from a click to the first picture of the result's orbit, in the browser's own time,
    the first of each example when nothing of it is in the browser's cache."""
    names = page.eval_on_selector_all(".example", "all => all.map(one => one.dataset.name)")
    page.evaluate("addEventListener('click', () => window.clicked = performance.now(), true)")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            page.click(f".example[data-name='{name}']")
            page.wait_for_selector(f"#head:has-text('{name.capitalize()}')")
            page.wait_for_function("document.querySelector('#orbit video')?.readyState >= 2")
            waited = page.evaluate("(performance.now() - clicked) / 1000")
            seconds[name].append(round(waited, 2))
            page.wait_for_timeout(4000)  # as long as a visitor looks, and the rest may load
    return seconds


def main(options: Options) -> None:
    figures = {
        "machine": machine(),
        "import_app": seconds_of(["-c", "import app"]),
        "help": seconds_of(["-m", "ds4d", "--help"]),
    }
    with tempfile.TemporaryDirectory() as folder:
        figures |= visit(folder)
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
