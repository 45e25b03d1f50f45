"""What is sent for a call: one body and one set of headers for each credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from hashlib import blake2b
from operator import is_
from urllib.parse import SplitResult, urlsplit

from addon.addons.thinking import Continuity, has_response
from addon.claude.model import Model
from addon.claude.refused_features import Feature, RefusedFeatures, without
from addon.claude.subscription_request import (
    SUBSCRIPTION_BETAS,
    Headers,
    betas_in,
    for_subscription,
    with_betas,
)
from addon.claude.thinking_records import Scope
from addon.claude.turns import resumed, strip_thinking
from addon.core.frozen import frozen
from addon.core.json_codec import dumps_to_keep
from addon.core.json_splice import spliced
from addon.core.outbound_proxy import OutboundProxies, OutboundProxy
from addon.core.own_http import USER_AGENT
from addon.core.settings import Settings, SettingsError
from addon.core.types import JsonObject
from addon.exchange.attempt import Attempt, Source
from addon.exchange.claude_request import ANTHROPIC_VERSION, ClaudeRequest, NativeRequest
from addon.exchange.routes import COMPLETIONS, EMBEDDINGS, INPUT_TOKENS, Route
from addon.exchange.state import Exchange
from addon.fallback.policy import ChainStep
from addon.translation.sealed_thinking import is_sealed_here

COUNT_TOKENS = "/v1/messages/count_tokens"
OPENAI_ENDPOINTS: dict[Route | None, str] = {
    COMPLETIONS: "/completions",
    EMBEDDINGS: "/embeddings",
    INPUT_TOKENS: "/responses/input_tokens",
}


@frozen(kw_only=True)
class UpstreamCredential:
    """Who pays, and how that is told to upstream."""

    source: Source
    name: str
    """For people: `subscription`, `ANTHROPIC_API_KEY`, `client key`."""
    header: str
    secret: str = field(repr=False)
    login: str = field(repr=False)
    """Names the account to which Anthropic may have refused something."""


class UpstreamRequestBuilder:
    """Builds attempts; the headers are made from nothing, so none of the client's slips through but those meant to."""

    def __init__(
        self,
        settings: Settings,
        continuity: Continuity,
        refused: RefusedFeatures,
        proxies: OutboundProxies | None = None,
    ) -> None:
        """Raises SettingsError for a proxy in the environment that can't be used."""
        proxies = proxies or OutboundProxies(settings.upstream_proxy)
        self.settings = settings
        self.continuity = continuity
        self.refused = refused
        self.anthropic = urlsplit(settings.upstream_url)
        self.openai = urlsplit(settings.openai_base_url)
        self.proxies = {
            base: _proxy(proxies, base)
            for base in (self.anthropic, self.openai)
            if base is self.anthropic or settings.openai_api_key
        }

    def subscription(
        self, exchange: Exchange, claude: ClaudeRequest, token: str, login: int
    ) -> Attempt:
        request = claude.request
        if not claude.passes and not claude.counts_tokens:
            request = for_subscription(request, self.settings.extra_instruction)
        credential = UpstreamCredential(
            source="claude_code",
            name="subscription",
            header="authorization",
            secret=f"Bearer {token}",
            login=f"subscription {login}",
        )
        return self.claude(exchange, claude, request, credential)

    def with_blocks_put_back(
        self, exchange: Exchange, claude: ClaudeRequest, known: Mapping[int, bytes]
    ) -> JsonObject | None:
        """The request as the first choice of credentials will send it, for counting; None if nothing is put back."""
        request, account = claude.request, "ANTHROPIC_API_KEY"
        if claude.opaque or not has_response(request):
            return None
        if self.settings.claude_code_first:
            account = "subscription"
            if not claude.passes:
                request = for_subscription(request, self.settings.extra_instruction)
        scope = Scope(exchange.principal, account, claude.model.id)
        sent = self.continuity.preview(scope, request, claude.model, known)
        return None if sent is None else {**claude.request, "messages": sent["messages"]}

    def api_key(self, exchange: Exchange, claude: ClaudeRequest, key: str) -> Attempt:
        name = "client key" if key == exchange.client_key else "ANTHROPIC_API_KEY"
        login = blake2b(key.encode(), digest_size=8).hexdigest()
        credential = UpstreamCredential(
            source="api_key", name=name, header="x-api-key", secret=key, login=login
        )
        return self.claude(exchange, claude, claude.request, credential)

    def claude(
        self,
        exchange: Exchange,
        claude: ClaudeRequest,
        request: JsonObject,
        credential: UpstreamCredential,
    ) -> Attempt:
        ticket, change = None, ""
        changed = list(claude.changed)
        if request is not claude.request and claude.native:
            changed.append("system")
        if not claude.counts_tokens:
            # Always streamed: the subscription path knows nothing else, and a long answer may take over ten minutes.
            request = {**request, "stream": True}
            if not claude.opaque:
                sent = self.continuity.prepare(
                    claude,
                    request,
                    principal=exchange.principal,
                    account=credential.name,
                    tried=exchange.tried,
                )
                request, ticket, change = sent.request, sent.ticket, sent.thinking_change
                changed += ["thinking"] if claude.native and sent.restored else []
            if exchange.paused is not None:
                request = resumed(request, exchange.paused.message)
                request = strip_thinking(request) if exchange.tried.stripped else request
        features = self.refused.of(credential.login, claude.model.id)
        kept, refused = without(request, features), [f.name for f in features if f.kind == "beta"]
        headers = self.headers(claude, refused, subscription=credential.source == "claude_code")
        path = COUNT_TOKENS if claude.counts_tokens else "/v1/messages"
        body = _as_it_came(claude.native, kept) if claude.native else dumps_to_keep(kept)
        attempt = self.attempt(self.anthropic, path + claude.query, headers, kept, body, credential)
        attempt.ticket, attempt.thinking_change = ticket, change
        attempt.changed = tuple(dict.fromkeys(changed)) if claude.native else ()
        attempt.reason = exchange.reason
        if exchange.step is not None and exchange.step.kind != "api_key":
            attempt.step = exchange.step.name
        attempt.repaired = (*claude.repaired, *self.left_out(claude, request, kept, features))
        self.note(exchange, attempt)
        return attempt

    def headers(self, claude: ClaudeRequest, refused: list[str], *, subscription: bool) -> Headers:
        given = claude.headers
        if not any(name.lower() == "anthropic-version" for name, _ in given):
            given = [("anthropic-version", ANTHROPIC_VERSION), *given]
        wanted = (*(SUBSCRIPTION_BETAS if subscription else ()), *sorted(claude.betas))
        accept = "application/json" if claude.counts_tokens else "text/event-stream"
        return [
            *_headers(self.anthropic),
            ("accept", accept),
            *with_betas(given, wanted, refused),
        ]

    def left_out(
        self,
        claude: ClaudeRequest,
        request: JsonObject,
        kept: JsonObject,
        features: tuple[Feature, ...],
    ) -> list[str]:
        """The names of those features that this request had."""
        betas = {*betas_in(claude.headers), *claude.betas}
        return [
            feature.name
            for feature in features
            if (
                feature.name in betas
                if feature.kind == "beta"
                else kept is not request and without(request, (feature,)) is not request
            )
        ]

    def note(self, exchange: Exchange, attempt: Attempt) -> None:
        if attempt.thinking_change:
            exchange.note(f"thinking: {attempt.thinking_change}")
        for what in attempt.changed:
            exchange.note(f"changed: {what}")
        for what in attempt.repaired:
            exchange.note(f"repaired: {what}")

    def openai_step(self, exchange: Exchange, step: ChainStep, model: Model | None) -> Attempt:
        """An OpenAI client's own request for the model of a step of FALLBACK_CHAIN; `model`: with its prices."""
        body = {**(exchange.own_body or {}), "model": step.model}
        if exchange.dialect == "chat" and exchange.client.streaming:
            options = body.get("stream_options")
            asked = options if isinstance(options, dict) else {}
            body["stream_options"] = {**asked, "include_usage": True}  # what it cost
        if isinstance(items := body.get("input"), list):
            body["input"] = [item for item in items if not is_sealed_here(item)]
        attempt = self.passthrough(exchange, body)
        attempt.reason, attempt.step, attempt.priced = exchange.reason, step.name, model
        return attempt

    def passthrough(self, exchange: Exchange, body: JsonObject) -> Attempt:
        by_dialect = "/responses" if exchange.dialect == "responses" else "/chat/completions"
        endpoint = OPENAI_ENDPOINTS.get(exchange.route, by_dialect)
        prefix = "" if self.openai.path.endswith("/v1") else "/v1"
        headers = _headers(self.openai)
        if "openrouter" in self.openai.netloc:  # its rankings and its bill name the app
            headers.append(("HTTP-Referer", self.settings.openrouter_referer))
            headers.append(("X-Title", self.settings.openrouter_title))
        credential = UpstreamCredential(
            source="openai",
            name="OPENAI_API_KEY",
            header="authorization",
            secret=f"Bearer {self.settings.openai_api_key}",
            login="",
        )
        sent = dumps_to_keep(body)
        return self.attempt(self.openai, prefix + endpoint, headers, body, sent, credential)

    def attempt(
        self,
        base: SplitResult,
        path: str,
        headers: list[tuple[str, str]],
        request: JsonObject,
        body: bytes,
        credential: UpstreamCredential,
    ) -> Attempt:
        return Attempt(
            source=credential.source,
            credential=credential.name,
            scheme=base.scheme,
            host=base.hostname or "",
            port=base.port or (443 if base.scheme == "https" else 80),
            path=base.path + path,
            headers=headers,
            body=body,
            auth=(credential.header, credential.secret),
            request=request,
            login=credential.login,
            proxy=self.proxies.get(base),
        )


def _proxy(proxies: OutboundProxies, base: SplitResult) -> OutboundProxy | None:
    try:
        return proxies.for_url(base.geturl())
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _headers(base: SplitResult) -> list[tuple[str, str]]:
    return [
        ("host", base.netloc.rpartition("@")[2]),
        ("content-type", "application/json"),
        (
            "accept-encoding",
            "identity",
        ),  # a stream is read as it comes, and a whole answer is small
        ("user-agent", USER_AGENT),
    ]


def _as_it_came(native: NativeRequest, request: JsonObject) -> bytes:
    """The client's own bytes, with the fields of `request` that differ."""
    new = {
        name: value
        for name, value in request.items()
        if name not in native.body or not _is_same(native.body[name], value)
    }
    return spliced(native.raw, native.body, new, native.body.keys() - request.keys())


def _is_same(before: object, after: object) -> bool:
    """Without looking into long lists of messages, whose items are shared when nothing was changed."""
    if before is after:
        return True
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(is_, before, after))
    return type(before) is type(after) and not isinstance(before, list | dict) and before == after
