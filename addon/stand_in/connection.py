"""One client connection: requests in, scripted answers out, and the moment the client leaves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol

import h11

from addon.stand_in.delivery import Delivery, Response, wait
from addon.stand_in.record import Log, Opened, Received


class _Settable(Protocol):
    def setsockopt(self, level: int, option: int, value: bytes, /) -> None: ...


def reset_on_close(sock: _Settable) -> None:
    """Make the close of this socket a RST: linger on, for zero seconds."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01" + bytes(7))


class _Cut(Exception):
    """The answer was broken off as scripted; the connection is done."""


class Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opened: Opened, log: Log
    ) -> None:
        self.idle = True
        self._reader, self._writer, self._opened, self._log = reader, writer, opened, log
        # A generous head: tests send long header lists to see what the proxy lets through.
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._gone = asyncio.Event()

    def close(self) -> None:
        self._writer.close()

    async def serve(
        self, handler: Callable[[Received], Awaitable[Response]], idle_timeout: float | None
    ) -> None:
        pump = asyncio.create_task(self._pump())
        try:
            while (request := await self._next_request(idle_timeout)) is not None:
                await self._answer(request, handler)
                if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                    break
                self._http.start_next_cycle()
        except (_Cut, h11.ProtocolError, ConnectionError):
            pass
        finally:
            pump.cancel()
            self._writer.close()
            with contextlib.suppress(ConnectionError, OSError, TimeoutError):
                await self._writer.wait_closed()

    async def _pump(self) -> None:
        """Read all the time, also while answering: that is how a client that leaves is seen at once."""
        data = b"-"
        while data:
            try:
                data = await self._reader.read(1 << 16)
            except OSError:
                data = b""
            self._opened.bytes_in += len(data)
            if not data:
                self._opened.closed_at = time.monotonic()
                self._gone.set()
            self._arrived.put_nowait(data)

    async def _next_request(self, idle_timeout: float | None) -> Received | None:
        self.idle = True
        try:
            async with asyncio.timeout(idle_timeout):
                head = await self._next_event()
        except TimeoutError:
            return None
        if not isinstance(head, h11.Request):
            return None
        self.idle = False
        return self._note(head, await self._body())

    async def _next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                self._writer.write(self._http.send(go_on) or b"")
            self._http.receive_data(await self._arrived.get())
        return event

    async def _body(self) -> bytes:
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
        return bytes(body)

    def _note(self, head: h11.Request, body: bytes) -> Received:
        self._opened.requests += 1
        request = Received(
            number=next(self._log.request_numbers),
            connection=self._opened.number,
            nth=self._opened.requests,
            peer_port=self._opened.peer_port,
            method=head.method.decode("latin-1"),
            target=head.target.decode("latin-1"),
            headers=[
                (k.decode("latin-1"), v.decode("latin-1")) for k, v in head.headers.raw_items()
            ],
            body=body,
            time=time.monotonic(),
            wall=time.time(),
        )
        self._log.requests.append(request)
        return request

    async def _answer(
        self, request: Received, handler: Callable[[Received], Awaitable[Response]]
    ) -> None:
        work = asyncio.create_task(self._handle(request, handler))
        gone = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                self._left(request)
                raise _Cut
            work.result()
        except ConnectionError:
            self._left(request)
            raise
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
            request.ended_at = time.monotonic()

    def _left(self, request: Received) -> None:
        request.outcome = "client_closed"
        request.closed_at = self._opened.closed_at or time.monotonic()

    async def _handle(
        self, request: Received, handler: Callable[[Received], Awaitable[Response]]
    ) -> None:
        response = await handler(request)
        request.status = response.status
        await self._deliver(request, response)

    async def _deliver(self, request: Received, response: Response) -> None:
        how = response.how
        await wait(how.hold)
        if how.cut and how.after_events is None and how.after_bytes is None:
            await self._cut(request, how)
        if how.framing == "close":
            # To an HTTP/1.0 client h11 delimits the body by the end of the connection.
            self._http.their_http_version = b"1.0"
        # A HEAD has the head of the answer and no body.
        parts = response.parts if request.method != "HEAD" else ()
        # "answered" is said before the last byte leaves: a test may look as soon as its client has it.
        request.outcome = "open" if parts else "answered"
        self._send(_head(response))
        for number, part in enumerate(parts):
            await self._pace(how, number)
            request.outcome = "open" if number + 1 < len(parts) else "answered"
            await self._send_part(request, how, number, part)
        if how.cut in ("fin", "rst"):
            await self._cut(request, how)
        self._send(h11.EndOfMessage())
        await self._writer.drain()
        if how.close:
            self._writer.close()

    async def _pace(self, how: Delivery, number: int) -> None:
        if number == how.pause_after:
            await wait(how.pause)
        elif number and how.every:
            await asyncio.sleep(how.every)

    async def _send_part(self, request: Received, how: Delivery, number: int, part: bytes) -> None:
        room = len(part) if how.after_bytes is None else how.after_bytes - request.bytes_sent
        if number == how.after_events or room <= 0:
            await self._cut(request, how)
        if room < len(part):
            self._send_torn(how, part, room)
            self._note_sent(request, part[:room])
            await self._cut(request, how)
        size = how.piece or len(part) or 1
        for start in range(0, len(part), size):
            self._send(h11.Data(data=part[start : start + size]))
            await self._writer.drain()
        self._note_sent(request, part)

    def _note_sent(self, request: Received, data: bytes) -> None:
        request.bytes_sent += len(data)
        if self._log.keep_answers:
            request.answer += data

    def _send_torn(self, how: Delivery, part: bytes, room: int) -> None:
        """`room` bytes of a chunk whose head promises all of it, so that the client sees a torn chunk."""
        if how.cut == "end":
            self._send(h11.Data(data=part[:room]))
            return
        framed = self._http.send(h11.Data(data=part)) or b""
        head = framed.index(part)
        self._writer.write(framed[: head + room])

    async def _cut(self, request: Received, how: Delivery) -> None:
        request.outcome = "cut"
        await self._writer.drain()
        if how.cut == "end":
            self._send(h11.EndOfMessage())
        elif how.cut == "rst":
            # Let what was written leave first: a reset throws away what still lies in the buffer.
            await asyncio.sleep(0.02)
            reset_on_close(self._writer.get_extra_info("socket"))
            self._writer.transport.abort()
        raise _Cut

    def _send(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")


def _head(response: Response) -> h11.Response:
    headers = [*response.headers, ("date", "Sun, 22 Nov 2026 12:00:00 GMT")]
    framing = response.how.framing or ("chunked" if response.stream else "length")
    if framing == "length":
        headers.append(("content-length", str(sum(map(len, response.parts)))))
    elif framing == "close":
        headers.append(("connection", "close"))
    else:
        headers.append(("transfer-encoding", "chunked"))
    reason = HTTPStatus(response.status).phrase if response.status in set(HTTPStatus) else "Unknown"
    return h11.Response(status_code=response.status, headers=headers, reason=reason.encode())
