"""What people reported of odd and spliced streams: through the real proxy, each is an answer or an error in dialect."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from addon.stand_in.script import say, sse
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import chat, message
from tests.translation.test_odd_streams import ALL, FAULTS, encoded
from tests.translation.upstream import events, stream_of
from tests.translation.upstream import message as answer
from tests.translation.upstream import text as said

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
PATHS = pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
STREAMS = pytest.mark.parametrize("stream", [False, True])


def body_for(path: str, text: str = "Hi", **more: Any) -> dict[str, Any]:
    if path == RESPONSES:
        return {"model": "claude-opus-4-8", "input": text, **more}
    return (message if path == MESSAGES else chat)(text, **more)


@pytest.mark.parametrize("fault", FAULTS)
@PATHS
@STREAMS
def test_a_spoilt_response_is_an_error_in_dialect(
    world: World, path: str, fault: str, stream: bool
) -> None:
    world.fake.script(sse(encoded(FAULTS[fault](events(ALL)))))
    response = world.proxy.post(path, body_for(path, stream=stream))
    assert response.status_code in ((200, 502) if stream else (502,))
    if response.status_code == 502:
        assert response.json()["error"]["message"]
    else:
        assert "error" in response.text and "[DONE]" not in response.text
    assert "Traceback" not in world.proxy.output


USAGES: dict[str, Any] = {
    "none": None,
    "text": "many",
    "list": [],
    "counts-that-are-text": {"input_tokens": "3", "output_tokens": "4"},
    "null-counts": {"input_tokens": None, "output_tokens": None, "cache_creation": None},
    "details-that-are-lists": {"output_tokens_details": [], "server_tool_use": []},
    "fractions": {"input_tokens": 1.5, "output_tokens": float(10**300)},
    "a-million": {"input_tokens": 1_000_000, "output_tokens": 1},
    "300-digits": {"input_tokens": 10**300, "output_tokens": 10**300},
}


@pytest.mark.parametrize("usage", USAGES)
@PATHS
@STREAMS
def test_an_odd_usage_costs_no_answer(world: World, path: str, usage: str, stream: bool) -> None:
    start, *rest = events(answer(said("hello")))
    start["message"]["usage"] = USAGES[usage]
    rest[-2]["usage"] = USAGES[usage]
    world.fake.script(sse(encoded([start, *rest])))
    for _ in range(2):  # what was learnt of the first must not refuse the second
        response = world.proxy.post(path, body_for(path, f"Hi, {usage}", stream=stream))
        assert response.status_code == 200, response.text
        assert stream or "hello" in response.text
    assert "Traceback" not in world.proxy.output


@PATHS
@STREAMS
def test_400_digits_are_an_error_in_dialect(world: World, path: str, stream: bool) -> None:
    start, *rest = events(answer(said("hello")))
    wire = encoded([start, *rest]).replace(b'"input_tokens": 10', b'"input_tokens": ' + b"9" * 400)
    world.fake.script(sse(wire))
    response = world.proxy.post(path, body_for(path, stream=stream))
    assert response.status_code == 502
    assert response.json()["error"]["message"]


FENCED = '```json\n{"a": 1}\n```'
UNKNOWN_TO_ANTHROPIC = {"type": "object", "additionalProperties": {"type": "string"}}


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@STREAMS
def test_json_comes_without_a_fence(world: World, path: str, kind: str, stream: bool) -> None:
    world.fake.script(say(FENCED))
    spec = {"name": "x", "schema": UNKNOWN_TO_ANTHROPIC} if kind == "json_schema" else {}
    form: dict[str, Any] = {"type": kind, **spec}
    if path == CHAT:
        form = {"type": kind, **({"json_schema": spec} if spec else {})}
    asked = {"response_format": form} if path == CHAT else {"text": {"format": form}}
    response = world.proxy.post(path, body_for(path) | {"stream": stream, **asked})
    assert response.status_code == 200, response.text
    assert "```" not in response.text
    assert json.dumps('{"a": 1}')[1:-1] in response.text or stream


@contextmanager
def raw_upstream(response: bytes) -> Iterator[str]:
    """A server that sends these bytes for whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                received = b""
                while b"\r\n\r\n" not in received or not received.endswith(b"}"):
                    received += connection.recv(65536)
                connection.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(20)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_trailers_are_no_fault_of_the_client(start_proxy: StartProxy, path: str) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTrailer: x-checksum\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    wire = stream_of(answer(said("hello")))
    chunk = b"%x\r\n%b\r\n0\r\nx-checksum: abc\r\n\r\n" % (len(wire), wire)
    with raw_upstream(head + chunk) as url:
        proxy = start_proxy(url, ANTHROPIC_API_KEY=None)
        response = proxy.post(path, body_for(path))
        assert response.status_code == 200, proxy.output
        assert "hello" in response.text
        assert "Traceback" not in proxy.output
