"""Shuts down in order: no new requests, time for running ones, and an error event for those that take too long."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from mitmproxy import ctx

from addon.core.errors import CCProxyError
from addon.core.terminal import Terminal
from addon.exchange.state import Exchanges

GRACE_SECONDS = 20.0
"""For running requests to finish."""
LAST_BYTES_SECONDS = 0.1
"""A request counts as finished a moment before the end of its response is written."""
ERROR_SECONDS = 5.5
"""For errors to be sent to the rest; a stream checks the time at least every five seconds."""


class Shutdown:
    """SIGTERM, SIGINT and a closed terminal (SIGHUP) shut the proxy down; a second signal ends it at once."""

    def __init__(
        self, exchanges: Exchanges, terminal: Terminal, sum_up: Callable[[], str | None]
    ) -> None:
        """`sum_up`: a last line for the terminal."""
        self.exchanges = exchanges
        self.terminal = terminal
        self.sum_up = sum_up
        self.hurry = asyncio.Event()

    def running(self) -> None:
        _on_signals(["SIGHUP"], ctx.master.shutdown)  # mitmproxy handles the other two the same way

    async def done(self) -> None:
        _on_signals(["SIGINT", "SIGTERM", "SIGHUP"], self.hurry.set)
        server = ctx.master.addons.get("proxyserver")
        if server is not None:
            await server.servers.update([])
        if self.exchanges.busy():
            self.terminal.line(
                f"Waiting up to {GRACE_SECONDS:.0f} s for what is running. Ctrl+C again ends it now."
            )
            await self.until_quiet(GRACE_SECONDS)
            await asyncio.sleep(LAST_BYTES_SECONDS)
        self.exchanges.closing = CCProxyError(
            "ccproxy was stopped while this response was in progress.", code="shutdown"
        )
        await self.until_quiet(ERROR_SECONDS)
        if last := self.sum_up():
            self.terminal.line(last)

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
        )  # Windows has no SIGHUP, and its event loop handles no signals
        if number is not None:
            with contextlib.suppress(NotImplementedError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, call)
