"""What the stand-in received, kept so that a test can assert the wire, and the usage that its responses stated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from itertools import count
from typing import Any, Literal

from addon.core.frozen import frozen

type JsonObject = dict[str, Any]

type Outcome = Literal["open", "answered", "cut", "client_closed"]
"""`open`: still being answered. `cut`: the fake broke off as scripted. `client_closed`: the client left first."""


@dataclass(slots=True)
class Received:
    """One request, as it came. `headers` keep order, case and repeats; times are `time.monotonic()` seconds."""

    number: int
    connection: int
    """Number of the TCP connection, from 0, in the order of opening."""
    nth: int
    """1 for the first request of its connection; more than 1 means the connection was reused."""
    peer_port: int
    method: str
    target: str
    """The raw path with its query, as sent."""
    headers: list[tuple[str, str]]
    body: bytes
    time: float
    wall: float
    outcome: Outcome = "open"
    status: int | None = None
    closed_at: float | None = None
    """When the fake saw the client's FIN or RST; only with `client_closed`."""
    ended_at: float | None = None
    bytes_sent: int = 0
    """Body bytes handed to the socket, framing not counted."""
    answer: bytearray = field(default_factory=bytearray, repr=False)
    """These bytes, when the log keeps them."""
    _decoded: list[Any] = field(default_factory=list, repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def json(self) -> Any:
        """The decoded body, the same object each time; None when it is no JSON."""
        if not self._decoded:
            try:
                self._decoded.append(json.loads(self.body))
            except (ValueError, RecursionError):
                self._decoded.append(None)
        return self._decoded[0]

    def header(self, name: str) -> str | None:
        """The values of a header joined by `, `; None when absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def betas(self) -> set[str]:
        return {beta.strip() for beta in (self.header("anthropic-beta") or "").split(",")} - {""}


@dataclass(slots=True)
class Opened:
    """One TCP connection, whether or not a request came on it."""

    number: int
    peer_port: int
    opened_at: float
    closed_at: float | None = None
    """When the client closed it (monotonic seconds); None while open or when the fake closed it."""
    bytes_in: int = 0
    """Bytes read from it, after TLS."""
    requests: int = 0
    tls_failed: bool = False


@dataclass(slots=True)
class Log:
    """Everything received; appended by the server's thread, read by the test's."""

    requests: list[Received] = field(default_factory=list)
    connections: list[Opened] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    """Bugs of the fake itself: what its handlers raised."""
    keep_answers: bool = False
    """Keep the response bodies, so that `used` can read the usage that they state."""
    request_numbers: Iterator[int] = field(default_factory=count)
    connection_numbers: Iterator[int] = field(default_factory=count)

    @property
    def bytes_in(self) -> int:
        return sum(connection.bytes_in for connection in self.connections)

    def clear(self) -> None:
        """Forget what came. Numbers go on, so that the ids made from them stay unique."""
        self.requests.clear()
        self.connections.clear()


@frozen
class Used:
    """Tokens, each in one field only; thinking is a part of output."""

    input: int = 0
    output: int = 0
    written: int = 0
    read: int = 0
    thinking: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def used(request: Received) -> Used:
    """What an answer told, as far as it was sent: its start, and its newest delta. Nothing for an answer that told
    nothing."""
    usage: JsonObject = {}
    for event in _events(bytes(request.answer)):
        usage |= event.get("usage") or event.get("message", {}).get("usage") or {}
    return Used(
        input=usage.get("input_tokens", 0),
        output=usage.get("output_tokens", 0),
        written=usage.get("cache_creation_input_tokens", 0),
        read=usage.get("cache_read_input_tokens", 0),
        thinking=(usage.get("output_tokens_details") or {}).get("thinking_tokens", 0),
    )


def _events(answer: bytes) -> Iterator[Any]:
    """The data of every event that was sent whole; or the one body of an answer that is no stream."""
    if answer.startswith(b"{"):
        yield json.loads(answer)
    for event in answer.split(b"\n\n")[:-1]:
        yield json.loads(event.partition(b"data: ")[2])
