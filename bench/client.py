"""The load: plain sockets, so that the client is not what is measured. Every answer is read whole and checked."""

from __future__ import annotations

import json
import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.workload import Dialect, expected_text

PATHS: dict[Dialect, str] = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
TIMEOUT = 60.0
_STAMP = re.compile(rb"(\d+)@(\d+);")
_STAMP_TEXT = re.compile(r"@\d+;")
_FIRST = b"0@"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Wrong(Exception):
    """An answer that is not complete or not right."""


@dataclass(slots=True)
class Answer:
    """What came, and when. Times are seconds of the monotonic clock."""

    sent: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    size: int | None = None
    """Bytes in all, once the head tells; None while the end is not known but by its last chunk."""

    def take(self, data: bytes) -> bool:
        """Whether the answer is complete."""
        if not data:
            raise Wrong(f"the connection was closed after {self.raw[-200:]!r}")
        if not self.pieces and (length := _LENGTH.search(data)):
            self.size = data.index(b"\r\n\r\n") + 4 + int(length[1])
        self.pieces.append((time.monotonic(), data))
        if self.size is not None:
            return sum(len(piece) for _, piece in self.pieces) >= self.size
        return data.endswith(b"0\r\n\r\n")

    @property
    def raw(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    @property
    def seconds(self) -> float:
        return self.pieces[-1][0] - self.sent

    @property
    def first_content(self) -> float:
        """Seconds until the first piece of content."""
        seen = b""
        for when, piece in self.pieces:
            seen += piece
            if _FIRST in seen:
                return when - self.sent
        raise Wrong("there was no content")

    def delays(self) -> Iterator[float]:
        """Seconds from the sending of each stamped delta to its arrival."""
        seen, start = b"", 0
        for when, piece in self.pieces:
            seen += piece
            for stamp in _STAMP.finditer(seen, start):
                start = stamp.end()
                yield when - int(stamp[2]) / 1e6


class Connection:
    """One kept connection."""

    def __init__(self, port: int, dialect: Dialect) -> None:
        self.port = port
        self.dialect = dialect
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self, body: bytes) -> Answer:
        answer = Answer(time.monotonic())
        self.socket.sendall(request_head(self.dialect, len(body)) + body)
        return answer

    def ask(self, body: bytes) -> Answer:
        answer = self.start(body)
        while not answer.take(self.socket.recv(1 << 18)):
            pass
        return answer

    def probe(self) -> float:
        """Seconds that a request without a body takes."""
        began = time.monotonic()
        self.socket.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = Answer(began)
        while not answer.take(self.socket.recv(1 << 16)):
            pass
        return answer.seconds

    def close(self) -> None:
        self.socket.close()


def ask_all(
    connections: Sequence[Connection], bodies: Sequence[bytes], spread: float = 0.0
) -> list[Answer]:
    """All at once, but for `spread` seconds between two starts."""
    answers: list[Answer] = []
    with selectors.DefaultSelector() as selector:
        for connection, body in zip(connections, bodies, strict=True):
            answers.append(connection.start(body))
            selector.register(connection.socket, selectors.EVENT_READ, answers[-1])
            _read_until(selector, time.monotonic() + spread)
        while selector.get_map():
            _read_once(selector, TIMEOUT)
    return answers


def _read_until(selector: selectors.BaseSelector, end: float) -> None:
    while (left := end - time.monotonic()) > 0:
        _read_once(selector, left)


def _read_once(selector: selectors.BaseSelector, timeout: float) -> None:
    for key, _ in selector.select(timeout):
        assert isinstance(key.fileobj, socket.socket)
        if key.data.take(key.fileobj.recv(1 << 18)):
            selector.unregister(key.fileobj)


def request_head(dialect: Dialect, length: int) -> bytes:
    lines = [
        f"POST {PATHS[dialect]} HTTP/1.1",
        "host: localhost",
        "content-type: application/json",
        "authorization: Bearer unused",
        *(["anthropic-version: 2023-06-01"] if dialect == "messages" else []),
        f"content-length: {length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


# ------------------------------------------------------------------------------------------------ checking


def check(answer: Answer, dialect: Dialect, deltas: int) -> None:
    """Raises Wrong unless the answer is whole: all text in order, its end marked as the dialect does."""
    head, _, body = answer.raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise Wrong(f"{head[:40]!r} {body[:300]!r}")
    if b"transfer-encoding: chunked" in head.lower():
        text = stream_text(dechunked(body).decode(), dialect)
    else:
        text = plain_text(json.loads(body), dialect)
    if _STAMP_TEXT.sub("@0;", text) != expected_text(deltas):
        raise Wrong(f"the text is not what was sent: {text[:200]!r}")


def dechunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size


def stream_text(events: str, dialect: Dialect) -> str:
    lines = [line[6:] for line in events.split("\n") if line.startswith("data: ")]
    if dialect == "chat":
        if lines.pop() != "[DONE]":
            raise Wrong("the stream does not end in [DONE]")
        choices = [choice for line in lines for choice in json.loads(line)["choices"]]
        if choices[-1]["finish_reason"] != "stop":
            raise Wrong("the stream has no finish_reason")
        return "".join(choice["delta"].get("content") or "" for choice in choices)
    data = [json.loads(line) for line in lines]
    if data[-1]["type"] != "message_stop":
        raise Wrong("the stream does not end in message_stop")
    return "".join(one["delta"]["text"] for one in data if one["type"] == "content_block_delta")


def plain_text(body: dict[str, object], dialect: Dialect) -> str:
    match dialect, body:
        case "chat", {"choices": [{"message": {"content": str(text)}, "finish_reason": "stop"}]}:
            return text
        case "messages", {"content": [{"text": str(text)}], "stop_reason": "end_turn"}:
            return text
    raise Wrong(f"no complete answer: {body!r}"[:300])
