"""Limits, and the environment variables that set them."""

from __future__ import annotations

import pytest

from page.limits import Limits


def test_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("DS4D_CLIP_MB", "50")
    monkeypatch.setenv("DS4D_QUEUE_LENGTH", "2")
    limits = Limits.from_environment()
    assert (limits.clip_bytes, limits.queue_length) == (50_000_000, 2)
    assert limits.keep_hours == Limits().keep_hours


@pytest.mark.parametrize("text", ["many", "nan", "-1", "inf"])
def test_a_limit_that_is_no_number_ends_the_start_with_its_name(monkeypatch, text):
    monkeypatch.setenv("DS4D_DISK_GB", text)
    with pytest.raises(SystemExit, match="DS4D_DISK_GB must be"):
        Limits.from_environment()


def test_a_space_has_one_proxy_in_front_of_it(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    assert Limits.from_environment().trusted_hops == 1
    monkeypatch.setenv("DS4D_TRUSTED_HOPS", "0")
    assert Limits.from_environment().trusted_hops == 0
