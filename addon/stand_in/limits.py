"""Rate-limit headers: a subscription's windows, an API key's per-minute limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

UNIFIED = "anthropic-ratelimit-unified-"
CLAIMS = {"5h": "five_hour", "7d": "seven_day", "7d_oi": "seven_day_overage_included"}


def windows(
    resets: Mapping[str, float], rejected: frozenset[str] = frozenset(), utilization: float = 0.25
) -> dict[str, str]:
    """Headers of a subscription's windows (`5h`, `7d`, `7d_oi`), each with its reset in unix seconds."""
    headers: dict[str, str] = {}
    for window, reset in resets.items():
        full = window in rejected
        headers[f"{UNIFIED}{window}-status"] = "rejected" if full else "allowed"
        headers[f"{UNIFIED}{window}-reset"] = str(int(reset))
        headers[f"{UNIFIED}{window}-utilization"] = "1.0" if full else str(utilization)
    full_ones = [window for window in resets if window in rejected]
    named = max(full_ones or resets, key=lambda window: resets[window])
    headers[f"{UNIFIED}status"] = "rejected" if rejected else "allowed"
    headers[f"{UNIFIED}reset"] = str(int(resets[named]))
    headers[f"{UNIFIED}representative-claim"] = CLAIMS.get(named, named)
    return headers


def usual(kind: str, now: float) -> dict[str, str]:
    """What a successful answer carries for this credential kind."""
    if kind == "oauth":
        return windows({"5h": now + 3600, "7d": now + 86_400})
    reset = datetime.fromtimestamp(now + 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers: dict[str, str] = {}
    for name, limit in (("requests", 4000), ("tokens", 2_000_000)):
        values = {"limit": str(limit), "remaining": str(limit - 1), "reset": reset}
        headers |= {f"anthropic-ratelimit-{name}-{key}": value for key, value in values.items()}
    return headers
