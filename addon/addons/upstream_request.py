"""What is sent for a call: one body and one set of headers for each credential."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from addon.addons.thinking import Continuity
from addon.claude.subscription_request import beta_header, for_subscription
from addon.core.json_codec import dumps
from addon.core.own_http import USER_AGENT
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.exchange.attempt import Attempt, Source
from addon.exchange.claude_request import ClaudeRequest
from addon.exchange.routes import INPUT_TOKENS
from addon.exchange.state import Exchange

COUNT_TOKENS = "/v1/messages/count_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamCredential:
    """Who pays, and how that is told to upstream."""

    source: Source
    name: str
    """For people: `subscription`, `ANTHROPIC_API_KEY`, `client key`."""
    header: str
    secret: str = field(repr=False)


class UpstreamRequestBuilder:
    """Builds attempts; the headers are made from nothing, so none of the client's slips through."""

    def __init__(self, settings: Settings, continuity: Continuity) -> None:
        self.settings = settings
        self.continuity = continuity
        self.anthropic = urlsplit(settings.upstream_url)
        self.openai = urlsplit(settings.openai_base_url)

    def subscription(self, exchange: Exchange, claude: ClaudeRequest, token: str) -> Attempt:
        request = for_subscription(claude.request, self.settings.extra_instruction)
        credential = UpstreamCredential(
            source="claude_code",
            name="subscription",
            header="authorization",
            secret=f"Bearer {token}",
        )
        return self.claude(exchange, claude, request, credential)

    def api_key(self, exchange: Exchange, claude: ClaudeRequest, key: str) -> Attempt:
        name = "client key" if key == exchange.client_key else "ANTHROPIC_API_KEY"
        credential = UpstreamCredential(source="api_key", name=name, header="x-api-key", secret=key)
        return self.claude(exchange, claude, claude.request, credential)

    def claude(
        self,
        exchange: Exchange,
        claude: ClaudeRequest,
        request: JsonObject,
        credential: UpstreamCredential,
    ) -> Attempt:
        ticket, change = None, ""
        if not claude.counts_tokens:
            # Always streamed: the subscription path knows nothing else, and a long answer may take over ten minutes.
            request, ticket, change = self.continuity.prepare(
                claude,
                {**request, "stream": True},
                principal=exchange.principal,
                account=credential.name,
                strip=exchange.tried.stripped,
            )
        headers = [
            *_headers(self.anthropic),
            ("accept", "application/json" if claude.counts_tokens else "text/event-stream"),
            ("anthropic-version", claude.version),
        ]
        betas = beta_header(claude.betas, subscription=credential.source == "claude_code")
        if betas:
            headers.append(("anthropic-beta", betas))
        path = COUNT_TOKENS if claude.counts_tokens else "/v1/messages"
        attempt = _attempt(self.anthropic, path + claude.query, headers, request, credential)
        attempt.ticket, attempt.thinking_change = ticket, change
        if change:
            exchange.note(f"thinking: {change}")
        return attempt

    def passthrough(self, exchange: Exchange, body: JsonObject) -> Attempt:
        endpoint = "/responses" if exchange.dialect == "responses" else "/chat/completions"
        if exchange.route is INPUT_TOKENS:
            endpoint += "/input_tokens"
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
        )
        return _attempt(self.openai, prefix + endpoint, headers, body, credential)


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


def _attempt(
    base: SplitResult,
    path: str,
    headers: list[tuple[str, str]],
    request: JsonObject,
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
        body=dumps(request),
        auth=(credential.header, credential.secret),
        request=request,
    )
