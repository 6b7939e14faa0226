"""The addresses of files that Gradio serves: uploads, bundled examples and what runs have made."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote


def served(path: Path) -> str:
    """The address of a file, relative to the page."""
    return f"gradio_api/file={quote(str(path))}"


def served_anew(path: Path) -> str:
    """The same for a file that may change: another content has another address."""
    return f"{served(path)}?{path.stat().st_mtime_ns}"
