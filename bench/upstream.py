"""A fake Anthropic, as fast as Python allows: `python -m bench.upstream PORT`. It answers what an Order tells it to."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from functools import lru_cache
from typing import Any

from bench.workload import MODEL, Order, delta_text

_ORDER = re.compile(rb"\[\[bench deltas=(\d+) gap=(\d+) first=(\d+) stamped=([01]) hang=([01])\]\]")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_USAGE = {"input_tokens": 100, "output_tokens": 1}


def read_order(body: bytes) -> Order:
    """The last one in the request: a conversation may hold older ones."""
    *_, (deltas, gap, first, stamped, hang) = _ORDER.findall(body)
    return Order(int(deltas), int(gap), int(first), stamped == b"1", hang == b"1")


def chunk(name: str, **data: Any) -> bytes:
    """One event in its own HTTP chunk, as the API sends them."""
    text = json.dumps({"type": name, **data}, separators=(",", ":"))
    event = f"event: {name}\ndata: {text}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def opening() -> bytes:
    message: dict[str, Any] = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _USAGE,
    }
    start = chunk("message_start", message=message)
    return start + chunk("content_block_start", index=0, content_block={"type": "text", "text": ""})


def delta(number: int, stamp: int = 0) -> bytes:
    text = {"type": "text_delta", "text": delta_text(number, stamp)}
    return chunk("content_block_delta", index=0, delta=text)


def ending(deltas: int) -> bytes:
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return (
        chunk("content_block_stop", index=0)
        + chunk("message_delta", delta=stop, usage={"output_tokens": deltas})
        + chunk("message_stop")
        + b"0\r\n\r\n"
    )


@lru_cache(32)
def whole_stream(deltas: int) -> bytes:
    return _HEAD + opening() + b"".join(map(delta, range(deltas))) + ending(deltas)


def whole_message(deltas: int) -> bytes:
    """For the targets that pass a plain request on as it is; ccproxy itself always asks for a stream."""
    text = "".join(map(delta_text, range(deltas)))
    message = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": _USAGE,
    }
    body = json.dumps(message).encode()
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Upstream(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        end = self.received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        length = _LENGTH.search(self.received, 0, end)
        size = end + (int(length[1]) if length else 0)
        if len(self.received) >= size:
            body = bytes(self.received[end:size])
            del self.received[:size]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        if not body:  # a probe
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            return
        order = read_order(body)
        streams = b'"stream":true' in body or b'"stream": true' in body
        fast = not (order.gap_ms or order.first_ms or order.stamped or order.hang)
        if fast or not streams:
            answer = whole_stream if streams else whole_message
            self.transport.write(answer(order.deltas))
            return
        loop = asyncio.get_running_loop()
        loop.call_later(order.first_ms / 1000, self.begin, order)

    def begin(self, order: Order) -> None:
        self.transport.write(_HEAD + opening())
        self.go_on(order, 0, asyncio.get_running_loop().time())

    def go_on(self, order: Order, number: int, due: float) -> None:
        if self.transport.is_closing():
            return
        if number == order.deltas:
            if not order.hang:
                self.transport.write(ending(order.deltas))
            return
        stamp = time.monotonic_ns() // 1000 if order.stamped else 0
        self.transport.write(delta(number, stamp))
        due += order.gap_ms / 1000
        asyncio.get_running_loop().call_at(due, self.go_on, order, number + 1, due)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
