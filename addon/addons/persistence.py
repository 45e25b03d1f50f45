"""Loads saved state at start, prints the banner, and saves state while running and at shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import textwrap
import time
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

from mitmproxy import ctx

from addon.context.summary_memory import SummaryMemory
from addon.context.tokens.counter import TokenCounter
from addon.core.own_http import OwnHttp
from addon.core.redaction import hide_in_logs
from addon.core.settings import Settings
from addon.core.terminal import Terminal
from addon.core.version import VERSION
from addon.credentials.credential import CredentialError
from addon.credentials.login import Login
from addon.usage.store import UsageStore

logger = logging.getLogger(__name__)

WIDTH = 79
SETUP_TOKEN = (
    "`claude setup-token` creates a token for unattended use: set it as CLAUDE_CODE_OAUTH_TOKEN."  # noqa: S105
)
DRAIN_SECONDS = 75.0
"""The longest refresh: 30 s for the lock, 30 s for the response, 10 s for the write."""


@dataclass(eq=False, repr=False)
class Persistence:
    settings: Settings
    store: UsageStore
    counter: TokenCounter
    memory: SummaryMemory
    _: KW_ONLY
    login: Login
    http: OwnHttp
    terminal: Terminal
    doubts: Sequence[str] = ()
    """Settings that can't work, as lines for the terminal."""
    unpriced: Sequence[str] = ()
    """Steps of FALLBACK_CHAIN that must not be taken while there is a budget."""
    saving: asyncio.Task[None] | None = field(default=None, init=False)

    async def running(self) -> None:
        hide_in_logs(self.settings.secret)
        if not ctx.options.server:
            return  # `-n`: only views saved flows, possibly while a proxy is running
        self.store.load()
        if self.unpriced and self.store.budget.settings.enabled:
            # mitmproxy shows an error that is logged now, and ends
            logger.error(
                "ccproxy can't start: a budget is set, so in FALLBACK_CHAIN %s needs a price in %s.",
                " and ".join(self.unpriced),
                self.settings.home / "models.toml",
            )
            return
        self.saving = asyncio.create_task(self.store.run())
        self.saving.add_done_callback(self.store.ended)
        for line in await banner(self.settings, self.login, time.time()):
            self.terminal.line(line)
        # only mitmweb has one; its own line with the token is below the log level
        if web_url := getattr(ctx.master, "web_url", None):
            self.terminal.line(f"  mitmweb       {web_url}")
        for doubt in self.doubts:
            for line in _entry("check this", doubt):
                self.terminal.line(line, "odd")

    async def done(self) -> None:
        if self.saving is not None:
            self.saving.cancel()
        # A running refresh has already used up the old token: its result must be saved, so it is never cancelled.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.login.drain()), DRAIN_SECONDS)
        self.store.close()
        self.counter.close()
        await self.http.aclose()
        self.memory.close()


async def banner(settings: Settings, login: Login, now: float) -> list[str]:
    """Lines for the terminal. Reads the login without refreshing it. Never shows the secret: people share screens."""
    here = f"http://localhost:{settings.port}"
    return [
        f"ccproxy {VERSION} on {here} · Ctrl+C ends it",
        f"  base URL      {here}/v1",
        f"  dashboard     {here}/dashboard",
        *_entry("subscription", await _subscription(settings, login, now)),
        *_entry("API key", _api_key(settings)),
        *_entry("fallback", _chain(settings)),
        *_entry("context", _context(settings)),
        *_entry("tunnel", _tunnel(settings)),
    ]


def _entry(name: str, text: str) -> list[str]:
    """Nothing without a text."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"  {name:<13} ",
        subsequent_indent=" " * 16,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _context(settings: Settings) -> str:
    if settings.context_strategy == "none":
        return "unchanged (CONTEXT_STRATEGY=none)"
    wanted = settings.context_strategy == "summarize"
    can = settings.can_pay
    limit = settings.context_max_tokens
    shown = "the model's own window" if limit == "auto" else f"{limit} tokens"
    why = " (summaries need the API key)" if wanted and not can else ""
    return f"{'summarized' if wanted and can else 'trimmed'} above {shown}{why}"


def _tunnel(settings: Settings) -> str:
    if settings.secret is None:
        return _tunnel_without_secret(settings)
    return "requires the secret as API key: see CCPROXY_HOME/secret, or PROXY_SECRET_KEY"


def _tunnel_without_secret(settings: Settings) -> str:
    if settings.allowed_ips is None:
        return "open to everyone (ALLOWED_IPS=*), without a secret"
    if settings.tunnel_provider != "cloudflare":
        return "closed: no secret is set (PROXY_SECRET_KEY)"
    return "open to ALLOWED_IPS (Cursor's servers), without a secret"


async def _subscription(settings: Settings, login: Login, now: float) -> str:
    if not settings.claude_code_first:
        return "not used (CLAUDE_CODE_FIRST=false)"
    try:
        credential = await login.read()
    except CredentialError as error:
        return f"none: {error.message} {SETUP_TOKEN}"
    if credential.source == "environment":
        return "from CLAUDE_CODE_OAUTH_TOKEN"
    if credential.needs_login(now):
        return f"found in the {credential.source}, expired: run `claude /login`. {SETUP_TOKEN}"
    ends = credential.expires_at
    if ends is None:
        return f"found in the {credential.source}"
    if ends <= now:
        return f"found in the {credential.source}, expired; it is refreshed with the first request"
    until = time.strftime("%H:%M", time.localtime(ends))
    return f"found in the {credential.source}, valid until {until}. {SETUP_TOKEN}"


def _chain(settings: Settings) -> str:
    chain = settings.fallback_chain
    return "" if chain == ("api_key",) else f"{', then '.join(chain)} (FALLBACK_CHAIN)"


def _api_key(settings: Settings) -> str:
    if settings.api_key is None:
        return "none: there is no fallback"
    if not settings.claude_code_first:
        return "used for everything"
    if not settings.key_allowed:
        return "never used (FALLBACK=off)"
    if "api_key" not in settings.fallback_chain:
        return "used for summaries only (FALLBACK_CHAIN)"
    return "used when the subscription can't serve"
