"""The endpoints: route a request, check it, make its answer."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.fakes.access import Access
from tests.fakes.credential import Credential, credential_of, kind_of
from tests.fakes.delivery import Delivery, Response
from tests.fakes.record import JsonObject, Log, Received
from tests.fakes.refusal import Refusal
from tests.fakes.script import Answer, Script, directives, error_object, made_turn
from tests.fakes.stream import Reply, Turn, encode, events, message


class Api:
    def __init__(
        self,
        access: Access,
        script: Script,
        log: Log,
        clock: Callable[[], float],
        verbose: bool = False,
    ) -> None:
        self.access, self.script, self.log, self.clock = access, script, log, clock
        self.verbose = verbose

    async def answer(self, request: Received) -> Response:
        response = self._route(request)
        if self.verbose:
            print(
                f"{request.method} {request.target} {kind_of(request)} {response.status}",
                flush=True,
            )
        return response

    def messages(self, kind: str | None = None) -> list[Received]:
        return [
            request
            for request in self.log.requests
            if request.path == "/v1/messages" and kind in (None, kind_of(request))
        ]

    def _route(self, request: Received) -> Response:
        answer = self.script.take(request)
        if answer.raw:
            return _raw(answer)
        try:
            match request.method, request.path:
                case "POST", "/v1/messages":
                    return self._message(request, answer)
                case _:
                    raise Refusal(404, f"Not Found: {request.path}")
        except Refusal as refusal:
            return _refused(refusal, request)

    def _message(self, request: Received, answer: Answer) -> Response:
        credential = credential_of(request)
        self.access.check(request, credential)
        body = _decoded(request)
        self.access.check_use(request, credential, body)
        turn = answer.turn or made_turn(body, thinks=False)
        reply = Reply(
            id=f"msg_{request.number:024d}",
            model=body["model"],
            turn=_with_ids(turn, request),
            usage=_usage(body, turn),
            notes={},
        )
        return _answered(request, body, reply, answer)


def _usage(body: JsonObject, turn: Turn) -> JsonObject:
    return {
        "input_tokens": len(json.dumps(body["messages"])) // 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": len(json.dumps(turn.blocks)) // 4,
        "service_tier": "standard",
    }


def _decoded(request: Received) -> JsonObject:
    body = request.json
    if not isinstance(body, dict):
        raise Refusal(400, "The request body is not valid JSON")
    return body


def _with_ids(turn: Turn, request: Received) -> Turn:
    blocks = []
    for index, block in enumerate(turn.blocks):
        if block["type"] == "tool_use" and block["id"] is None:
            digest = hashlib.sha256(f"{request.number}:{index}".encode()).hexdigest()
            block = block | {"id": f"toolu_{digest[:24]}"}
        blocks.append(block)
    return replace(turn, blocks=tuple(blocks))


def _answered(request: Received, body: JsonObject, reply: Reply, answer: Answer) -> Response:
    if not body.get("stream"):
        return _json(request, message(reply), answer)
    stream = _broken_off(events(reply), answer)
    headers = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]
    parts = [encode(event) for event in stream]
    how = answer.how
    if how == Delivery():
        how = Delivery(every=directives(body).every)
    return _compressed(request, answer, headers, parts, how)


def _broken_off(stream: list[JsonObject], answer: Answer) -> list[JsonObject]:
    if answer.error_event is None:
        return stream
    deltas = [n for n, event in enumerate(stream) if event["type"] == "content_block_delta"]
    end = deltas[answer.error_after - 1] + 1 if answer.error_after else 0
    return [*stream[:end], answer.error_event]


def _compressed(
    request: Received,
    answer: Answer,
    headers: list[tuple[str, str]],
    parts: Sequence[bytes],
    how: Delivery,
) -> Response:
    if answer.gzip and "gzip" in (request.header("accept-encoding") or ""):
        headers.append(("content-encoding", "gzip"))
        # Gzip members may follow each other, so each event can be one and still be readable at once.
        parts = [gzip.compress(part) for part in parts]
    return Response(
        status=200,
        headers=(*headers, *_common(request), *answer.headers.items()),
        parts=tuple(parts),
        how=how,
        stream=True,
    )


def _common(request: Received) -> list[tuple[str, str]]:
    return [
        ("request-id", f"req_{request.number:024d}"),
        ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
        ("server", "cloudflare"),
        ("cf-ray", "fake-FRA"),
    ]


def _json(request: Received, value: Any, answer: Answer) -> Response:
    return Response(
        headers=(("content-type", "application/json"), *_common(request), *answer.headers.items()),
        parts=(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"),),
        how=answer.how,
    )


def _raw(answer: Answer) -> Response:
    return Response(
        status=answer.status,
        headers=tuple(answer.headers.items()),
        parts=_split_events(answer.body or b""),
        how=answer.how,
        stream="event-stream" in answer.headers.get("content-type", ""),
    )


def _split_events(body: bytes) -> tuple[bytes, ...]:
    events = [event + b"\n\n" for event in body.split(b"\n\n")]
    events[-1] = events[-1][:-2]
    return tuple(event for event in events if event)


def _refused(refusal: Refusal, request: Received) -> Response:
    error = error_object(refusal.status, refusal.message, refusal.type, refusal.error_code)
    return Response(
        status=refusal.status,
        headers=(("content-type", "application/json"), *_common(request)),
        parts=(json.dumps(error).encode(),),
    )
