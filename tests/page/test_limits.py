"""Limits, and the environment variables that set them."""

from __future__ import annotations

from page.limits import Limits


def test_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("DS4D_CLIP_MB", "50")
    monkeypatch.setenv("DS4D_QUEUE_LENGTH", "2")
    limits = Limits.from_environment()
    assert (limits.clip_bytes, limits.queue_length) == (50_000_000, 2)
    assert limits.keep_hours == Limits().keep_hours
