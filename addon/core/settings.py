"""All settings: their variables, parsers, defaults and help.

`.env.example` and docs/CONFIGURATION.md are checked against this table.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from addon.core.outbound_proxy import OutboundProxy
from addon.core.setting_values import (
    Network,
    aliases,
    any_value,
    boolean,
    chain,
    choice,
    command,
    key,
    networks,
    path,
    port,
    seconds,
    text,
    tokens,
    tokens_or,
    url,
    words,
)

DEFAULT_EXTRA_INSTRUCTION = (
    "You are running headless behind a local proxy; the user talks to you through another program."
)
CURSOR_BACKEND = ("52.44.113.131", "184.73.225.134")
"""The addresses of Cursor's servers, as reported by users; Cursor does not publish them."""


class SettingsError(Exception):
    """One or more variables have invalid values; the message has a line for each."""


def setting(
    env: str, parse: Callable[[str], Any], default: Any, help: str, *, secret: bool = False
) -> Any:
    """`secret`: the value is left out of the repr, and so out of logs and tracebacks, and it is no option of
    mitmproxy's, which others can see and change."""
    return field(
        default=default,
        repr=not secret,
        metadata={"env": env, "parse": parse, "help": help, "secret": secret},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The user's settings. Created by `from_env`; every value is valid."""

    port: int = setting("PORT", port, 8082, "Port to listen on, at 127.0.0.1.")
    upstream_url: str = setting(
        "ANTHROPIC_UPSTREAM_URL", url, "https://api.anthropic.com", "Where Anthropic's API is."
    )
    upstream_proxy: OutboundProxy | None = setting(
        "UPSTREAM_PROXY",
        OutboundProxy.parse,
        None,
        "HTTP proxy through which requests leave; not set: HTTPS_PROXY and NO_PROXY hold.",
        secret=True,
    )
    api_key: str | None = setting(
        "ANTHROPIC_API_KEY",
        key,
        None,
        "API key to fall back to when the subscription's limits are hit (paid); also makes summaries.",
        secret=True,
    )
    fallback: Literal["auto", "off"] = setting(
        "FALLBACK",
        choice("auto", "off"),
        "auto",
        "off: take no paid step, not even for summaries; no effect with CLAUDE_CODE_FIRST=false.",
    )
    fallback_chain: tuple[str, ...] = setting(
        "FALLBACK_CHAIN",
        chain,
        ("api_key",),
        "What serves, in this order, when the subscription can't: api_key, a Claude model, openai:NAME, wait.",
    )
    hold_seconds: float = setting(
        "HOLD_SECONDS",
        seconds,
        18_000.0,
        "Longest time that the step `wait` holds a stream until the subscription's limit resets.",
    )
    plan_only: bool = setting(
        "PLAN_ONLY",
        boolean,
        False,
        "true: the subscription is not used beyond the plan's limits, so that no extra usage is billed.",
    )
    claude_code_first: bool = setting(
        "CLAUDE_CODE_FIRST", boolean, True, "false: use the API key only, never the subscription."
    )
    extra_instruction: str = setting(
        "CLAUDE_CODE_EXTRA_INSTRUCTION",
        text,
        DEFAULT_EXTRA_INSTRUCTION,
        "A sentence put after the system line that the subscription requires; empty: none.",
    )
    oauth_token: str | None = setting(
        "CLAUDE_CODE_OAUTH_TOKEN",
        key,
        None,
        "A token from `claude setup-token` (made for unattended use); takes precedence over the stored login.",
        secret=True,
    )
    oauth_token_url: str = setting(
        "CLAUDE_OAUTH_TOKEN_URL",
        url,
        "https://platform.claude.com/v1/oauth/token",
        "Where an expired login is refreshed.",
    )
    claude_config_dir: Path | None = setting(
        "CLAUDE_CONFIG_DIR", path, None, "Claude Code's folder; default ~/.claude."
    )
    claude_credentials_dir: Path | None = setting(
        "CLAUDE_SECURESTORAGE_CONFIG_DIR",
        path,
        None,
        "Folder of .credentials.json, when it differs from Claude Code's folder.",
    )
    home: Path = setting(
        "CCPROXY_HOME",
        path,
        Path("~/.ccproxy"),
        "Folder for state: usage, summaries, the proxy secret.",
    )
    secret: str | None = setting(
        "PROXY_SECRET_KEY",
        text,
        None,
        "What a request through a tunnel must carry as its API key.",
        secret=True,
    )
    allowed_ips: tuple[Network, ...] | None = setting(
        "ALLOWED_IPS",
        networks,
        tuple(ipaddress.ip_network(address) for address in CURSOR_BACKEND),
        "Addresses and ranges that may come through a tunnel; default Cursor's servers; * switches the list off.",
    )
    allowed_origins: tuple[str, ...] = setting(
        "ALLOWED_ORIGINS",
        words,
        ("vscode-file://vscode-app",),
        "Web origins, besides this machine's own, that may call the proxy from a browser.",
    )
    require_secret_locally: bool = setting(
        "REQUIRE_SECRET_LOCALLY",
        boolean,
        False,
        "true: requests from this machine need the secret as well.",
    )
    notify_command: tuple[str, ...] | None = setting(
        "NOTIFY_COMMAND",
        command,
        None,
        "Program that is run, with the text on stdin, when 80 and 95 % of a limit or of the budget are used.",
        secret=True,
    )
    notify_webhook: str | None = setting(
        "NOTIFY_WEBHOOK",
        url,
        None,
        'URL that {"text": …} is posted to at the same moments.',
        secret=True,
    )
    openai_api_key: str | None = setting(
        "OPENAI_API_KEY", key, None, "Key for models that are not Claude's.", secret=True
    )
    openai_base_url: str = setting(
        "OPENAI_BASE_URL",
        url,
        "https://api.openai.com",
        "OpenAI-compatible API for those models, such as https://openrouter.ai/api.",
    )
    openrouter_referer: str = setting(
        "OPENROUTER_REFERER", text, "https://github.com/ccproxy", "HTTP-Referer sent to OpenRouter."
    )
    openrouter_title: str = setting(
        "OPENROUTER_TITLE", text, "CCProxy", "X-Title sent to OpenRouter."
    )
    model_aliases: tuple[tuple[str, str], ...] = setting(
        "MODEL_ALIASES",
        aliases,
        (),
        "Names of your own for models: fast=claude-haiku-5-5,big=claude-opus-5-5.",
    )
    default_model: str = setting(
        "DEFAULT_MODEL", text, "claude-sonnet-5-5", "The model that answers Cursor's Verify button."
    )
    strict: bool = setting(
        "STRICT",
        boolean,
        False,
        "true: refuse request fields that Claude has no match for, instead of ignoring.",
    )
    thinking_budget_high: int | Literal["max"] = setting(
        "THINKING_BUDGET_HIGH",
        tokens_or("max"),
        "max",
        "Thinking tokens for high; max: max_tokens - 1.",
    )
    thinking_budget_medium: int = setting(
        "THINKING_BUDGET_MEDIUM", tokens, 20_000, "Thinking tokens for medium."
    )
    thinking_budget_low: int = setting(
        "THINKING_BUDGET_LOW", tokens, 5_000, "Thinking tokens for low."
    )
    default_effort: str | None = setting(
        "DEFAULT_EFFORT",
        choice("none", "minimal", "low", "medium", "high", "xhigh", "max"),
        None,
        "How hard Claude thinks when neither the request nor the model's name says.",
    )
    fast_mode: bool = setting(
        "FAST_MODE", boolean, False, "true: allow Claude's faster, dearer mode when asked for."
    )
    context_strategy: Literal["summarize", "trim", "none"] = setting(
        "CONTEXT_STRATEGY",
        choice("summarize", "trim", "none"),
        "summarize",
        "What happens to a conversation over the limit.",
    )
    context_max_tokens: int | Literal["auto"] = setting(
        "CONTEXT_MAX_TOKENS", tokens_or("auto"), 200_000, "The limit; auto: the model's own window."
    )
    context_target_tokens: int | Literal["auto"] | None = setting(
        "CONTEXT_TARGET_TOKENS",
        tokens_or("auto"),
        None,
        "Size after summarizing; default 180000, or auto when the limit is auto: the depth that costs least.",
    )
    context_summarization_model: str = setting(
        "CONTEXT_SUMMARIZATION_MODEL",
        text,
        "claude-opus-4-5",
        "Model that writes summaries (paid, with the API key).",
    )
    context_ahead: bool = setting(
        "CONTEXT_AHEAD", boolean, True, "false: never prepare a summary before it is needed."
    )
    context_for_claude_code: bool = setting(
        "CONTEXT_FOR_CLAUDE_CODE",
        boolean,
        False,
        "true: the limit counts for Claude Code too, which keeps within the window by itself.",
    )
    prompt_cache: Literal["auto", "off"] = setting(
        "PROMPT_CACHE",
        choice("auto", "off"),
        "auto",
        "off: never mark a prompt for Anthropic's cache.",
    )
    cache_ttl: Literal["auto", "5m", "1h"] = setting(
        "CACHE_TTL",
        choice("auto", "5m", "1h"),
        "auto",
        "How long marked prompts are kept; auto: as the pauses in conversations make it cheapest.",
    )
    first_byte_seconds: float = setting(
        "FIRST_BYTE_SECONDS",
        seconds,
        10.0,
        "Longest wait before a streaming client gets its first byte.",
    )
    keepalive_seconds: float = setting(
        "KEEPALIVE_SECONDS",
        seconds,
        15.0,
        "Longest silence on a stream; tunnels cut silent ones after about 60 s.",
    )
    connect_seconds: float = setting(
        "CONNECT_SECONDS",
        seconds,
        10.0,
        "Longest wait for a connection to Anthropic, TLS included.",
    )
    upstream_idle_seconds: float = setting(
        "UPSTREAM_IDLE_SECONDS",
        seconds,
        600.0,
        "Longest silence of Anthropic before a request is given up.",
    )
    verbose_logging: bool = setting(
        "VERBOSE_LOGGING",
        boolean,
        False,
        "true: write every request, redacted, to api.log in CCPROXY_HOME.",
    )
    explain: bool = setting(
        "EXPLAIN",
        boolean,
        True,
        "false: don't keep the last requests (12 MB, in memory) for /explain, the dashboard and mitmweb.",
    )
    otel_endpoint: str | None = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        url,
        None,
        "An OTLP receiver for spans of each request, such as http://localhost:4318.",
    )
    otel_content: bool = setting(
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        boolean,
        False,
        "true: spans hold prompts and responses as well, keys hidden.",
    )
    quiet: bool = setting(
        "QUIET", boolean, False, "true: say in the terminal only what needs attention."
    )
    no_color: bool = setting(
        "NO_COLOR", any_value, False, "Any value: no colours in the terminal (no-color.org)."
    )
    tunnel_url: str | None = setting(
        "TUNNEL_URL",
        url,
        None,
        "Address of a tunnel that you run yourself (ngrok); the command `tunnel` then starts none.",
    )
    double_click_tunnel: bool | None = setting(
        "DOUBLE_CLICK_TUNNEL",
        boolean,
        None,
        "Whether start.bat, opened by a double click, opens a tunnel too; it asks once and keeps the answer in .env.",
    )
    tunnel_provider: Literal["cloudflare", "other"] = setting(
        "TUNNEL_PROVIDER",
        choice("cloudflare", "other"),
        "other",
        "cloudflare: the tunnel is Cloudflare's, so its CF-Connecting-IP is believed; the command `tunnel` sets it.",
    )
    defaulted: frozenset[str] = frozenset()
    """Names of the variables that the user did not set."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read all variables. An empty value counts as not set, except for CLAUDE_CODE_EXTRA_INSTRUCTION.

        Raises SettingsError with a line for each invalid variable; values of secrets are not shown."""
        values: dict[str, Any] = {}
        unset: list[str] = []
        problems: list[str] = []
        for item in described():
            name = item.metadata["env"]
            given = env.get(name, "")
            if name not in env or (not given.strip() and item.name != "extra_instruction"):
                unset.append(name)
                continue
            try:
                values[item.name] = item.metadata["parse"](given)
            except ValueError as error:
                shown = "its value" if item.metadata["secret"] else repr(given)
                problems.append(f"{name}: {shown} is not allowed: {error}")
        if not problems:
            settings = cls(**_with_derived(values), defaulted=frozenset(unset))
            problems = list(settings.contradictions())
        if problems:
            raise SettingsError("\n".join(problems))
        return settings

    def contradictions(self) -> list[str]:
        found: list[str] = []
        limit, target = self.context_max_tokens, self.context_target_tokens
        if isinstance(limit, int) and isinstance(target, int) and target >= limit:
            found.append(
                f"CONTEXT_TARGET_TOKENS: {target} must be below CONTEXT_MAX_TOKENS ({limit})"
            )
        if self.openai_api_key is None and any(
            s.startswith("openai:") for s in self.fallback_chain
        ):
            found.append("FALLBACK_CHAIN: openai:NAME needs OPENAI_API_KEY")
        return found

    @property
    def key_allowed(self) -> bool:
        """Whether an API key may be used. FALLBACK is about a failed subscription, so it has no effect if the key is
        the first choice."""
        return self.fallback == "auto" or not self.claude_code_first

    @property
    def can_pay(self) -> bool:
        """Whether there is an API key of our own that may be used."""
        return self.api_key is not None and self.key_allowed

    @property
    def upstream_proxy_url(self) -> str | None:
        """With its credentials; None: the environment decides."""
        return self.upstream_proxy.url if self.upstream_proxy else None

    @property
    def allowed_ips_given(self) -> bool:
        """Whether the user has set ALLOWED_IPS: then the list applies even if there is a secret."""
        return "ALLOWED_IPS" not in self.defaulted


def described() -> list[Field[Any]]:
    """The fields of Settings that come from a variable, in order."""
    return [item for item in fields(Settings) if "env" in item.metadata]


def _with_derived(values: dict[str, Any]) -> dict[str, Any]:
    limit = values.get("context_max_tokens", 200_000)
    default_target = "auto" if limit == "auto" else min(180_000, int(limit * 0.9))
    derived = {"context_target_tokens": default_target, "home": Path("~/.ccproxy").expanduser()}
    return derived | values
