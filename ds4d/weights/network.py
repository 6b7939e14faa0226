"""Whether something can be downloaded: one short question, and its answer is kept a while."""

from __future__ import annotations

import threading
import time
from urllib.parse import urlsplit

SECONDS = 2.5  # how long an answer may take
KEPT = 180.0  # how long an answer holds, seconds

_answers: dict[str, tuple[float, str]] = {}  # address or host -> when asked, obstacle


def obstacle(address: str) -> str:
    """Why nothing can be downloaded from an address, in words; "" when it answers.

    Asks once and waits for SECONDS in all, also where names are not resolved; a host that did not
    answer is not asked again for KEPT seconds, whatever the address.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    host = urlsplit(address).netloc
    for key in (host, address):
        when, words = _answers.get(key, (-KEPT, ""))
        if time.monotonic() - when < KEPT:
            return words
    status = _ask(address)
    if status is None:
        words = f"{host} cannot be reached"
        _answers[host] = (time.monotonic(), words)
        return words
    words = describe(status, host)
    _answers[address] = (time.monotonic(), words)
    return words


def describe(status: int, host: str) -> str:
    """An HTTP status in words; "" when it is fine."""
    if status < 400:
        return ""
    if status in (401, 403):
        return f"{host} wants a login: set HF_TOKEN to a token whose owner accepted the terms"
    if status == 404:
        return f"{host} does not have it"
    return f"{host} answers with error {status}"


def _ask(address: str) -> int | None:
    """The HTTP status of an address, None without an answer in time."""
    from huggingface_hub.utils import build_hf_headers, get_session

    answer: list[int] = []

    def ask() -> None:
        headers = build_hf_headers() if "/api/models/" in address else {}
        try:
            response = get_session().head(
                address, headers=headers, timeout=SECONDS, follow_redirects=True
            )
            answer.append(response.status_code)
        except Exception:  # of any library between here and there: no answer
            pass

    # In a thread of its own, because looking a host's name up knows no time limit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return answer[0] if answer else None
