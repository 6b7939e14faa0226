"""Reachability of downloads: one short request per host, whose answer is kept for a while.

huggingface_hub's own requests know no limit on the resolution of names and pooch's no limit in all,
so that a run without a network would wait for minutes before it falls back to classical engines.
"""

from __future__ import annotations

import threading
import time
from urllib.parse import urlsplit

TIMEOUT = 3.0  # seconds in all, with the resolution of the host's name
VALID_FOR = 180.0  # seconds

_answers: dict[str, tuple[float, str]] = {}  # URL or host -> time of the request, obstacle


def obstacle(url: str) -> str:
    """Reason why nothing can be downloaded from a URL, as a phrase; "" when it can.

    A host that did not answer is not asked again for VALID_FOR seconds, whatever the URL.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    host = urlsplit(url).netloc
    for key in (host, url):
        requested, reason = _answers.get(key, (float("-inf"), ""))
        if time.monotonic() - requested < VALID_FOR:
            return reason
    status = _request_status(url)
    reason = status_message(status, host) if status else f"{host} cannot be reached"
    _answers[url if status else host] = (time.monotonic(), reason)
    return reason


def status_message(status: int, host: str) -> str:
    """An HTTP error status as a phrase; "" for a success."""
    if status < 400:
        return ""
    if status in (401, 403):
        return (
            f"{host} wants a login for them: set HF_TOKEN to a token of an account that has "
            "accepted their terms"
        )
    if status == 404:
        return f"{host} does not have them"
    return f"{host} answers with error {status}"


def _request_status(url: str) -> int:
    """The HTTP status of a URL; 0 without an answer in time."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session

    headers = build_hf_headers() if url.startswith(constants.ENDPOINT) else {}
    statuses: list[int] = []

    def request() -> None:
        try:
            with get_session().stream(
                "GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True
            ) as response:  # only its headers are read
                statuses.append(response.status_code)
        except Exception:  # whatever fails on the way: there is no answer
            pass

    # In a thread of its own, because the resolution of a host's name has no time limit.
    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return statuses[0] if statuses else 0
