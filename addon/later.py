"""An HTTP transport that is made when the first request is sent, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx


class Later(httpx.AsyncBaseTransport):
    """Sends with a client that is made when there is something to send: reading the authorities' certificates takes
    20 to 30 ms, which neither the start nor the event loop has to spare. Many runs never need it."""

    def __init__(self, make: Callable[[], httpx.AsyncClient]) -> None:
        """`make`: called in a thread, once unless it raises; what it makes is closed with this."""
        self._make = make
        self._client: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises what `make` raises, and tries again with the next request."""
        async with self._making:
            if self._client is None:
                self._client = await asyncio.to_thread(self._make)
        return await self._client.send(request, stream=True)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
