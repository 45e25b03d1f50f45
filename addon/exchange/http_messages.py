"""What the head of a request or an answer says, read in one pass."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from mitmproxy import http


def lowered(headers: http.Headers) -> dict[str, str]:
    """The headers by lower-case name; those that come more than once are joined, as RFC 9110 5.3 says.

    `Headers.items()` looks through all of them again for each."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers.fields:
        name = raw_name.decode("utf-8", "surrogateescape").lower()
        value = raw_value.decode("utf-8", "surrogateescape")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


@lru_cache(256)
def is_this_machine(peer: str) -> bool:
    """Whether an address, with or without a zone (`fe80::1%eth0`), is a loopback one. Raises ValueError for none."""
    return ipaddress.ip_address(peer.partition("%")[0]).is_loopback
