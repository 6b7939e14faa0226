"""The address that a visitor is known by, behind a stated number of proxies."""

from __future__ import annotations

import ipaddress

import gradio as gr

NETWORK_BITS = 64  # of an IPv6 address: a single visitor has all addresses below


def address(request: gr.Request | None, trusted_hops: int) -> str:
    """The visitor's address, as far as it can be believed.

    Every proxy appends the address that it was called from to X-Forwarded-For; whatever stands
    before the entries of trusted proxies was written by the visitor and is not read.

    Args:
        trusted_hops: number of proxies of the operator between the visitor and the page.
    """
    seen = [getattr(getattr(request, "client", None), "host", None) or ""]
    headers = getattr(request, "headers", None) or {}
    if hasattr(headers, "getlist"):
        lines = headers.getlist("x-forwarded-for")
    else:
        lines = [headers.get("x-forwarded-for", "")]
    forwarded = [entry.strip() for entry in ",".join(lines).split(",") if entry.strip()]
    chain = [*forwarded, *seen][-(trusted_hops + 1) :]
    return _network(chain[0])


def _network(host: str) -> str:
    """An address without its port; of IPv6, the network."""
    host = host.strip("[]") if host.count(":") != 1 else host.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(host.partition("]")[0])
    except ValueError:
        return host
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, NETWORK_BITS), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
