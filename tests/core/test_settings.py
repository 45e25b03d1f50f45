"""Every variable: its default, what is allowed, and what is said of a bad value."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from addon.core.settings import Settings, SettingsError, described

GOOD = {
    "PORT": ("1234", 1234),
    "FALLBACK": (" OFF ", "off"),
    "FALLBACK_CHAIN": ("claude-haiku-5-5, api_key,wait", ("claude-haiku-5-5", "api_key", "wait")),
    "HOLD_SECONDS": ("600", 600.0),
    "NOTIFY_COMMAND": (
        "notify-send 'A limit' --urgency=low",
        ("notify-send", "A limit", "--urgency=low"),
    ),
    "CLAUDE_CODE_FIRST": ("0", False),
    "ANTHROPIC_UPSTREAM_URL": ("http://localhost:1/", "http://localhost:1"),
    "KEEPALIVE_SECONDS": ("0.5", 0.5),
    "CONTEXT_MAX_TOKENS": ("auto", "auto"),
    "THINKING_BUDGET_HIGH": ("MAX", "max"),
    "THINKING_BUDGET_LOW": ("100", 100),
    "MODEL_ALIASES": ("Fast = claude-haiku-4-5 ,b=c", (("fast", "claude-haiku-4-5"), ("b", "c"))),
    "ALLOWED_IPS": ("*", None),
    "ALLOWED_ORIGINS": ("a, b,", ("a", "b")),
    "DEFAULT_EFFORT": ("High", "high"),
    "CLAUDE_CODE_EXTRA_INSTRUCTION": ("", ""),
    "ANTHROPIC_API_KEY": ("sk-ant-api03-x\r\n", "sk-ant-api03-x"),
    "CCPROXY_HOME": ("/tmp/x", Path("/tmp/x")),
}
BAD = {
    "PORT": ["0", "65536", "-1", "8082.5", "http", "1e3"],
    "FALLBACK": ["maybe", "true"],
    "FALLBACK_CHAIN": ["api_kye", "gpt-5", "openai:", "wait,wait", ","],
    "HOLD_SECONDS": ["0", "-1", "later"],
    "CLAUDE_CODE_FIRST": ["maybe", "2"],
    "ANTHROPIC_UPSTREAM_URL": ["api.anthropic.com", "ftp://x", "https://", "localhost:8082"],
    "KEEPALIVE_SECONDS": ["0", "-1", "soon", "nan", "inf", "1e9"],
    "CONTEXT_MAX_TOKENS": ["0", "-5", "200k", "1.5"],
    "THINKING_BUDGET_LOW": ["max", "0"],
    "MODEL_ALIASES": ["fast", "=x", "x="],
    "ALLOWED_IPS": ["52.44", "10.0.0.1/8", "a.example"],
    "DEFAULT_EFFORT": ["very"],
    "CONTEXT_STRATEGY": ["shorten"],
}
FIELDS = {item.metadata["env"]: item.name for item in described()}


def test_with_nothing_set_there_are_defaults() -> None:
    settings = Settings.from_env({})
    assert (settings.port, settings.fallback, settings.claude_code_first) == (8082, "auto", True)
    assert (settings.context_max_tokens, settings.context_target_tokens) == (200_000, 180_000)
    assert settings.secret is None and settings.api_key is None
    assert not settings.allowed_ips_given


@pytest.mark.parametrize("name", GOOD)
def test_good_values(name: str) -> None:
    given, wanted = GOOD[name]
    assert getattr(Settings.from_env({name: given}), FIELDS[name]) == wanted


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_bad_values_are_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"{name}: {value!r} is not allowed: ")):
        Settings.from_env({name: value})


@pytest.mark.parametrize("name", ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "OPENAI_API_KEY"])
@pytest.mark.parametrize(
    "value", ["sk-ant\nhost: x", "sk-ant\r-x", "sk ant", "sk\tant", "sk-ant-é"]
)
def test_a_key_that_no_header_can_carry_is_named_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value})
    told = f"{name}: its value is not allowed: use a key without spaces and line breaks"
    assert str(caught.value) == told


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: values[0] for name, values in BAD.items()})
    assert len(str(caught.value).splitlines()) == len(BAD)


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_value_counts_as_not_set(value: str) -> None:
    assert Settings.from_env(
        {name: value for name in FIELDS if name != "CLAUDE_CODE_EXTRA_INSTRUCTION"}
    ) == Settings.from_env({})


@pytest.mark.parametrize(
    ("name", "value"),
    [("NOTIFY_COMMAND", "it's"), ("NOTIFY_COMMAND", '"'), ("NOTIFY_WEBHOOK", "hooks.example/x")],
)
def test_a_bad_value_that_may_be_secret_is_not_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: its value is not allowed"):
        Settings.from_env({name: value})


def test_secrets_are_in_no_repr() -> None:
    secret = [item for item in described() if item.metadata["secret"]]
    settings = Settings.from_env({item.metadata["env"]: "http://hush-hush" for item in secret})
    assert len(secret) >= 4
    assert "hush" not in repr(settings)
    names = [name for name in FIELDS if re.search("(KEY|TOKEN|UPSTREAM_PROXY|NOTIFY_.*)$", name)]
    assert {item.metadata["env"] for item in secret} == set(names)


def test_the_target_lies_below_the_limit() -> None:
    with pytest.raises(SettingsError, match="CONTEXT_TARGET_TOKENS"):
        Settings.from_env({"CONTEXT_MAX_TOKENS": "1000", "CONTEXT_TARGET_TOKENS": "1000"})
    assert Settings.from_env({"CONTEXT_MAX_TOKENS": "1000"}).context_target_tokens == 900
    assert Settings.from_env({"CONTEXT_MAX_TOKENS": "auto"}).context_target_tokens == "auto"


def test_every_variable_has_help_and_a_name_of_its_own() -> None:
    assert all(item.metadata["help"].endswith((".", ")")) for item in described())
    assert len(FIELDS) == len(described())


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.from_env({}).port = 1  # type: ignore[misc]
