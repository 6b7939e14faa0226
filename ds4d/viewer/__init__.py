"""The browser player: orbit and scrub a packed 4D file, with WebGL2 and nothing else.

How a page embeds it: put `head()` into the page's <head> once (in Gradio: `launch(head=head())`, or
`gr.HTML(head=head())`), and show `element(url)` wherever a player shall stand (in Gradio: as the
value of a `gr.HTML`; a new value opens the new file). The script is inlined and asks the network
for nothing but the packed file; `url` may be absolute or relative to the page, so a path prefix
does no harm: any address under which the server hands out exports/object.ds4d, such as
"gradio_api/file=/path/to/exports/object.ds4d". In the page's scripts, the element has `camera`
({azimuth, elevation, radius, fov, target}, degrees), `time` (0 to 1), `play()`, `pause()`, the
promises `ready` (first picture) and `loaded` (last frame), `draw()` (resolves when the present view
is on the canvas) and `pixels()`; its data-state is "ready" or "failed" in the end. The page can set
the custom properties --ds4d-accent, --ds4d-radius, and --ds4d-aspect and --ds4d-height (the ratio
and the most height of the stage) on ds4d-player; dark and light follow the `color-scheme` that the
element inherits, or an ancestor with the class "dark". `write_html` makes a file that needs no page
and no server.
"""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from string import Template
from typing import Literal

FOLDER = Path(__file__).parent
MODULES = (
    "camera", "sorter", "renderer", "packed", "adaptive_resolution", "viewport", "controls",
    "template", "player",
)  # fmt: skip
Background = Literal["white", "grey", "black", "checker"]
_IMPORT = re.compile(r"^import .* from \"\./\w+\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


def script() -> str:
    """The player as one script without imports. Loading it defines the element <ds4d-player>."""
    style = json.dumps((FOLDER / "player.css").read_text())
    modules = [(FOLDER / f"{name}.js").read_text() for name in MODULES]
    parts = [_EXPORT.sub("", _IMPORT.sub("", module)) for module in modules]
    return "\n".join(["{", f"const STYLE = {style};", *parts, "}"])


def head() -> str:
    """What a page needs in its <head>, once."""
    return f'<script type="module">{script()}</script>'


def element(
    src: str,  # address of the packed file
    *,
    poster: str | None = None,  # address of a picture, shown until the first frame is there
    fallback: str | None = None,  # address of a video, shown where WebGL2 is missing
    label: str | None = None,  # what it shows, for people who do not see it
    autoplay: bool = True,  # never where the visitor prefers reduced motion
    rotate: bool = False,  # start turning by itself; as above
    background: Background | None = None,  # None: white, or black on a dark page
    azimuth: float | None = None,  # degrees, where the orbit starts; None: at the input camera
    elevation: float | None = None,  # degrees
) -> str:
    """The HTML of a player."""
    attributes = {
        "src": src, "poster": poster, "fallback": fallback, "label": label,
        "autoplay": None if autoplay else "no", "rotate": "" if rotate else None,
        "background": background, "azimuth": azimuth, "elevation": elevation,
    }  # fmt: skip
    text = [f'{k}="{html.escape(str(v))}"' for k, v in attributes.items() if v is not None]
    return f"<ds4d-player {' '.join(text)}></ds4d-player>"


def write_html(path: Path, packed: bytes, label: str = "A 4D object") -> None:
    """Write one HTML file that shows a packed 4D file (export/packed.py) without any request."""
    page = Template((FOLDER / "page.html").read_text()).substitute(
        label=html.escape(label),
        element=element("#ds4d-data", label=label),
        data=base64.b64encode(packed).decode(),
        script=script(),
    )
    path.write_text(page)
