"""An HTTP transport that is made when the first request is sent, in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import httpx

logger = logging.getLogger(__name__)

_BAD_ENVIRONMENT = (ImportError, OSError, ValueError, httpx.InvalidURL)
"""How httpx refuses a proxy or certificates that the environment names: none of them is an httpx.HTTPError."""


class LazyTransport(httpx.AsyncBaseTransport):
    """Sends with a client that is made when there is something to send: reading the authorities' certificates takes
    20 to 30 ms, which neither the start nor the event loop has to spare. Many runs never need it."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        """`make`: called in a thread, once unless it raises; what it makes is closed with this."""
        self._make = make
        self._client: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.ConnectError when the environment lets no client be made, and tries again with the next
        request."""
        async with self._making:
            if self._client is None:
                self._client = await self._made(request)
        return await self._client.send(request, stream=True)

    async def _made(self, request: httpx.Request) -> httpx.AsyncClient:
        try:
            return await asyncio.to_thread(self._make)
        except _BAD_ENVIRONMENT as error:
            message = _advice(error)
            # Those who call tell their clients no more than the kind of the error.
            logger.error("%s", message)
            raise httpx.ConnectError(message, request=request) from error

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def _advice(error: Exception) -> str:
    # What is said of an address may quote a part of its password.
    reason = str(error) if isinstance(error, OSError | ImportError) else type(error).__name__
    return (
        f"No connection can be made with the proxy or certificates set in the environment: {reason}. "
        "Correct or unset ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, NO_PROXY, SSL_CERT_FILE or SSL_CERT_DIR."
    )
