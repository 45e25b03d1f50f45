"""The endpoints: route a request, check it, make its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

from addon.stand_in import openai
from addon.stand_in.access import Access, credential_of, kind_of
from addon.stand_in.delivery import Response
from addon.stand_in.directives import directives
from addon.stand_in.limits import usual
from addon.stand_in.messages import Messages, decoded
from addon.stand_in.models import model_info
from addon.stand_in.oauth import OAuth, OAuthRefusal
from addon.stand_in.record import JsonObject, Log, Received
from addon.stand_in.refusal import Refusal
from addon.stand_in.render import (
    encoded,
    json_response,
    paced,
    raw_response,
    refused,
    stream_response,
)
from addon.stand_in.script import Answer, Script, exhausted, fail
from addon.stand_in.stream import events, message

LOG_PATH = "/__fake/log"
MODELS_ON_A_PAGE = 20
"""Unless `limit` says otherwise."""


class Api:
    """Every endpoint of the fake, over one log, one script and one set of credentials."""

    def __init__(
        self, access: Access, log: Log, clock: Callable[[], float], verbose: bool = False
    ) -> None:
        self.access, self.log, self.clock, self.verbose = access, log, clock, verbose
        self.script = Script()
        self.messages = Messages(access, clock)
        self.oauth = OAuth(access, clock)

    async def answer(self, request: Received) -> Response:
        response = self._route(request)
        if self.verbose and request.path != LOG_PATH:
            print(
                f"{request.method} {request.target} {kind_of(request)} {response.status}",
                flush=True,
            )
        return response

    def _route(self, request: Received) -> Response:
        if request.path == LOG_PATH:
            return json_response(request, summary(self.log), Answer())
        answer = self.script.take(request)
        if answer.raw:
            return raw_response(request, answer)
        try:
            return self._endpoint(request, answer)
        except OAuthRefusal as refusal:
            return json_response(request, refusal.json(), Answer(), refusal.status)
        except Refusal as refusal:
            if request.path in (openai.CHAT, openai.RESPONSES):
                return json_response(request, openai.error(refusal), Answer(), refusal.status)
            return refused(request, refusal)

    def _endpoint(self, request: Received, answer: Answer) -> Response:
        match request.method, request.path:
            case "POST", "/v1/messages":
                return self._message(request, answer)
            case "POST", "/v1/messages/count_tokens":
                return self._count(request, answer)
            case "GET", "/v1/models":
                return self._models(request, answer)
            case "GET", path if path.startswith("/v1/models/"):
                return self._one_model(request, answer)
            case "HEAD", "/api/hello":
                # Claude Code asks it at start (https://code.claude.com/docs/en/llm-gateway-protocol)
                return json_response(request, {}, answer)
            case "POST", "/v1/oauth/token":
                return json_response(request, self.oauth.refresh(request), answer)
            case "POST", openai.CHAT | openai.RESPONSES:
                return _openai(request, answer)
            case _:
                raise Refusal(404, f"Not Found: {request.path}")

    def _message(self, request: Received, answer: Answer) -> Response:
        self._check_credential(request)
        credential = credential_of(request)
        taken = self.messages.accept(request, credential)
        asked = directives(taken.body)
        if status := asked.failures.get(credential.kind):
            return raw_response(request, self._failure(status, credential.kind))
        reply = self.messages.reply(taken, answer.turn, request.number)
        headers = {**usual(credential.kind, self.clock()), **answer.headers}
        answer = paced(replace(answer, headers=headers), asked.every)
        if not taken.body.get("stream"):
            return json_response(request, message(reply), answer)
        return stream_response(request, encoded(events(reply), answer), answer)

    def _failure(self, status: int, kind: str) -> Answer:
        if (status, kind) == (429, "oauth"):
            now = self.clock()
            return exhausted({"5h": now + 7200, "7d": now + 86_400})
        return fail(status)

    def _count(self, request: Received, answer: Answer) -> Response:
        self._check_credential(request)
        taken = self.messages.accept(request, credential_of(request), counting=True)
        return json_response(request, {"input_tokens": self.messages.count(taken)}, answer)

    def _models(self, request: Received, answer: Answer) -> Response:
        self._check_credential(request)
        rows = [model_info(model) for model in self.messages.models.values()]
        return json_response(request, _page(rows, dict(parse_qsl(request.query))), answer)

    def _one_model(self, request: Received, answer: Answer) -> Response:
        self._check_credential(request)
        id = request.path.removeprefix("/v1/models/")
        if id not in self.messages.models:
            raise Refusal(404, f"model: {id}")
        return json_response(request, model_info(self.messages.models[id]), answer)

    def _check_credential(self, request: Received) -> None:
        self.oauth.expire_old()
        self.access.check(request, credential_of(request))


def _page(rows: Sequence[JsonObject], query: Mapping[str, str]) -> JsonObject:
    """One page of a list (the anthropic SDK's `ModelListParams`); an unknown id begins at the first row."""
    ids = [row["id"] for row in rows]
    limit = int(query.get("limit", MODELS_ON_A_PAGE))
    start = ids.index(query["after_id"]) + 1 if query.get("after_id") in ids else 0
    end = len(ids)
    if query.get("before_id") in ids:
        end = ids.index(query["before_id"])
        start = max(0, end - limit)
    data = list(rows[start:end][:limit])
    return {
        "data": data,
        "has_more": (start > 0) if "before_id" in query else (start + len(data) < end),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


def _openai(request: Received, answer: Answer) -> Response:
    openai.check(request)
    body = decoded(request)
    chat = request.path == openai.CHAT
    if body.get("stream"):
        events = openai.chunks if chat else openai.response_events
        return stream_response(request, events(body, answer), answer)
    whole = openai.completion(body) if chat else openai.response(body, answer)
    return json_response(request, whole, answer)


def summary(log: Log) -> JsonObject:
    """What came in, as JSON for a shell script; secrets are shortened to their kind."""
    return {
        "connections": len(log.connections),
        "bytes_in": log.bytes_in,
        "requests": [_shown(r) for r in log.requests if r.path != LOG_PATH],
    }


def _shown(request: Received) -> JsonObject:
    return {
        "number": request.number,
        "connection": request.connection,
        "method": request.method,
        "target": request.target,
        "credential": kind_of(request),
        "headers": [[name, redacted(value)] for name, value in request.headers],
        "json": request.json,
        "body_bytes": len(request.body),
        "outcome": request.outcome,
        "status": request.status,
    }


_SECRET = re.compile(r"(sk-[a-z]+(?:-[a-z]+\d*)?-).+")


def redacted(value: str) -> str:
    """`Bearer sk-ant-oat01-abc` becomes `Bearer sk-ant-oat01-…`."""
    return _SECRET.sub(r"\1…", value)
