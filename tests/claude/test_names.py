import pytest

from addon.claude.names import ModelChoice, parse

NAMES = {
    # Cursor up to 4.6: version first
    "claude-4-sonnet": ("claude-sonnet-4", None, None, False),
    "claude-4.5-sonnet-thinking": ("claude-sonnet-4-5", None, True, False),
    "claude-4.5-opus-high-thinking": ("claude-opus-4-5", "high", True, False),
    "claude-4.5-opus-high": ("claude-opus-4-5", "high", None, False),
    "claude-4.5-haiku-low-thinking": ("claude-haiku-4-5", "low", True, False),
    "claude-4.5-sonnet-medium": ("claude-sonnet-4-5", "medium", None, False),
    "claude-4.6-opus-high-thinking": ("claude-opus-4-6", "high", True, False),
    "claude-4.6-opus-max-thinking": ("claude-opus-4-6", "max", True, False),
    # Cursor from 4.7 on: family first
    "claude-opus-4-7-thinking-high": ("claude-opus-4-7", "high", True, False),
    "claude-opus-4-7-thinking-high-fast": ("claude-opus-4-7", "high", True, True),
    "claude-opus-4-8-thinking-high-fast": ("claude-opus-4-8", "high", True, True),
    "claude-opus-5-thinking-high-fast": ("claude-opus-5", "high", True, True),
    "claude-fable-5-thinking-xhigh": ("claude-fable-5", "xhigh", True, False),
    "claude-opus-5-5-thinking-max": ("claude-opus-5-5", "max", True, False),
    "claude-sonnet-5-5-thinking-low": ("claude-sonnet-5-5", "low", True, False),
    "claude-haiku-5-5-fast": ("claude-haiku-5-5", None, None, True),
    # flags in any order; "none" is off
    "claude-opus-5-fast-high-thinking": ("claude-opus-5", "high", True, True),
    "claude-opus-5-none": ("claude-opus-5", "none", False, False),
    "claude-opus-5-minimal": ("claude-opus-5", "minimal", None, False),
    # a dot is a dash, case is nothing
    "claude-opus-4.8": ("claude-opus-4-8", None, None, False),
    "Claude-Opus-4-8": ("claude-opus-4-8", None, None, False),
    # dates stay
    "claude-opus-4-5-20251101": ("claude-opus-4-5-20251101", None, None, False),
    "claude-sonnet-4-20250514": ("claude-sonnet-4-20250514", None, None, False),
    "claude-4.5-opus-20251101-high": ("claude-opus-4-5-20251101", "high", None, False),
    "claude-3-5-sonnet-20241022": ("claude-3-5-sonnet-20241022", None, None, False),
    # decorations of routers and clients
    "anthropic/claude-opus-4.8": ("claude-opus-4-8", None, None, False),
    "openrouter/anthropic/claude-sonnet-5": ("claude-sonnet-5", None, None, False),
    "anthropic.claude-opus-5-5": ("claude-opus-5-5", None, None, False),
    "us.anthropic.claude-opus-4-5-20251101-v1:0": ("claude-opus-4-5-20251101", None, None, False),
    "us-gov.anthropic.claude-haiku-4-5-20251001-v1:0": (
        "claude-haiku-4-5-20251001",
        *(None, None, False),
    ),
    "global.anthropic.claude-opus-5-v1": ("claude-opus-5", None, None, False),
    "anthropic/claude-sonnet-4.5:beta": ("claude-sonnet-4-5", None, None, False),
    "anthropic/claude-opus-4.8:thinking:online": ("claude-opus-4-8", None, True, False),
    "claude-haiku-4-5@20251001": ("claude-haiku-4-5-20251001", None, None, False),
    "anthropic/claude-3.7-sonnet:thinking": ("claude-3-7-sonnet", None, True, False),
    "claude-opus-4-6[1m]": ("claude-opus-4-6", None, None, False),
    "claude-3-7-sonnet-latest": ("claude-3-7-sonnet", None, None, False),
    "claude-opus-5(high)": ("claude-opus-5", "high", None, False),
    "ak-claude-opus-5.5-high": ("claude-opus-5-5", "high", None, False),
    "claude-mythos-preview": ("claude-mythos-preview", None, None, False),
    # what nobody knows passes through
    "claude-opus-4-9": ("claude-opus-4-9", None, None, False),
    "claude-opus-7-high": ("claude-opus-7", "high", None, False),
    "claude-8.1-saga-max-thinking": ("claude-saga-8-1", "max", True, False),
    "claude-saga-1-preview": ("claude-saga-1-preview", None, None, False),
}


@pytest.mark.parametrize("name", NAMES)
def test_name_is_read(name: str) -> None:
    choice = parse(name)
    assert choice is not None
    assert (choice.id, choice.effort, choice.thinking, choice.fast) == NAMES[name]


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5.5",
        "o3",
        "ccproxy",
        "",
        "claude",
        "claude-",
        "my-claude-opus-5",
        "claude opus",
        "claude-é",
        "claudette",
    ],
)
def test_other_names_are_no_claude_names(name: str) -> None:
    assert parse(name) is None


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("claude-opus-4-8[1m]", True),
        ("ak-claude-opus-5-5-high[1M]", True),
        ("claude-opus-5", False),
    ],
)
def test_a_name_may_ask_for_the_whole_window(name: str, whole: bool) -> None:
    choice = parse(name)
    assert choice is not None and choice.whole_window is whole


def test_parsing_a_parsed_id_changes_nothing() -> None:
    for name in NAMES:
        choice = parse(name)
        assert choice is not None
        assert parse(choice.id) == ModelChoice(id=choice.id)
