"""Spans by OpenTelemetry's GenAI conventions: a SERVER span for each client's request, a CLIENT span for each attempt.

Only with OTEL_EXPORTER_OTLP_ENDPOINT, and by OpenTelemetry's own SDK, which exports in a thread of its own. Names are
those of https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/; `traceparent` then carries the attempt's
span.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Self
from weakref import WeakKeyDictionary

from mitmproxy import http
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from addon.claude.pricing import Tokens
from addon.core.clock import OnceAMinute
from addon.core.redaction import hider, redacted
from addon.core.settings import Settings
from addon.core.version import VERSION
from addon.exchange.answer import AnswerStream
from addon.exchange.attempt import Attempt
from addon.exchange.state import Exchange, Exchanges

PROVIDERS = {"claude_code": "anthropic", "api_key": "anthropic", "openai": "openai"}
EXPORT_SECONDS = 2.0
"""The longest that a receiver which is gone holds up the end of the proxy."""
CONTEXT = TraceContextTextMapPropagator()
type Value = str | int | float | bool | list[str]


@dataclass(eq=False, repr=False, slots=True)
class Spans:
    """Of one request."""

    server: Span
    client: Span | None = None
    attempt: Attempt | None = None


class SaidOnceAMinute(logging.Filter):
    """For the exporter's lines, of which each attempt at a receiver that is gone makes one."""

    def __init__(self) -> None:
        super().__init__()
        self.once = OnceAMinute()

    def filter(self, record: logging.LogRecord) -> bool:
        return self.once.may_say()


logging.getLogger(OTLPSpanExporter.__module__).addFilter(SaidOnceAMinute())


def make_provider(endpoint: str) -> TracerProvider:
    """Exports to `endpoint`, an OTLP receiver's address, over HTTP."""
    resource = Resource.create({"service.name": "ccproxy", "service.version": VERSION})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
    return provider


@dataclass(eq=False, repr=False)
class Telemetry:
    """Behind Upstream, whose attempts it sees before they are sent, and before the recorder, which forgets them."""

    settings: Settings
    exchanges: Exchanges
    provider: TracerProvider
    spans: WeakKeyDictionary[http.HTTPFlow, Spans] = field(default_factory=WeakKeyDictionary)
    tracer: Tracer = field(init=False)

    @classmethod
    def after(cls, before: Self | None, settings: Settings, exchanges: Exchanges) -> Self:
        """With the spans that have begun. `before`: what these settings replace. Needs `otel_endpoint`."""
        endpoint = settings.otel_endpoint or ""
        if before is None:
            return cls(settings, exchanges, make_provider(endpoint))
        same = before.settings.otel_endpoint == endpoint
        provider = before.provider if same else make_provider(endpoint)
        return cls(settings, exchanges, provider, before.spans)

    def __post_init__(self) -> None:
        self.tracer = self.provider.get_tracer("ccproxy", VERSION)
        self.hide = hider(self.settings.secret)

    def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or exchange.route is None or exchange.route.kind != "model":
            return
        parent = CONTEXT.extract({"traceparent": flow.request.headers.get("traceparent", "")})
        server = self.tracer.start_span(
            f"chat {_model(exchange)}", parent, SpanKind.SERVER, _asked(exchange),
            start_time=_nanoseconds(exchange.arrived),
        )  # fmt: skip
        self.spans[flow] = Spans(server)
        self.attempted(flow)

    def upstream_failed(self, flow: http.HTTPFlow) -> None:
        self.attempted(flow)

    def upstream_paused(self, flow: http.HTTPFlow) -> None:
        self.attempted(flow)

    def attempted(self, flow: http.HTTPFlow) -> None:
        """Begin the span of an attempt that is about to be sent."""
        exchange, spans = self.exchanges.get(flow), self.spans.get(flow)
        if exchange is None or spans is None or exchange.approved is None:
            return
        self.end_attempt(spans, exchange)
        attempt = spans.attempt = exchange.approved
        told: dict[str, Value] = {
            "gen_ai.provider.name": PROVIDERS.get(attempt.source, attempt.source),
            "server.address": attempt.host,
            "server.port": attempt.port,
            "ccproxy.source": attempt.source,
        }
        if attempt.reason:
            told["ccproxy.reason"] = attempt.reason
        within = trace.set_span_in_context(spans.server)
        name = f"chat {_model(exchange)}"
        spans.client = self.tracer.start_span(
            name, within, SpanKind.CLIENT, {**_asked(exchange), **told}
        )
        carrier: dict[str, str] = {}
        CONTEXT.inject(carrier, trace.set_span_in_context(spans.client))
        others = [header for header in attempt.headers if header[0].lower() != "traceparent"]
        attempt.headers[:] = [*others, *carrier.items()]

    def end_attempt(self, spans: Spans, exchange: Exchange) -> None:
        attempt, span = spans.attempt, spans.client
        if attempt is None or span is None:
            return
        _answered(
            span, attempt.answer or (exchange.answer if attempt is exchange.attempt else None)
        )
        if attempt.outcome:
            span.set_attribute("error.type", attempt.outcome)
            span.set_status(StatusCode.ERROR)
        span.end()
        spans.attempt = spans.client = None

    def response(self, flow: http.HTTPFlow) -> None:
        exchange, spans = self.exchanges.get(flow), self.spans.pop(flow, None)
        if exchange is None or spans is None:
            return
        self.end_attempt(spans, exchange)
        server = spans.server
        _answered(server, exchange.answer)
        status = (
            exchange.error.status if exchange.error else flow.response and flow.response.status_code
        )
        server.set_attribute("http.response.status_code", status or 499)
        server.set_attribute("ccproxy.source", exchange.source)
        if exchange.first_content is not None:
            server.set_attribute(
                "gen_ai.response.time_to_first_chunk", exchange.first_content - exchange.clock
            )
        error = exchange.error.code or exchange.error.type if exchange.error else None
        if flow.error is not None and error is None:
            error = "client_closed"
        if error:
            server.set_attribute("error.type", error)
            server.set_status(StatusCode.ERROR)
        if self.settings.otel_content:
            self.add_content(server, exchange)
        server.end()

    def error(self, flow: http.HTTPFlow) -> None:
        self.response(flow)

    def add_content(self, span: Span, exchange: Exchange) -> None:
        asked = exchange.claude.request.get("messages") if exchange.claude else None
        told = exchange.answer.message if exchange.answer else None
        for name, value in (("gen_ai.input.messages", asked), ("gen_ai.output.messages", told)):
            if value:
                span.set_attribute(name, json.dumps(redacted(value, self.hide)))


def _asked(exchange: Exchange) -> dict[str, Value]:
    told: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": _model(exchange),
        "gen_ai.request.stream": exchange.client.streaming,
    }
    claude = exchange.claude
    limit = claude.request.get("max_tokens") if claude else None
    if isinstance(limit, int):
        told["gen_ai.request.max_tokens"] = limit
    conversation = exchange.who.session or (claude.conversation if claude else None)
    named = {
        "gen_ai.conversation.id": conversation,
        "user_agent.name": exchange.who.client,
        "ccproxy.name": exchange.who.name,
    }
    return told | {name: value for name, value in named.items() if value}


def _answered(span: Span, answer: AnswerStream | None) -> None:
    if answer is None:
        return
    message, tokens = answer.message, Tokens.from_usage(answer.usage)
    told: dict[str, Value] = {
        "gen_ai.usage.input_tokens": tokens.prompt,
        "gen_ai.usage.output_tokens": tokens.output,
        "gen_ai.usage.cache_read.input_tokens": tokens.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
    }
    for name, key in (("gen_ai.response.model", "model"), ("gen_ai.response.id", "id")):
        if isinstance(message.get(key), str):
            told[name] = message[key]
    if isinstance(stop := message.get("stop_reason"), str):
        told["gen_ai.response.finish_reasons"] = [stop]
    span.set_attributes(told)


def _model(exchange: Exchange) -> str:
    if exchange.claude:
        return exchange.claude.model.id
    return str((exchange.passthrough or {}).get("model", "unknown"))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
