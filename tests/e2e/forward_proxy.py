"""A forward proxy that takes CONNECT, as companies have them: it leads every host to one port of this machine."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self


class ForwardProxy:
    """`with ForwardProxy(fake.port) as proxy: ... proxy.url`."""

    def __init__(
        self, target: int, *, password: str = "", status: int = 200, pause: float = 0.0
    ) -> None:
        """`password`: the credentials that it asks for, in base64. `status`: of its answer to a CONNECT, after a
        `pause`; 0: it closes the connection."""
        self.pause = pause
        self.target = target
        self.password = password
        self.status = status
        self.asked: list[tuple[str, str]] = []
        """Host and credentials of each CONNECT."""
        self.open = 0
        """Tunnels."""
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.thread.start()
        starting = asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.server = asyncio.run_coroutine_threadsafe(starting, self.loop).result(10)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def stop(self) -> None:
        self.server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if await self.accept(head, writer):
                await self.tunnel(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def accept(self, head: str, writer: asyncio.StreamWriter) -> bool:
        line, *fields = head.splitlines()
        method, host, _ = line.split(" ")
        given = [f.partition(": ")[2] for f in fields if f.lower().startswith("proxy-auth")]
        self.asked.append((host, "".join(given)))
        right = not self.password or given == [f"Basic {self.password}"]
        status = self.status if right else 407
        await asyncio.sleep(self.pause)
        if status:
            writer.write(f"HTTP/1.1 {status} As configured\r\n\r\n".encode())
            await writer.drain()
        return method == "CONNECT" and status == 200

    async def tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self.target)
        self.open += 1
        try:
            await asyncio.gather(copy(reader, to_upstream), copy(upstream, writer))
        finally:
            self.open -= 1
            to_upstream.close()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
