"""Whether something can be downloaded: one short question, and its answer is kept a while."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlsplit

SECONDS = 3.0  # how long an answer may take
KEPT = 180.0  # how long an answer holds, seconds

_answers: dict[str, tuple[float, str]] = {}  # address or host -> when it was asked, the obstacle


def obstacle(address: str) -> str:
    """Why nothing can be downloaded from an address, in words; "" when it can.

    Asks once and waits for SECONDS in all, also where names are not resolved. A host that did not
    answer is not asked again for KEPT seconds, whatever the address.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    host = urlsplit(address).netloc
    for key in (host, address):
        when, words = _answers.get(key, (float("-inf"), ""))
        if time.monotonic() - when < KEPT:
            return words
    status = _ask(address)
    words = describe(status, host) if status else f"{host} cannot be reached"
    _answers[address if status else host] = (time.monotonic(), words)
    return words


def describe(status: int, host: str) -> str:
    """An HTTP status in words; "" when it is fine."""
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


def _ask(address: str) -> int:
    """The HTTP status of an address; 0 without an answer in time."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session

    headers = build_hf_headers() if address.startswith(constants.ENDPOINT) else {}
    answers: list[int] = []

    def ask() -> None:
        try:
            with get_session().stream(
                "GET", address, headers=headers, timeout=SECONDS, follow_redirects=True
            ) as response:  # its head is enough
                answers.append(response.status_code)
        except Exception:  # from whatever lies between here and there: no answer
            pass

    # In a thread of its own, because looking up a host's name knows no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return answers[0] if answers else 0
