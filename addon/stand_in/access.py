"""Which credentials the API lets in, and what it wants of a subscription's requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from addon.core.frozen import frozen
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.refusal import Refusal, invalid

type Kind = Literal["oauth", "api_key", "none"]

OAUTH_TOKEN = "sk-ant-oat01-test"
API_KEY = "sk-ant-api03-test"
REFRESH_TOKEN = "sk-ant-ort01-test"


@frozen
class Credential:
    kind: Kind
    secret: str
    by_header: bool
    """Sent as `x-api-key` rather than as a bearer."""


def credential_of(request: Received) -> Credential:
    key = request.header("x-api-key")
    scheme, _, bearer = (request.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return Credential("oauth" if is_oauth(bearer) else "api_key", bearer, by_header=False)
    if key:
        return Credential("api_key", key, by_header=True)
    return Credential("none", "", by_header=False)


def is_oauth(secret: str) -> bool:
    return secret.startswith("sk-ant-oat")


def kind_of(request: Received) -> Kind:
    return credential_of(request).kind


OAUTH_BETA = "oauth-2025-04-20"
SYSTEM_LINE = "You are Claude Code, Anthropic's official CLI for Claude."
IDENTITIES = (
    SYSTEM_LINE,
    SYSTEM_LINE[:-1] + ", running within the Claude Agent SDK.",
    "You are a Claude agent, built on Anthropic's Claude Agent SDK.",
)
"""What Claude Code 2.1 says first of itself: by hand, from the SDK, and with `-p`."""
ATTRIBUTION = "x-anthropic-billing-header:"
LONG_CONTEXT_BETA = "context-1m-2025-08-07"


@dataclass(slots=True)
class Access:
    oauth_tokens: set[str] = field(default_factory=lambda: {OAUTH_TOKEN})
    api_keys: set[str] = field(default_factory=lambda: {API_KEY})
    accounts: dict[str, str] = field(default_factory=dict)
    """Account of a secret; by default every OAuth token is of one account and every API key of another."""
    need_system_line: bool = True
    refused_betas: set[str] = field(default_factory=lambda: {LONG_CONTEXT_BETA})
    """Beta flags that the subscription's account is not allowed."""

    def account_of(self, credential: Credential) -> str:
        return self.accounts.get(credential.secret, f"org-{credential.kind}")

    def check(self, request: Received, credential: Credential) -> None:
        """Raise the 401 that the API gives for this credential."""
        if credential.kind == "none":
            raise Refusal(401, "x-api-key header is required")
        if credential.kind == "oauth":
            self._check_token(request, credential)
        elif credential.secret not in self.api_keys:
            raise Refusal(401, "invalid x-api-key")

    def _check_token(self, request: Received, credential: Credential) -> None:
        if OAUTH_BETA not in request.betas:
            raise Refusal(401, "OAuth authentication is currently not supported.")
        if credential.secret not in self.oauth_tokens:
            raise Refusal(401, "Invalid bearer token")

    def check_use(self, request: Received, credential: Credential, body: JsonObject) -> None:
        """Raise the 400 that a subscription's request gets when it is not shaped as Claude Code's. Claude Code 2.1
        itself counts tokens of single texts without a system prompt."""
        if credential.kind != "oauth":
            return
        for beta in sorted(request.betas & self.refused_betas):
            if beta == LONG_CONTEXT_BETA:  # NousResearch/hermes-agent#17680
                raise invalid("The long context beta is not yet available for this subscription.")
            raise invalid(f"Unexpected value(s) `{beta}` for the `anthropic-beta` header.")
        counting = request.path.endswith("/count_tokens")
        if self.need_system_line and not counting and first_system_text(body) not in IDENTITIES:
            raise invalid(
                "This credential is only authorized for use with Claude Code and cannot be used for other API requests."
            )


def first_system_text(body: JsonObject) -> str:
    """The first text that the model reads: the API takes an attribution block off where it stands first
    (https://code.claude.com/docs/en/llm-gateway-protocol)."""
    system = body.get("system") or ""
    if isinstance(system, str):
        return system.split("\n", 1)[0]
    texts = [str(block.get("text", "")) for block in system]
    return next(iter(texts[texts[0].startswith(ATTRIBUTION) :]), "")
