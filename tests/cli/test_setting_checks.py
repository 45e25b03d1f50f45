"""What is said at start of settings that are allowed and can't work."""

from __future__ import annotations

import sys

import pytest

from addon.claude.catalogue import Catalogue
from addon.cli.setting_checks import doubts
from addon.core.setting_names import refuse_unknown_options
from addon.core.settings import Settings, SettingsError, described
from tests.documents import text

CATALOGUE = Catalogue.load(text("addon/claude/models.toml"))


def said(today: str = "2026-11-01", **env: str) -> str:
    return "\n".join(doubts(Settings.from_env(env), CATALOGUE, env, today))


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"CONTEX_STRATEGY": "trim"}, "CONTEX_STRATEGY in .env is not a setting. Did you mean CONTEXT_STRATEGY?"),
        ({"ANTHROPIC_API_KEY": "sk-proj-foo"}, "no key of Anthropic's: those begin with sk-ant-api"),
        ({"ANTHROPIC_API_KEY": "sk-ant-oat01-x"}, "Did you mean CLAUDE_CODE_OAUTH_TOKEN?"),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-api03-x"}, "Did you mean ANTHROPIC_API_KEY?"),
        ({"OPENAI_API_KEY": "sk-ant-api03-x"}, "OPENAI_API_KEY holds a key of Anthropic's"),
        ({"MODEL_ALIASES": "fast=nonsense"}, "fast=nonsense: that is no Claude model, and others need OPENAI_API_KEY"),
        ({"MODEL_ALIASES": "big=claude-opus-5-6-high"}, "no such model is known. Did you mean claude-opus-5-5?"),
        ({"MODEL_ALIASES": "old=claude-3-5-sonnet-20241022"}, "has retired that model; claude-sonnet-5-5 is asked"),
        ({"DEFAULT_MODEL": "claude-opus-4-high"}, "DEFAULT_MODEL=claude-opus-4-high: Anthropic has retired"),
        ({"DEFAULT_MODEL": "gpt-5"}, "DEFAULT_MODEL=gpt-5: that is no Claude model"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)  # fmt: skip
def test_a_doubtful_setting_is_said(env: dict[str, str], expected: str) -> None:
    assert expected in said(**env)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"DATABASE_URL": "x", "EDITOR": "vi"},
        {"ANTHROPIC_API_KEY": "sk-ant-api03-x", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-x"},
        {"ANTHROPIC_API_KEY": "of-a-gateway", "ANTHROPIC_UPSTREAM_URL": "https://gateway.example"},
        {"MODEL_ALIASES": "other=gpt-5", "OPENAI_API_KEY": "sk-proj-x"},
        {
            "MODEL_ALIASES": "pinned=claude-opus-4-5-20251101,big=anthropic/claude-opus-5-5-high-thinking"
        },
    ],
    ids=lambda env: "-".join(env) or "nothing",
)
def test_what_can_work_is_not_doubted(env: dict[str, str]) -> None:
    assert said(**env) == ""


def test_a_model_is_doubted_from_the_day_on_which_it_retires() -> None:
    aliases = "a=claude-opus-4-5,b=claude-opus-4-5-20251101"
    assert said("2027-01-21", MODEL_ALIASES=aliases) == ""
    assert said("2027-01-22", MODEL_ALIASES=aliases).count("has retired that model") == 2


def test_a_program_that_is_not_there_is_told() -> None:
    assert "NOTIFY_COMMAND" in said(NOTIFY_COMMAND="/no/such/program x")
    assert said(NOTIFY_COMMAND=f"{sys.executable} -c 1") == ""


def test_no_secret_is_shown() -> None:
    secrets = {i.metadata["env"]: "sk-ant-canary" for i in described() if i.metadata["secret"]}
    secrets["NOTIFY_WEBHOOK"] = "https://hooks.example/canary"
    assert "canary" not in said(**secrets)


def test_an_option_of_ours_that_does_not_exist_is_refused() -> None:
    refuse_unknown_options(["ccproxy_context_strategy", "flow_detail"])
    with pytest.raises(SettingsError, match="Did you mean ccproxy_context_strategy"):
        refuse_unknown_options(["ccproxy_context_stratgy"])
