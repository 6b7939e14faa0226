"""The browser of all tests that open pages. A process can have only one of its kind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL without a GPU
    "--disable-gpu-compositing",  # all else is faster without
]  # fmt: skip


def program() -> str:
    """Path of Chromium; without it the test is skipped."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return found or pytest.skip("no Chromium on this machine")


@contextmanager
def opened() -> Iterator[Browser]:
    executable = program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()
