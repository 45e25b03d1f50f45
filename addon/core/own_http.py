"""Sends ccproxy's own HTTP requests, with its user agent.

httpx is imported with the first one: that takes 10 ms, which would be a tenth of what ccproxy adds to the start.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from addon.core.frozen import frozen
from addon.core.version import VERSION

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

USER_AGENT = f"ccproxy/{VERSION}"
"""Sent with all our requests, also those for clients."""

_HEADERS = {"user-agent": USER_AGENT}

NOT_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"})
"""Names of httpx's errors that come before anything is sent."""


def timeouts(seconds: float, connect: float = 10.0) -> tuple[float, float, float, float]:
    """As httpx takes them: for connecting, reading, writing, and waiting for a connection."""
    return connect, seconds, seconds, seconds


def sync_client(**options: Any) -> httpx.Client:
    """`options`: as httpx.Client takes them."""
    import httpx

    return httpx.Client(headers=_HEADERS, **options)


def async_client(**options: Any) -> httpx.AsyncClient:
    """`options`: as httpx.AsyncClient takes them."""
    import httpx

    return httpx.AsyncClient(headers=_HEADERS, **options)


def own_http(**options: Any) -> OwnHttp:
    """`options`: as httpx.AsyncClient takes them."""
    return OwnHttp(functools.partial(async_client, **options))


class HttpError(Exception):
    """There is no response. The message is the name of httpx's error, which may quote the URL itself."""

    @property
    def sent(self) -> bool:
        """Whether the request may have arrived."""
        return str(self) not in NOT_SENT


@frozen
class OwnResponse:
    status: int
    headers: Mapping[str, str]
    """Found whatever their case."""
    body: bytes


class OwnHttp:
    """Creates its client with the first request, in a thread: with httpx, the CA certificates are read, which takes 20
    to 30 ms and would block the event loop. Many runs never need it."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        """`make`: creates the client. Called in a thread, once unless it raises. The client is closed with this."""
        self._make = make
        self._client: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()

    async def request(
        self, method: str, url: str, *, most: int | None = None, **options: Any
    ) -> OwnResponse:
        """`most`: bytes of the body after which the rest is not read. `options`: as httpx's `request` takes them.
        Raises HttpError; if no client can be created with this environment, the next request tries again."""
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(self._made)
        import httpx

        body = bytearray()
        try:
            async with self._client.stream(method, url, **options) as response:
                async for piece in response.aiter_bytes():
                    body += piece
                    if most is not None and len(body) > most:
                        break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HttpError(type(error).__name__) from error
        return OwnResponse(response.status_code, response.headers, bytes(body))

    def _made(self) -> httpx.AsyncClient:
        import httpx

        try:
            return self._make()
        # what httpx raises for a wrong proxy or wrong certificates in the environment
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
            # Logged, since callers report only the type of the error to their clients.
            logger.error("%s", _advice(error))
            raise HttpError("ConnectError") from error

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _advice(error: Exception) -> str:
    # The message about an address may quote a part of its password.
    reason = str(error) if isinstance(error, OSError | ImportError) else type(error).__name__
    return (
        f"No connection is possible with the proxy or certificates in the environment: {reason}. "
        "Correct or unset ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE or SSL_CERT_DIR."
    )
