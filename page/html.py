"""HTML of the page: Jinja templates with autoescape, and the addresses of files in them."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from ds4d.format import duration, file_size, rough_duration

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values) -> str:
    """The HTML of templates/NAME.html; values are escaped."""
    return _environment().get_template(f"{template}.html").render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (duration, file_size, rough_duration, served, served_fresh, image_size)
    environment.filters |= {function.__name__: function for function in filters}
    return environment


def notice(
    sentence: str, hint: str = "", kind: str = "info", link: tuple[str, str] | None = None
) -> str:
    """A message above the results: a sentence and what to do about it; a link is (url, text)."""
    return render("notice", sentence=sentence, hint=hint, kind=kind, link=link)


def served(path: Path) -> str:
    """URL, relative to the page, of an upload, an example or a result."""
    return f"gradio_api/file={quote(str(path))}"


def served_fresh(path: Path) -> str:
    """URL of a file that may change: it changes with the file, so that browsers load it again."""
    return f"{served(path)}?{path.stat().st_mtime_ns}"


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file, read from its header."""
    with Image.open(path) as image:
        return image.size


def data_url(pixels: np.ndarray, kind: str) -> Markup:
    """An image [H, W] or [H, W, 3] uint8 as a data URL; `kind` is JPEG or PNG."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, quality=85)
    encoded = base64.b64encode(data.getvalue()).decode()
    return Markup(f"data:image/{kind.lower()};base64,{encoded}")
