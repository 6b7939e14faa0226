"""The DS4D Space: start the page and its API."""

from __future__ import annotations

import importlib.util
import os
import sys

os.environ["NUMBA_DISABLE_CUDA"] = "1"  # numba must not start CUDA before a ZeroGPU worker forks
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # the page contacts no other host
# DS4D_TRUSTED_HOPS alone decides which proxies are believed, rather than uvicorn's own list.
os.environ["FORWARDED_ALLOW_IPS"] = ""
if importlib.util.find_spec("spaces"):
    import spaces  # noqa: F401  before anything that imports torch

from pathlib import Path

from ds4d import viewer
from ds4d.errors import UserError
from page import zerogpu
from page.jobs.service import Service
from page.layout import create_app
from page.theme import THEME

STYLES = Path(__file__).resolve().parent / "page/style.css"
# Sessions that Gradio remembers: a quarter of a megabyte for each tab, and for each call of a
# program. A forgotten tab is shown anew at its next event.
SESSIONS = 200

service = Service.from_environment()
demo = create_app(service)

if __name__ == "__main__":
    if service.on_zerogpu:
        zerogpu.prepare()
    try:
        service.start()
    except UserError as error:
        sys.exit(str(error))
    demo.launch(
        theme=THEME,
        css_paths=STYLES,
        head=viewer.head(),
        allowed_paths=[str(service.store.root)],
        max_file_size=service.limits.clip_bytes,
        footer_links=["api"],
        state_session_capacity=SESSIONS,
        run_history=False,
        mcp_server=importlib.util.find_spec("mcp") is not None,
        _frontend=False,  # skips a self-check that a busy machine fails within its 3 s
    )
