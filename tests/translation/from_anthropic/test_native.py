from __future__ import annotations

import json

from addon.core.errors import BadGateway, CCProxyError
from addon.translation.from_anthropic.native import NativeStream, native_message
from addon.translation.message_stream import MessageStream
from addon.translation.types import Reply
from tests.translation.client import read_sse
from tests.translation.pipeline import advance, conclude
from tests.translation.upstream import events, message, sse, stream_of, text, thinking

WHOLE = message(thinking("hm"), text("hello"))


def rendered(wire: bytes, model: str = WHOLE["model"]) -> bytes:
    stream, renderer = MessageStream(), NativeStream(Reply(model=model))
    return advance(stream, renderer, wire) + conclude(stream, renderer)


def test_bytes_pass_unchanged() -> None:
    odd = b'event: ping\r\ndata: {"type" : "ping"}\r\n\r\n'
    unknown = sse({"type": "vortex", "a": 1})
    wire = stream_of(WHOLE).replace(b'event: ping\ndata: {"type":"ping"}\n\n', odd + unknown)
    assert odd in wire
    assert rendered(wire) == wire


def test_only_the_model_s_name_becomes_the_one_asked_for() -> None:
    before, after = read_sse(stream_of(WHOLE)), read_sse(rendered(stream_of(WHOLE), "my-alias"))
    assert after[1:] == before[1:]
    assert json.loads(after[0][1])["message"] == {
        **json.loads(before[0][1])["message"],
        "model": "my-alias",
    }


def test_a_missing_message_stop_is_added() -> None:
    wire = sse(*events(WHOLE)[:-1])
    assert rendered(wire) == wire + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def test_a_failure_is_anthropic_s_error_event() -> None:
    renderer = NativeStream(Reply(model="m"), request_id="req_1")
    (event,) = read_sse(
        renderer.fail(BadGateway("Upstream ended the stream early", code="upstream_disconnect"))
    )
    assert event[0] == "error"
    assert json.loads(event[1]) == {
        "type": "error",
        "error": {
            "type": "api_error",
            "message": "Upstream ended the stream early",
            "details": {"error_code": "upstream_disconnect"},
        },
        "request_id": "req_1",
    }
    assert (renderer.fail(CCProxyError("x")), renderer.finish()) == (b"", b"")


def test_an_upstream_error_is_told_once_and_without_an_end() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    out = read_sse(rendered(sse(*events(WHOLE)[:4], error)))
    assert [name for name, _ in out].count("error") == 1
    assert out[-1][0] == "error"
    assert json.loads(out[-1][1])["error"] == error["error"]


def test_the_keepalive_is_a_ping() -> None:
    assert read_sse(NativeStream(Reply(model="m")).keepalive) == [("ping", '{"type":"ping"}')]


def test_a_whole_message_keeps_what_it_has() -> None:
    assert native_message({**WHOLE, "new": 1}, Reply(model="alias")) == {
        **WHOLE,
        "new": 1,
        "model": "alias",
    }
