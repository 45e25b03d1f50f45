"""Turn what was decided into HTTP: heads, bodies, streams."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from addon.stand_in.delivery import Delivery, Response
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.refusal import Refusal
from addon.stand_in.script import Answer, error_object
from addon.stand_in.stream import encode

JSON = ("content-type", "application/json")
SSE = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))


def common(request: Received) -> tuple[tuple[str, str], ...]:
    """Headers of every answer of the real API, among them some that a proxy must not pass on."""
    return (
        ("request-id", request_id(request)),
        ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
        ("server", "cloudflare"),
        ("cf-ray", "fake-FRA"),
    )


def request_id(request: Received) -> str:
    return f"req_{request.number:024d}"


def json_response(request: Received, value: Any, answer: Answer, status: int = 200) -> Response:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return _compressed(request, answer, (JSON,), [body], status=status)


def stream_response(request: Received, parts: Sequence[bytes], answer: Answer) -> Response:
    """`parts`: one SSE event each."""
    return _compressed(request, answer, SSE, parts)


def encoded(stream: Sequence[JsonObject], answer: Answer) -> list[bytes]:
    """The events as bytes; broken off by the answer's error event, if it has one."""
    return [encode(event) for event in _broken_off(stream, answer)]


def _broken_off(stream: Sequence[JsonObject], answer: Answer) -> Sequence[JsonObject]:
    if answer.error_event is None:
        return stream
    deltas = [n for n, event in enumerate(stream) if event["type"] == "content_block_delta"]
    end = deltas[min(answer.error_after, len(deltas)) - 1] + 1 if answer.error_after else 0
    return [*stream[:end], answer.error_event]


def _compressed(
    request: Received,
    answer: Answer,
    headers: tuple[tuple[str, str], ...],
    parts: Sequence[bytes],
    *,
    status: int = 200,
) -> Response:
    stream = headers == SSE
    if answer.gzip and "gzip" in (request.header("accept-encoding") or ""):
        headers = (*headers, ("content-encoding", "gzip"))
        # Gzip members may follow each other, so each event can be one and still be readable at once.
        parts = [gzip.compress(part) for part in parts]
    return Response(
        status=status,
        headers=(*headers, *common(request), *answer.headers.items()),
        parts=tuple(parts),
        how=answer.how,
        stream=stream,
    )


def paced(answer: Answer, every: float) -> Answer:
    """The answer in the client's pace, unless the script set one."""
    return replace(answer, how=Delivery(every=every)) if answer.how == Delivery() else answer


def raw_response(request: Received, answer: Answer) -> Response:
    """A scripted status or body, as it is."""
    return Response(
        status=answer.status,
        headers=(*answer.headers.items(), ("request-id", request_id(request))),
        parts=_events_of(
            (answer.body or b"").replace(b'"req_fake"', f'"{request_id(request)}"'.encode())
        ),
        how=answer.how,
        stream="event-stream" in answer.headers.get("content-type", ""),
    )


def _events_of(body: bytes) -> tuple[bytes, ...]:
    events = [event + b"\n\n" for event in body.split(b"\n\n")]
    events[-1] = events[-1][:-2]
    return tuple(event for event in events if event)


def refused(request: Received, refusal: Refusal) -> Response:
    error = error_object(refusal.status, refusal.message, refusal.type, refusal.error_code)
    error["request_id"] = request_id(request)
    return json_response(request, error, Answer(), refusal.status)
