"""Creates HTTP clients for ccproxy's own requests, with its user agent."""

from __future__ import annotations

from typing import Any

import httpx

from addon.core.version import version

USER_AGENT = f"ccproxy/{version()}"
"""Sent with all our requests, also those for clients."""

_HEADERS = {"user-agent": USER_AGENT}


def sync_client(**options: Any) -> httpx.Client:
    """`options`: as httpx.Client takes them."""
    return httpx.Client(headers=_HEADERS, **options)


def async_client(**options: Any) -> httpx.AsyncClient:
    """`options`: as httpx.AsyncClient takes them."""
    return httpx.AsyncClient(headers=_HEADERS, **options)
