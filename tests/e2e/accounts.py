"""The proxy's accounts, and what they must be by the fake's own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from addon.stand_in.record import Received, Used, used
from tests.claude.support import CATALOGUE
from tests.e2e.proxy import Proxy


def settled(proxy: Proxy, count: int, seconds: float = 10.0) -> dict[str, Any]:
    """/analytics, once it knows of `count` requests: a client has its answer a moment before it is counted."""
    deadline = time.monotonic() + seconds
    while True:
        told: dict[str, Any] = proxy.get("/analytics?period=all").json()
        known = sum(source["requests"] for source in told["bySource"].values())
        if known >= count or time.monotonic() > deadline:
            assert known == count
            return told


def worth(requests: Iterable[Received]) -> float:
    """Dollars at list price, by a sum of our own."""
    dollars = 0.0
    for request in requests:
        usage, prices = used(request), CATALOGUE.get(request.json["model"]).prices
        dollars += usage.input * prices.input + usage.output * prices.output
        dollars += usage.written * prices.cache_write_5m + usage.read * prices.cache_read
    return dollars / 1e6


def tokens_of(source: Mapping[str, Any]) -> Used:
    """Of a part of `bySource`, or of one record."""
    assert source["cacheWrite1hTokens"] == 0
    return Used(
        input=source["inputTokens"],
        output=source["outputTokens"],
        written=source["cacheWrite5mTokens"],
        read=source["cacheReadTokens"],
        thinking=source["thinkingTokens"],
    )
