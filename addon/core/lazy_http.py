"""An HTTP transport whose client is created, in a thread, when the first request is sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import httpx

logger = logging.getLogger(__name__)

_BAD_ENVIRONMENT = (ImportError, OSError, ValueError, httpx.InvalidURL)
"""What httpx raises for a wrong proxy or wrong certificates in the environment; none is an httpx.HTTPError."""


class LazyTransport(httpx.AsyncBaseTransport):
    """Creates its client with the first request: reading the CA certificates takes 20 to 30 ms, which would delay the
    start and block the event loop, and many runs never need it."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        """`make`: creates the client. Called in a thread, once unless it raises. The client is closed with this."""
        self._make = make
        self._client: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.ConnectError if no client can be created with this environment; the next request tries
        again."""
        async with self._making:
            if self._client is None:
                self._client = await self._made(request)
        return await self._client.send(request, stream=True)

    async def _made(self, request: httpx.Request) -> httpx.AsyncClient:
        try:
            return await asyncio.to_thread(self._make)
        except _BAD_ENVIRONMENT as error:
            message = _advice(error)
            # Logged, since callers report only the type of the error to their clients.
            logger.error("%s", message)
            raise httpx.ConnectError(message, request=request) from error

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
