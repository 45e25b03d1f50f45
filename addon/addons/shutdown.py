"""The end: no new requests, time for the running ones, one clear event for those that take too long."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from mitmproxy import ctx

from addon.core.errors import CCProxyError
from addon.exchange.state import Exchanges

GRACE_SECONDS = 20.0
"""For running requests to finish by themselves."""
LAST_WORDS_SECONDS = 5.5
"""For the rest to be told; a stream looks at its clock at least every five seconds."""


class Shutdown:
    """SIGTERM, SIGINT and a closed terminal (SIGHUP) end the proxy in order; a second one ends it now."""

    def __init__(self, exchanges: Exchanges) -> None:
        self.exchanges = exchanges
        self.hurry = asyncio.Event()

    def running(self) -> None:
        _on_signals(["SIGHUP"], ctx.master.shutdown)  # mitmproxy handles the other two the same way

    async def done(self) -> None:
        _on_signals(["SIGINT", "SIGTERM", "SIGHUP"], self.hurry.set)
        server = ctx.master.addons.get("proxyserver")
        if server is not None:
            await server.servers.update([])
        await self.until_quiet(GRACE_SECONDS)
        self.exchanges.closing = CCProxyError(
            "ccproxy was stopped while this answer was running.", code="shutdown"
        )
        await self.until_quiet(LAST_WORDS_SECONDS)

    async def until_quiet(self, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while self.exchanges.busy() and not self.hurry.is_set():
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.hurry.wait(), min(left, 0.05))


def _on_signals(names: list[str], call: Callable[[], None]) -> None:
    for name in names:
        number = getattr(
            signal, name, None
        )  # Windows has no SIGHUP, and its loop handles no signals
        if number is not None:
            with contextlib.suppress(NotImplementedError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, call)
