"""Addresses of visitors, behind proxies that are trusted or not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from starlette.datastructures import Headers

from page.visitors import address


def request(host: str, *forwarded: str) -> SimpleNamespace:
    raw = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    return SimpleNamespace(client=SimpleNamespace(host=host), headers=Headers(raw=raw))


@pytest.mark.parametrize(
    "forged", [(), ("1.1.1.1",), ("1.1.1.1, 2.2.2.2",), ("1.1.1.1", "3.3.3.3")]
)
def test_without_a_proxy_only_the_connection_counts(forged):
    assert address(request("9.9.9.9", *forged), 0) == "9.9.9.9"


@pytest.mark.parametrize("forged", [(), ("1.1.1.1",), ("evil, 2.2.2.2",)])
def test_a_trusted_proxy_s_entry_is_believed_and_no_earlier_one(forged):
    lines = [*forged, "7.7.7.7"]
    assert address(request("10.0.0.1", *lines), 1) == "7.7.7.7"
    assert address(request("10.0.0.1", ", ".join(lines)), 1) == "7.7.7.7"
    assert address(request("10.0.0.1", ", ".join([*lines, "10.0.0.2"])), 2) == "7.7.7.7"


def test_ports_and_the_lower_half_of_ipv6_tell_nobody_apart():
    assert address(request("10.0.0.1", "7.7.7.7:1234"), 1) == "7.7.7.7"
    same = {address(request(f"2001:db8:1:2::{n}"), 0) for n in (1, 2)}
    assert same == {"2001:db8:1:2::/64"}
    assert address(request("::ffff:7.7.7.7"), 0) == "7.7.7.7"


def test_requests_without_an_address_are_one_visitor():
    assert address(None, 0) == address(SimpleNamespace(client=None, headers={}), 1) == ""
