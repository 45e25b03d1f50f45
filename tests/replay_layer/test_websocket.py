"""A WebSocket step by step: its frames, its queues and its ends."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from mitmproxy.connection import Connection, ConnectionState
from wsproto.connection import Connection as Frames
from wsproto.connection import ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason, FrameProtocol

from addon.core.errors import RateLimited
from addon.core.redaction import HIDDEN
from addon.replay_layer import websocket
from tests.budget import some
from tests.replay_layer.harness import QUICK, Play, chunked, http_answer
from tests.translation.upstream import message, stream_of, text

type JsonObject = dict[str, Any]
STREAM = chunked(stream_of(message(text("one two three"))))
UPGRADE = (
    b"GET /v1/responses?k=v HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer mine\r\nUser-Agent: me\r\n\r\n"
)
CREATE = {"type": "response.create", "model": "m", "input": "Hi"}


class Socket:
    """A client with a WebSocket, over a `Play`."""

    def __init__(self, behind: bytes = b"", **script: Any) -> None:
        self.play = Play(dialect="responses", **script)
        self.play.client_sends(UPGRADE + behind)
        self.frames = Frames(ConnectionType.CLIENT)
        self.read = 0
        self.close: int | None = None
        self.pings, self.pongs = 0, 0
        self.play.complete_hooks()
        head, _, _ = self.play.sent.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        self.read = len(head) + 4

    def encode(self, event: Event) -> bytes:
        return self.frames.send(event)

    def say(self, **fields: Any) -> None:
        self.play.client_sends(self.encode(TextMessage(json.dumps(CREATE | fields))))

    def said(self) -> list[JsonObject]:
        """The events that are new."""
        self.frames.receive_data(self.play.sent[self.read :])
        self.read = len(self.play.sent)
        return list(self._events())

    def _events(self) -> Iterator[JsonObject]:
        for event in self.frames.events():
            if isinstance(event, TextMessage):
                assert event.message_finished
                yield json.loads(event.data)
            elif isinstance(event, CloseConnection):
                self.close = event.code
            elif isinstance(event, Ping):
                self.pings += 1
            elif isinstance(event, Pong):
                self.pongs += 1

    def serve(self, answer: bytes = STREAM, connection: Connection | None = None) -> Connection:
        self.play.complete_hooks()
        server = connection or self.play.connect()
        self.play.complete_hooks()
        self.play.upstream_sends(server, answer)
        self.play.complete_hooks()
        return server

    @property
    def closed(self) -> bool:
        return self.play.client.state is ConnectionState.CLOSED


def kinds(events: list[JsonObject]) -> list[str]:
    return [event["type"] for event in events]


def fault(events: list[JsonObject]) -> tuple[int, str | None]:
    (event,) = events
    assert event["type"] == "error"
    return event["status"], event["error"]["code"]


def test_a_message_is_a_request_and_each_event_a_text_frame() -> None:
    socket = Socket()
    socket.say()
    socket.serve()
    events = socket.said()
    assert (kinds(events)[0], kinds(events)[-1]) == ("response.created", "response.completed")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert not any("stream_id" in event for event in events)
    assert len(socket.play.flows) == 2 and not socket.play.failures
    assert [name for _, name in socket.play.script.endings] == ["response", "response"]


def test_the_request_is_the_post_that_it_stands_for() -> None:
    socket = Socket()
    socket.say(stream=False)
    request = socket.play.flows[1].request
    assert (request.method, request.path) == ("POST", f"/v1/responses?k={HIDDEN}")
    exchange = socket.play.exchanges.get(socket.play.flows[1])
    assert (
        exchange
        and exchange.client.websocket
        and exchange.carried["authorization"] == "Bearer mine"
    )
    assert request.headers["user-agent"] == "me"
    assert request.headers["content-type"] == "application/json"
    assert not [name for name in request.headers if "sec-" in name.lower()]
    socket.play.complete_hook()
    assert json.loads(request.content or b"") == {"model": "m", "input": "Hi", "stream": True}


def test_connections_to_upstream_are_used_again() -> None:
    socket = Socket()
    socket.say()
    server = socket.serve()
    socket.say()
    socket.serve(connection=server)
    assert kinds(socket.said()).count("response.completed") == 2
    assert socket.play.upstream_requests == 2 and not socket.play.opening


@pytest.mark.parametrize("behind", [False, True], ids=["later", "behind the handshake"])
def test_bytewise_and_in_pieces_it_is_the_same(behind: bool) -> None:
    whole = json.dumps(CREATE | {"input": "ä" * 200})
    other = FrameProtocol(client=True, extensions=[])
    pieces = [
        other.send_data(whole[at : at + 9], at + 9 >= len(whole)) for at in range(0, len(whole), 9)
    ]
    pieces.insert(3, other.ping(b"amid"))
    data = bytes(b"".join(pieces))
    if behind:
        socket = Socket(data)
    else:
        socket = Socket()
        for byte in data:
            socket.play.client_sends(bytes([byte]))
    socket.serve()
    assert kinds(socket.said())[-1] == "response.completed"
    assert socket.pongs == 1
    (body,) = socket.play.script.bodies
    assert json.loads(body)["input"] == "ä" * 200 and not socket.play.failures


def masked(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size = len(payload)
    if size < 126:
        return head + bytes([0x80 | size]) + b"\0\0\0\0" + payload
    return head + bytes([0x80 | 127]) + struct.pack("!Q", size) + b"\0\0\0\0" + payload


def held(socket: Socket) -> bytearray:
    """What wsproto has not read yet."""
    connection = socket.play.layer.client_connection.socket
    assert connection
    buffer = connection.frames._proto._frame_decoder.buffer
    return bytearray(buffer.buffer[-1000:]) if len(buffer.buffer) > 1000 else bytearray()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x81\x02hi", 1002),
        (masked(1, b"hi", rsv=4), 1002),
        (masked(3, b""), 1002),
        (masked(0, b"more"), 1002),
        (masked(1, b"a", fin=False) + masked(1, b"b"), 1002),
        (masked(9, b"", fin=False), 1002),
        (masked(9, b"x" * 126), 1002),
        (b"\x81\xff" + b"\xff" * 8 + b"\0" * 4, 1002),
        (b"\x81\xfe\0\x05\0\0\0\0hello", 1002),
        (masked(1, b"\xff\xfe"), 1007),
        (masked(1, b"\xc3", fin=True), 1007),
        (masked(8, b"\x03"), 1002),
        (masked(8, struct.pack("!H", 1005)), 1002),
        (masked(8, struct.pack("!H", 999)), 1002),
        (masked(8, struct.pack("!H", 1000) + b"\xff"), 1007),
        (masked(2, b"binary"), 1003),
    ],
)
def test_frames_that_break_the_rules_end_the_connection(frames: bytes, code: int) -> None:
    socket = Socket()
    socket.say()
    socket.play.complete_hooks()
    socket.play.client_sends(frames)
    socket.said()
    assert socket.close == code and not socket.play.failures
    socket.play.client_sends(b"\x00" * 100)
    for _ in range(20):
        socket.play.client_sends(masked(1, json.dumps(CREATE).encode()))
    assert len(held(socket)) == 0, "what follows is not kept"
    socket.play.wait(6)
    assert socket.closed and len(socket.play.flows) == 2 and not socket.play.failures


def test_noise_never_breaks_the_layer() -> None:
    for seed in some(range(200)):
        socket, noise = Socket(), random.Random(seed)  # noqa: S311
        opcodes = [
            masked(noise.randrange(16), noise.randbytes(noise.randrange(130))) for _ in range(5)
        ]
        data = noise.choice([noise.randbytes(300), b"".join(opcodes)])
        at = noise.randrange(len(data))
        socket.play.client_sends(data[:at])
        socket.play.client_sends(data[at:])
        socket.play.wait(310)
        assert socket.closed and not socket.play.failures


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999, CloseReason.NO_STATUS_RCVD])
def test_a_close_is_answered_and_cancels(code: int) -> None:
    socket = Socket()
    socket.say()
    socket.play.complete_hooks()
    server = socket.play.connect()
    socket.play.client_sends(socket.encode(CloseConnection(code)))
    socket.said()
    socket.play.complete_hooks()
    assert socket.close == code and socket.closed
    socket.play.client_sends(b"more" * 100)
    assert server in socket.play.closing and not socket.play.failures
    assert [name for _, name in socket.play.script.endings] == ["response", "error"]


def test_a_client_that_leaves_cancels_what_runs_and_what_waits() -> None:
    socket = Socket()
    socket.say()
    socket.say()
    socket.play.complete_hooks()
    server = socket.play.connect()
    socket.play.client_leaves()
    socket.play.complete_hooks()
    assert socket.closed and server in socket.play.closing and len(socket.play.flows) == 2
    assert [name for _, name in socket.play.script.endings] == ["response", "error"]


def test_a_message_over_the_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_BODY", 1000)
    socket = Socket()
    for _ in range(4):
        socket.play.client_sends(socket.encode(TextMessage("x" * 300, message_finished=False)))
    assert fault(socket.said()) == (413, "request_too_large")
    assert socket.close == 1009 and not socket.closed, "the client has yet to read it"
    socket.play.client_sends(masked(0, b"x" * 100))
    socket.play.client_sends(socket.encode(CloseConnection(1009)))
    assert socket.closed and len(socket.play.flows) == 1


@pytest.mark.parametrize(
    ("sent", "status", "code", "param"),
    [
        ("{", 400, None, None),
        ("[]", 400, None, "type"),
        ('{"type": "session.update"}', 400, None, "type"),
        (json.dumps(CREATE | {"stream_id": ""}), 400, "invalid_stream_id", "stream_id"),
        (json.dumps(CREATE | {"stream_id": "a b"}), 400, "invalid_stream_id", "stream_id"),
        (json.dumps(CREATE | {"stream_id": 5}), 400, "invalid_stream_id", "stream_id"),
    ],
)
def test_what_is_no_request_is_told(
    sent: str, status: int, code: str | None, param: str | None
) -> None:
    socket = Socket()
    socket.play.client_sends(socket.encode(TextMessage(sent)))
    (event,) = socket.said()
    assert (event["status"], event["error"]["code"], event["error"]["param"]) == (
        status,
        code,
        param,
    )
    socket.say()
    socket.serve()
    assert kinds(socket.said())[-1] == "response.completed"


def test_a_client_that_only_errs_is_cut_off() -> None:
    socket = Socket()
    socket.play.client_sends(b"".join(masked(1, b"{}") for _ in range(5000)))
    assert len(socket.said()) == websocket.MOST_REJECTED and socket.close == 1008


def test_codex_events_are_ignored_and_steering_is_given_back() -> None:
    socket = Socket()
    for event in (
        {"type": "response.processed", "response_id": "r"},
        {"type": "response.steer", "previous_response_id": "r", "input": "left"},
    ):
        socket.play.client_sends(socket.encode(TextMessage(json.dumps(event))))
    (failed,) = socket.said()
    assert failed["type"] == "response.steer.failed"
    assert failed["error"]["code"] == "steering_not_supported"
    assert failed["steer"] == {"previous_response_id": "r", "input": "left"}


def test_one_queue_is_served_in_order_and_queues_at_once() -> None:
    socket = Socket()
    for name in ("a", "b", "a", None):
        socket.say(**({"stream_id": name} if name else {}))
    socket.play.complete_hooks()
    first, second, third = (socket.play.connect() for _ in range(3))
    socket.play.complete_hooks()
    for server in (third, second):
        socket.play.upstream_sends(server, STREAM)
        socket.play.complete_hooks()
    events = socket.said()
    assert [e.get("stream_id") for e in events if e["type"] == "response.completed"] == [None, "b"]
    socket.play.upstream_sends(first, STREAM)
    socket.play.complete_hooks()
    assert not socket.play.opening, "it takes a connection that is free"
    (free,) = (s for s, sent in socket.play.upstream.items() if sent.count(b"POST") == 2)
    socket.play.upstream_sends(free, STREAM)
    socket.play.complete_hooks()
    assert {event["stream_id"] for event in socket.said()} == {"a"}
    assert socket.play.upstream_requests == 4 and not socket.play.failures


def test_a_deadline_gives_up_its_own_connection_only() -> None:
    socket = Socket(again=0, timing=replace(QUICK, first_byte=30))
    socket.say(stream_id="a")
    socket.play.complete_hooks()
    socket.play.wait(6)
    socket.say(stream_id="b")
    socket.play.complete_hooks()
    socket.play.wait(5)
    socket.play.complete_hooks()
    (failed,) = socket.said()
    assert (failed["stream_id"], failed["status"]) == ("a", 502)
    socket.serve(connection=socket.play.connect(index=1))
    assert kinds(socket.said())[-1] == "response.completed"


def test_sixteen_run_at_once_and_the_rest_waits_within_limits() -> None:
    socket = Socket()
    for number in range(32):
        socket.say(stream_id=f"s{number}")
    socket.say(stream_id="one-more")
    assert fault(socket.said()) == (400, "websocket_stream_limit_reached")
    socket.play.complete_hooks()
    assert len(socket.play.opening) == 16
    for _ in range(websocket.MOST_WAITING):
        socket.say(stream_id="s0")
    full = socket.said()
    assert len(full) == 16 and fault(full[:1]) == (429, "websocket_queue_full")


def test_an_error_is_an_event_with_its_status_and_headers() -> None:
    socket = Socket(refuse=RateLimited("Slowly", retry_after=7))
    socket.say(stream_id="a")
    socket.play.complete_hooks()
    (event,) = socket.said()
    assert (event["status"], event["stream_id"]) == (429, "a")
    assert event["error"]["message"] == "Slowly"
    assert event["headers"]["retry-after"] == event["error"]["headers"]["retry-after"] == "7"
    assert not socket.closed


def test_a_refusal_of_a_large_message_reaches_the_client() -> None:
    socket = Socket()
    exchange_of = socket.play.exchanges.get
    socket.say(input="x" * 100_000)
    (hook,) = socket.play.hooks
    (flow,) = hook.args()
    exchange = exchange_of(flow)
    assert exchange
    exchange.refuse(flow, RateLimited("No"))
    socket.play.complete_hooks()
    assert fault(socket.said()) == (429, "rate_limit_exceeded")
    assert socket.close == 1011 and socket.closed


def test_an_upstream_error_is_told_and_the_socket_goes_on() -> None:
    socket = Socket(again=0)
    socket.say()
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"No"}}'
    server = socket.serve(http_answer(body, b"400 Bad Request"))
    assert fault(socket.said())[0] == 400
    socket.say()
    socket.serve(connection=server)
    assert kinds(socket.said())[-1] == "response.completed"


def test_keepalives_are_pings() -> None:
    socket = Socket()
    socket.say()
    socket.play.complete_hooks()
    socket.play.wait(40)
    assert socket.said() == [] and socket.pings == 2


def test_an_idle_socket_ends_and_a_busy_one_does_not() -> None:
    socket = Socket()
    socket.play.wait(200)
    socket.say()
    socket.play.complete_hooks()
    server = socket.play.connect()
    socket.play.complete_hooks()
    socket.play.wait(50)
    socket.play.upstream_sends(server, STREAM)
    socket.play.complete_hooks()
    for _ in range(29):
        socket.play.wait(10)
        socket.play.client_sends(socket.encode(Ping()))
    socket.said()
    assert socket.close is None
    socket.play.wait(11)
    socket.said()
    assert socket.close == 1001
    socket.play.wait(6)
    assert socket.closed


def test_a_failure_of_the_layer_is_told() -> None:
    socket = Socket()
    socket.say()
    socket.play.complete_hooks()
    socket.play.layer.streams[3].tick = None  # type: ignore[method-assign, assignment]
    socket.play.wait(2)
    (event,) = socket.said()
    assert event["status"] == 500 and "See ccproxy's log" in event["error"]["message"]
    assert socket.close == 1011 and socket.closed and socket.play.failures
