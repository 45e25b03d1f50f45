"""A server in a thread with an event loop of its own, so that sync and async tests use it alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from addon.stand_in.server import HttpServer


class ServerThread:
    def __init__(self, server: HttpServer, host: str, port: int) -> None:
        self._server, self._host, self._port = server, host, port
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._started.result(10)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._started.result().call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)

    def join(self) -> None:
        self._thread.join()

    def call[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's loop and give back its result."""
        return asyncio.run_coroutine_threadsafe(work, self._started.result()).result(10)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        try:
            await self._server.start(self._host, self._port)
        except OSError as error:
            self._started.set_exception(error)
            return
        self._started.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        await self._server.stop()
