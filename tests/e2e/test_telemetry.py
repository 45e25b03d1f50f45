"""Spans, as a real OTLP receiver reads them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import delivered, fail, say
from tests.e2e import live_options
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import OWN_PORT, chat, rejected

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Receiver:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                told = ExportTraceServiceRequest.FromString(raw)
                for resource in told.resource_spans:
                    for scope in resource.scope_spans:
                        receiver.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def named(self, kind: Any) -> list[tuple[Span, dict[str, Any]]]:
        found = [span for span in self.spans if span.kind == kind]
        return [(s, {a.key: value(a.value) for a in s.attributes}) for s in found]


def value(any_value: Any) -> Any:
    found = getattr(any_value, any_value.WhichOneof("value"))
    return [value(item) for item in found.values] if hasattr(found, "values") else found


@contextmanager
def listening() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.05,))
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def other() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def test_a_span_for_the_request_and_one_for_each_attempt(
    start_proxy: StartProxy, fake: FakeAnthropic, receiver: Receiver
) -> None:
    fake.script(fail(429, "Used up.", headers=rejected()), when=lambda r: kind_of(r) == "oauth")
    proxy = start_proxy(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    body = chat("canary", stream=True, prompt_cache_key="talk-1")
    headers = {"traceparent": TRACEPARENT, "user-agent": "OpenAI/Python 3.57.0"}
    assert proxy.post("/@work/v1/chat/completions", body, headers=headers).status_code == 200
    proxy.stop()

    ((server, told),) = receiver.named(Span.SPAN_KIND_SERVER)
    assert server.name == "chat claude-opus-4-8"
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, PARENT)
    assert told["gen_ai.operation.name"] == "chat" and told["gen_ai.request.stream"] is True
    assert told["gen_ai.usage.input_tokens"] > 0 and told["gen_ai.usage.output_tokens"] > 0
    assert told["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert (told["gen_ai.conversation.id"], told["ccproxy.name"]) == ("talk-1", "work")
    assert 0 < told["gen_ai.response.time_to_first_chunk"] < 30
    assert (told["ccproxy.source"], told["http.response.status_code"]) == ("api_key", 200)

    attempts = receiver.named(Span.SPAN_KIND_CLIENT)
    assert [a["ccproxy.source"] for _, a in attempts] == ["claude_code", "api_key"]
    assert [a.get("error.type") for _, a in attempts] == ["429", None]
    assert attempts[1][1]["ccproxy.reason"] == "rate_limited"
    assert attempts[1][1]["gen_ai.usage.input_tokens"] == told["gen_ai.usage.input_tokens"]
    for (span, _), sent in zip(attempts, fake.messages(), strict=True):
        assert span.parent_span_id == server.span_id
        assert sent.header("traceparent") == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert "canary" not in repr(receiver.spans)


def test_what_fails_is_an_error_and_content_is_there_when_it_is_asked_for(
    start_proxy: StartProxy, fake: FakeAnthropic, receiver: Receiver
) -> None:
    fake.script([say("Certainly."), fail(400, "messages: wrong")])
    proxy = start_proxy(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true",
    )
    proxy.post("/v1/chat/completions", chat("My key is sk-ant-api03-canary-canary"))
    proxy.post("/v1/chat/completions", chat("Wrong"))
    proxy.post("/v1/chat/completions", {"model": "claude-opus-4-8", "messages": 3})
    proxy.get("/health")
    proxy.stop()
    spans = receiver.named(Span.SPAN_KIND_SERVER)
    assert [told["http.response.status_code"] for _, told in spans] == [200, 400, 400]
    assert [told.get("error.type") for _, told in spans] == [
        None,
        "invalid_request_error",
        "invalid_request_error",
    ]
    assert "My key is [hidden]" in spans[0][1]["gen_ai.input.messages"]
    assert "Certainly." in spans[0][1]["gen_ai.output.messages"]


def test_without_an_endpoint_a_traceparent_goes_on_as_it_came(
    start_proxy: StartProxy, fake: FakeAnthropic
) -> None:
    proxy = start_proxy()
    proxy.post("/v1/chat/completions", chat(), headers={"traceparent": TRACEPARENT})
    assert fake.messages()[0].header("traceparent") == TRACEPARENT


def test_a_receiver_that_is_gone_delays_nothing_and_is_told_once(start_proxy: StartProxy) -> None:
    proxy = start_proxy(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    for _ in range(2):
        assert proxy.post("/v1/chat/completions", chat()).status_code == 200
        time.sleep(2.5)  # a batch is sent after a second, and tried again after another
    assert proxy.output.count("spans batch") == 1


def test_a_changed_setting_loses_no_span_and_another_receiver_gets_the_next_ones(
    start_proxy: StartProxy, fake: FakeAnthropic, receiver: Receiver, other: Receiver
) -> None:
    gate = Gate()
    fake.script([delivered(hold=gate)])
    proxy = start_proxy(
        launch=False,
        first=["-s", live_options.__file__],
        mode=OWN_PORT,
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(proxy.post, "/@first/v1/chat/completions", chat())
        assert gate.reached.wait(20)
        proxy.get(f"/set/ccproxy_otel_endpoint/{quote(other.url, safe='')}")
        gate.open()
        assert running.result(20).status_code == 200
    assert proxy.post("/@second/v1/chat/completions", chat()).status_code == 200
    proxy.stop()
    names = [
        [told["ccproxy.name"] for _, told in to.named(Span.SPAN_KIND_SERVER)]
        for to in (receiver, other)
    ]
    assert names == [["first"], ["second"]]
