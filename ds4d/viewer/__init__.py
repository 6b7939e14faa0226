"""Browser player: orbit and scrub a packed 4D file, in plain WebGL2 without libraries.

Embedding: put `head()` into the page's <head> once (in Gradio: `launch(head=head())`, or
`gr.HTML(head=head())`) and `element(url)` wherever a player should appear (in Gradio: as the value
of a `gr.HTML`; a new value opens the new file). The script is inline and requests nothing but the
packed file. `url` may be absolute or relative to the page, so it works behind a path prefix: any
address under which the server delivers exports/object.ds4d, such as
"gradio_api/file=/path/to/exports/object.ds4d".

Scripting: the element has `camera` ({azimuth, elevation, radius, fov, target}, degrees), `time`
(0 to 1), `play()`, `pause()`, the promises `ready` (first frame) and `loaded` (last frame),
`draw()` (resolves when the current view is on the canvas) and `pixels()`; its data-state ends as
"ready" or "failed".

Styling: custom properties --ds4d-accent, --ds4d-radius, and --ds4d-aspect and --ds4d-height (aspect
ratio and maximum height of the viewport) on ds4d-player. Dark and light follow the inherited
`color-scheme`, or an ancestor with the class "dark".

`write_html` writes a page that needs neither other files nor a server.
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
    """Return the player as one script without imports, which defines the element <ds4d-player>."""
    style = json.dumps((FOLDER / "player.css").read_text())
    modules = [(FOLDER / f"{name}.js").read_text() for name in MODULES]
    parts = [_EXPORT.sub("", _IMPORT.sub("", module)) for module in modules]
    return "\n".join(["{", f"const STYLE = {style};", *parts, "}"])


def head() -> str:
    """Return the <script> element for the page's <head>."""
    return f'<script type="module">{script()}</script>'


def element(
    src: str,  # address of the packed file
    *,
    poster: str | None = None,  # address of an image, shown until the first frame has loaded
    fallback: str | None = None,  # address of a video, shown if WebGL2 is missing
    label: str | None = None,  # accessible label
    autoplay: bool = True,  # ignored if the visitor prefers reduced motion
    rotate: bool = False,  # start the turntable; as above
    background: Background | None = None,  # None: white, or black on a dark page
    azimuth: float | None = None,  # degrees, initial view; None: the input camera
    elevation: float | None = None,  # degrees
) -> str:
    """Return the HTML of a player element."""
    attributes = {
        "src": src, "poster": poster, "fallback": fallback, "label": label,
        "autoplay": None if autoplay else "no", "rotate": "" if rotate else None,
        "background": background, "azimuth": azimuth, "elevation": elevation,
    }  # fmt: skip
    text = [f'{k}="{html.escape(str(v))}"' for k, v in attributes.items() if v is not None]
    return f"<ds4d-player {' '.join(text)}></ds4d-player>"


def write_html(path: Path, packed: bytes, label: str = "A 4D object") -> None:
    """Write one HTML file that contains and plays a packed 4D file (export/packed.py)."""
    page = Template((FOLDER / "page.html").read_text()).substitute(
        label=html.escape(label),
        element=element("#ds4d-data", label=label),
        data=base64.b64encode(packed).decode(),
        script=script(),
    )
    path.write_text(page)
