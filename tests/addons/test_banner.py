"""What is said at start: who serves, what it may cost, and what a tunnel needs. In 80 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addon.addons.persistence import banner
from addon.core.settings import Settings
from addon.credentials.credential import Credential, CredentialError
from tests.readable_login import ReadableLogin, stored

NOW = 1_800_000_000.0


MISSING = CredentialError("missing", "No Claude login in /home/me/.claude. Run `claude /login`.")


async def lines(login: Credential | CredentialError = MISSING, **env: str) -> list[str]:
    return await banner(Settings.from_env(env), ReadableLogin(login), NOW)


@pytest.mark.parametrize(
    ("login", "env", "said"),
    [
        (stored(expires_at=NOW + 3600), {}, "found in the file, valid until"),
        (stored(expires_at=NOW - 1), {}, "expired; it is refreshed with the first request"),
        (stored(expires_at=NOW - 1, refresh_token_expires_at=NOW - 1), {}, "expired: run `claude /login`"),
        (replace(stored(), source="environment"), {}, "from CLAUDE_CODE_OAUTH_TOKEN"),
        (stored(), {}, "found in the file"),
        (MISSING, {}, "· Ctrl+C ends it"),
        (MISSING, {"PORT": "9000"}, "dashboard http://localhost:9000/dashboard"),
        (MISSING, {}, "Run `claude /login`."),
        (MISSING, {"CLAUDE_CODE_FIRST": "false"}, "not used (CLAUDE_CODE_FIRST=false)"),
        (MISSING, {"ANTHROPIC_API_KEY": "k"}, "used when the subscription can't serve"),
        (MISSING, {"ANTHROPIC_API_KEY": "k", "FALLBACK_CHAIN": "wait"}, "used for summaries only (FALLBACK_CHAIN)"),
        (MISSING, {"FALLBACK_CHAIN": "claude-haiku-5-5,wait"}, "fallback claude-haiku-5-5, then wait (FALLBACK_CHAIN)"),
        (MISSING, {"ANTHROPIC_API_KEY": "k", "FALLBACK": "off"}, "never used (FALLBACK=off)"),
        (MISSING, {"ANTHROPIC_API_KEY": "k", "CLAUDE_CODE_FIRST": "false"}, "used for everything"),
        (MISSING, {}, "trimmed above 200000 tokens (summaries need the API key)"),
        (MISSING, {"ANTHROPIC_API_KEY": "k"}, "summarized above 200000 tokens"),
        (MISSING, {"CONTEXT_STRATEGY": "trim", "CONTEXT_MAX_TOKENS": "auto"}, "trimmed above the model's own window"),
        (MISSING, {"CONTEXT_STRATEGY": "none"}, "unchanged"),
        (MISSING, {}, "closed: no secret is set (PROXY_SECRET_KEY)"),
        (MISSING, {"TUNNEL_PROVIDER": "cloudflare"}, "open to ALLOWED_IPS (Cursor's servers), without a secret"),
        (MISSING, {"ALLOWED_IPS": "*"}, "open to everyone (ALLOWED_IPS=*), without a secret"),
        (MISSING, {"PROXY_SECRET_KEY": "s"}, "see CCPROXY_HOME/secret, or PROXY_SECRET_KEY"),
    ],
)  # fmt: skip
async def test_what_it_says(
    login: Credential | CredentialError, env: dict[str, str], said: str
) -> None:
    assert said in " ".join(" ".join(await lines(login, **env)).split())


@pytest.mark.parametrize(
    "env", [{}, {"PROXY_SECRET_KEY": "x" * 40}, {"ANTHROPIC_API_KEY": "k"}], ids=str
)
async def test_it_fits_eighty_columns(env: dict[str, str]) -> None:
    assert max(map(len, await lines(**env))) < 80


async def test_the_secret_is_not_shown() -> None:
    assert "canary" not in "\n".join(await lines(PROXY_SECRET_KEY="sk-ccproxy-canary"))
