"""HTTP clients for the requests that ccproxy makes for itself. They say who asks."""

from __future__ import annotations

from typing import Any

import httpx

VERSION = "0.1.0"
"""The same as in pyproject.toml, which isn't there for a program that runs from its folder."""
USER_AGENT = f"ccproxy/{VERSION}"
"""Of every request that we make, for ourselves or for a client."""

_HEADERS = {"user-agent": USER_AGENT}


def sync_client(**options: Any) -> httpx.Client:
    """`options`: as httpx.Client takes them."""
    return httpx.Client(headers=_HEADERS, **options)


def async_client(**options: Any) -> httpx.AsyncClient:
    """`options`: as httpx.AsyncClient takes them."""
    return httpx.AsyncClient(headers=_HEADERS, **options)
