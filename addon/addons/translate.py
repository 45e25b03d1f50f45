"""The client's dialect → Anthropic Messages, and Claude's answer back."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from mitmproxy import http

from addon.addons.model_list import ModelList
from addon.claude.model import Model
from addon.claude.names import ModelChoice, parse
from addon.claude.subscription_request import Headers, is_claude_code
from addon.core.content_encoding import inflate
from addon.core.errors import BadRequest, CCProxyError, NotFound
from addon.core.json_codec import dumps, holds_lone_surrogate, read_object
from addon.core.settings import Settings
from addon.core.types import Dialect, JsonObject
from addon.exchange.answer import (
    AnswerStream,
    BufferedAnswer,
    InputTokensAnswer,
    PassthroughAnswer,
    StreamedAnswer,
)
from addon.exchange.claude_request import (
    ClaudeRequest,
    NativeRequest,
    yield_if_large,
)
from addon.exchange.http_messages import QuickHeaders, lowered
from addon.exchange.routes import COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, INPUT_TOKENS, deployment
from addon.exchange.state import Exchange, Exchanges
from addon.exchange.stored_responses import ROOM, ResolvedRequest, StoredResponses
from addon.translation.from_anthropic.by_dialect import renderer_for, whole_response
from addon.translation.from_anthropic.headers import EVENT_STREAM_HEADERS, client_headers
from addon.translation.from_anthropic.response_fields import response_fields
from addon.translation.to_anthropic.conversion_cache import ConversionCache
from addon.translation.to_anthropic.native import is_readable, native_translation
from addon.translation.to_anthropic.request import translate_chat, translate_responses
from addon.translation.types import Reply, RequestOptions, Translation

_NAME = re.compile(rb"[A-Za-z0-9-]{1,128}")
_VALUE = re.compile(rb"[ -~]{1,8192}")

LONGEST_NAME = 256
"""Characters of a model's name. What names mean is remembered, so they may not be as long as a body."""
COUNTED = (
    "model",
    "system",
    "messages",
    "tools",
    "tool_choice",
    "output_config",
    "cache_control",
    "context_management",
)
"""Fields of a translated request that Anthropic's token count takes (`anthropic.types.MessageCountTokensParams`)."""
FORWARDED = (b"traceparent", b"anthropic-user-profile-id", b"anthropic-workspace-id")
"""Of an OpenAI client's headers. Its version and its betas would change what Anthropic accepts and what it costs."""
CLAUDE_LACKS = {
    COMPLETIONS: "Claude does not complete text; use /v1/chat/completions with one user message.",
    EMBEDDINGS: "Claude makes no embeddings; name a model of OpenAI's, with OPENAI_API_KEY set.",
}
"""Endpoints that only pass requests on."""
NO_INPUT = "-"
"""Stands for the input of a request that only warms up; it is not sent."""
EMPTY_STREAM = b"".join(
    (
        b'data: {"type":"message_start","message":{"id":"msg_%b","content":[],"usage":{}}}\n\n',
        b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}\n\n',
        b'data: {"type":"message_stop"}\n\n',
    )
)
"""A response of Anthropic's with nothing in it."""
VERIFY_SYSTEM = "You are a test assistant."
"""The system prompt of Cursor's Verify button, which may name any model of its list, `gpt-…` included."""


class Translate:
    def __init__(
        self,
        settings: Settings,
        exchanges: Exchanges,
        models: ModelList,
        cache: ConversionCache,
        stored: StoredResponses,
    ) -> None:
        self.settings = settings
        self.exchanges = exchanges
        self.models = models
        self.aliases = dict(settings.model_aliases)
        self.options = RequestOptions(strict=settings.strict, fast=settings.fast_mode)
        self.cache = cache
        self.stored = stored
        self.keeps_body = any(step.startswith("openai:") for step in settings.fallback_chain)

    async def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        if (
            exchange is None
            or exchange.route is None
            or exchange.route.kind not in ("model", "count_tokens")
        ):
            return
        try:
            await self.read(flow, exchange)
        except CCProxyError as error:
            exchange.refuse(flow, error)

    async def read(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        encoding = flow.request.headers.get("content-encoding", "")
        raw = inflate(flow.request.raw_content or b"", encoding)
        body = read_object(raw)
        await yield_if_large(len(raw))
        exchange.client.streaming = (
            body.get("stream") is True and exchange.route is not INPUT_TOKENS
        )
        exchange.who = exchange.who.told_by(body)
        asked = _asked(body, flow.request.path)
        choice = self.choose(asked, exchange.dialect, body)
        if choice is not None and exchange.route in CLAUDE_LACKS:
            raise NotFound(CLAUDE_LACKS[exchange.route], code="unknown_endpoint")
        if choice is None:
            exchange.passthrough = {**body, "model": self.meant(asked)}
            return
        await self.models.look_up(choice.id)
        model = self.models.catalogue.get(choice.id)
        warms_up = exchange.client.websocket and body.get("generate") is False
        resolved = self.resolved(exchange, body, len(raw), flow.client_conn.id)
        given = _without_warm_up(resolved.body) if warms_up else resolved.body
        translation = self.translate(given, model, asked, exchange.dialect, choice)
        if exchange.dialect == "responses":
            told = {"previous_response_id": resolved.parent, "store": resolved.store}
            translation.reply = replace(translation.reply, echo=translation.reply.echo | told)
        if warms_up:
            self.warm_up(flow, exchange, translation)
            return
        if self.keeps_body and exchange.dialect != "messages":
            exchange.own_body = resolved.body
        exchange.ignored = translation.ignored
        exchange.notes += translation.notes
        exchange.claude = _claude_request(asked, choice, model, translation)
        exchange.claude.conversation = translation.conversation or exchange.who.session or None
        exchange.claude.size = len(raw) + resolved.added
        exchange.claude.counts_tokens = exchange.route in (COUNT_TOKENS, INPUT_TOKENS)
        exchange.claude.headers = _kept(flow.request, FORWARDED)
        if exchange.dialect == "messages":
            _keep_native(flow.request, exchange.claude, body, raw)
            exchange.client.claude_code = exchange.claude.passes
            exchange.claude.query = f"?{exchange.query}" if exchange.query else ""
        elif exchange.claude.counts_tokens:
            request = exchange.claude.request
            exchange.claude.request = {name: request[name] for name in COUNTED if name in request}

    def resolved(
        self, exchange: Exchange, body: JsonObject, size: int, connection: str
    ) -> ResolvedRequest:
        """The request with what it refers to; its response will be kept, if it is to be: a WebSocket keeps for itself
        what is not to be stored. `size`: bytes of `body`. `connection`: the client's."""
        if exchange.dialect != "responses":
            return ResolvedRequest(body)
        socket = connection if exchange.client.websocket else ""
        resolved = self.stored.resolve(exchange.principal, body, socket)
        if size > ROOM:
            resolved = replace(resolved, store=False)
        owner = exchange.principal if resolved.store else socket
        exchange.parent = resolved.parent

        def complete(response: JsonObject) -> JsonObject:
            if response["status"] == "completed":
                response = {**response, "completed_at": int(time.time())}
            if owner:
                self.stored.keep(owner, resolved, response)
            return response

        exchange.complete = complete
        return resolved

    def warm_up(self, flow: http.HTTPFlow, exchange: Exchange, translation: Translation) -> None:
        """The response to `generate: false`: a client may go on from it. Nobody is asked for it."""
        reply, complete = (
            _telling(translation.reply, translation.request),
            exchange.complete or dict,
        )
        renderer = renderer_for("responses", reply, int(exchange.arrived), complete=complete)
        body = StreamedAnswer(renderer).feed(EMPTY_STREAM % exchange.id.encode())
        flow.response = http.Response.make(200, body, dict(EVENT_STREAM_HEADERS))

    def meant(self, asked: str) -> str:
        """The name behind the user's own one."""
        return self.aliases.get(asked.lower(), asked)

    def choose(self, asked: str, dialect: Dialect, body: JsonObject) -> ModelChoice | None:
        """The Claude model that a name means; None: another API's model. Raises NotFound where there is none."""
        choice = parse(self.meant(asked))
        if choice is not None:
            return choice
        if self.settings.openai_api_key and dialect != "messages":
            return None
        if _is_cursors_verify(body):
            return parse(self.settings.default_model)
        raise NotFound(
            f"model: {asked} is not a Claude model. Set OPENAI_API_KEY to pass other models on, "
            "or MODEL_ALIASES to map the name.",
            param="model",
            code="model_not_found",
        )

    def translate(
        self, body: JsonObject, model: Model, asked: str, dialect: Dialect, choice: ModelChoice
    ) -> Translation:
        model_id = self.models.catalogue.resolve(choice.id)
        match dialect:
            case "chat":
                translation = translate_chat(body, model, self.options, self.cache)
            case "responses":
                translation = translate_responses(body, model, self.options, self.cache)
            case "messages":
                return native_translation(body, model_id)
        translation.request["model"] = model_id  # a pinned snapshot has the row of its alias
        if translation.reply.model != asked:
            translation.reply = replace(translation.reply, model=asked)
        return translation

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        if exchange is None or not exchange.attempts or flow.response is None:
            return
        if flow.response.status_code != 200 or exchange.finished:
            return
        headers = lowered(flow.response.headers)
        exchange.attempts[-1].response_headers = headers
        exchange.answer = self.answer(exchange, headers)
        flow.response.headers = QuickHeaders(
            [(name.encode(), value.encode()) for name, value in self.head(exchange, headers)]
        )
        flow.response.stream = True

    def answer(self, exchange: Exchange, headers: dict[str, str]) -> AnswerStream:
        claude, attempt = exchange.claude, exchange.attempts[-1]
        if claude is None or claude.counts_tokens or attempt.source == "openai":
            streams = headers.get("content-type", "").startswith("text/event-stream")
            if attempt.source == "openai" and claude is not None:
                hidden = not claude.reply.include_usage
                return PassthroughAnswer(streams, exchange.client.error_event, hides_usage=hidden)
            if claude is not None and exchange.dialect == "responses":
                return InputTokensAnswer(exchange.client.error_event)
            return PassthroughAnswer(streams, exchange.client.error_event)
        created, dialect = int(exchange.arrived), exchange.dialect
        reply, complete = claude.reply, exchange.complete or dict
        if dialect == "responses":
            reply = _telling(reply, attempt.request)
        paused = exchange.paused if isinstance(exchange.paused, StreamedAnswer) else None
        renderer = (
            paused.renderer if paused else renderer_for(dialect, reply, created, complete=complete)
        )
        resumes = claude.native is None
        if exchange.client.streaming:
            return StreamedAnswer(renderer, resumes=resumes, paused=paused)
        return BufferedAnswer(
            renderer,
            lambda message: dumps(
                whole_response(dialect, message, reply, created, complete=complete)
            ),
            resumes=resumes,
            paused=paused,
        )

    def head(self, exchange: Exchange, upstream: dict[str, str]) -> list[tuple[str, str]]:
        passed = client_headers(upstream, exchange.dialect, unified=not exchange.tunnel)
        if exchange.client.streaming:
            passed += EVENT_STREAM_HEADERS
        else:
            passed.append(("content-type", "application/json; charset=utf-8"))
        claude = exchange.claude
        model = exchange.attempts[-1].request.get("model")
        if claude and claude.asked != model:
            passed.append(("x-ccproxy-model", str(model)))
        if exchange.ignored:
            passed.append(("x-ccproxy-ignored", ",".join(exchange.ignored)))
        if change := exchange.attempts[-1].thinking_change:
            passed.append(("x-ccproxy-thinking", change))
        return passed + list({**exchange.source_headers(), **(exchange.client.cors or {})}.items())


def _telling(reply: Reply, request: JsonObject) -> Reply:
    """For a Responses object, which tells what was sent."""
    return replace(reply, echo=response_fields(reply.echo, request))


def _without_warm_up(body: JsonObject) -> JsonObject:
    """A request that only warms up is translated for the fields of its response. It needs no input."""
    return {**body, "generate": True, "input": body.get("input") or NO_INPUT}


def _keep_native(
    request: http.Request, claude: ClaudeRequest, body: JsonObject, raw: bytes
) -> None:
    """An Anthropic client chooses its API version, its betas and its query itself."""
    if holds_lone_surrogate(raw):
        raise BadRequest("The request body is not JSON: half of a surrogate pair stands alone.")
    headers = lowered(request.headers)
    claude.native = NativeRequest(
        body=body, raw=raw, passes=is_claude_code(body, headers), opaque=not is_readable(body)
    )
    claude.headers = _kept(request, (b"traceparent", b"anthropic-"))
    if claude.request is not body:
        claude.note_change("model")


def _kept(request: http.Request, names: tuple[bytes, ...]) -> Headers:
    """The headers whose names begin so, as they were written and in their order; without those that hold what no header
    may."""
    return [
        (name.decode(), value.decode())
        for name, value in request.headers.fields
        if name.lower().startswith(names) and _VALUE.fullmatch(value) and _NAME.fullmatch(name)
    ]


def _claude_request(
    asked: str, choice: ModelChoice, model: Model, translation: Translation
) -> ClaudeRequest:
    return ClaudeRequest(
        asked=asked,
        choice=choice,
        model=model,
        request=translation.request,
        reply=translation.reply,
        thinking_request=translation.thinking_request,
        max_tokens_given=translation.max_tokens_given,
        betas=set(translation.betas),
        cache_ttl="1h" if translation.cache_ttl == "1h" else None,
        explicit_cache=translation.explicit_cache,
    )


def _asked(body: JsonObject, path: str) -> str:
    name = deployment(path) or body.get("model")
    if not isinstance(name, str) or not name.strip():
        raise BadRequest("model: the name of a model is required", param="model")
    if len(name) > LONGEST_NAME:
        raise BadRequest(f"model: longer than {LONGEST_NAME} characters", param="model")
    return name


def _is_cursors_verify(body: JsonObject) -> bool:
    messages = body.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    return isinstance(first, dict) and first.get("content") == VERIFY_SYSTEM
