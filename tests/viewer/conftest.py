"""The player in a headless Chromium that draws WebGL2 in software."""

from __future__ import annotations

import functools
import http.server
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from ds4d import viewer
from ds4d.export.packed import pack
from tests.viewer.ball import SIZE, Ball

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "tests/screenshots"
HELD_BACK = 500  # bytes of slow.ds4d


@pytest.fixture(scope="session")
def ball():
    return Ball()


@pytest.fixture(scope="session")
def packed(ball):
    return pack(ball, seconds=2.0)


@dataclass
class Site:
    """A folder, and the address under which a server hands out what lies in it."""

    folder: Path
    address: str
    gate: threading.Event  # the last bytes of slow.ds4d are sent once it is set


@pytest.fixture
def site(tmp_path):
    gate = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def copyfile(self, source, target):
            if self.path == "/slow.ds4d":
                data = source.read()
                target.write(data[:-HELD_BACK])
                gate.wait(90)
                target.write(data[-HELD_BACK:])
            else:
                super().copyfile(source, target)

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(tmp_path, f"http://127.0.0.1:{server.server_port}", gate)
        server.shutdown()


@pytest.fixture
def visit(chromium, site, packed):
    """Open a page with a player; at the end it may not have complained or called elsewhere."""
    troubles, contexts = [], []
    (site.folder / "ball.ds4d").write_bytes(packed)

    def open_page(width=SIZE + 2, height=600, source="ball.ds4d", before="", options=None, **more):
        context = chromium.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.add_init_script(before)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: _note_call(troubles, r.url, site.address))
        element = viewer.element(source, **(options or {"label": "A swaying ball"}))
        (site.folder / "index.html").write_text(_page(element))
        page.goto(f"{site.address}/index.html")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles


def _page(element: str) -> str:
    about = '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
    return (
        f"<!doctype html><html><head>{about}{viewer.head()}</head>"
        f'<body style="margin:0">{element}</body></html>'
    )


def _note_call(troubles: list[str], url: str, home: str) -> None:
    if not url.startswith((home, "data:", "blob:", "file:")):
        troubles.append(f"call to elsewhere: {url}")


@pytest.fixture
def screenshot():
    SCREENSHOTS.mkdir(exist_ok=True)
    return lambda page, name: page.screenshot(path=SCREENSHOTS / f"{name}.png")
