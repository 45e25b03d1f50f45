"""Who asks: what User-Agents, bodies, keys and addresses tell."""

from __future__ import annotations

import pytest
from mitmproxy.test import tflow

from addon.exchange.state import Exchanges
from addon.exchange.who import Who, client_in, name_in_key, without_name


@pytest.mark.parametrize(
    ("user_agent", "client"),
    [
        ("claude-cli/2.1.0 (external, cli)", "claude-code"),
        ("codex_exec/0.169.0 (Debian 12; x86_64) unknown", "codex"),
        ("OpenAI/Python 3.57.0", "openai-python"),
        ("AsyncOpenAI/Python 3.57.0", "openai-python"),
        ("Anthropic/JS 0.80.0", "anthropic-js"),
        ("ai-sdk/openai/3.0.0 ai-sdk/provider-utils/4.0.0 runtime/node.js/20", "ai-sdk"),
        ("opencode/1.2 ai-sdk/provider-utils/4.0.0", "opencode"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "browser"),
        ("curl/8.5.0", "curl"),
        ("my-tool", "my-tool"),
        ("", ""),
        ("<script>alert(1)</script>", ""),
        ("x" * 5000, "x" * 32),
    ],
)
def test_programs_are_called_by_one_name(user_agent: str, client: str) -> None:
    assert client_in(user_agent) == client


def test_cursor_is_known_by_what_its_servers_send() -> None:
    who = Who.of({"user-agent": "Go-http-client/2.0"}, "")
    assert who.client == "go-http-client"
    told = who.told_by({"metadata": {"cursorConversationId": "c0ffee-1"}})
    assert (told.client, told.session) == ("cursor", "c0ffee-1")
    assert who.told_by({"metadata": {"cursorConversationId": ["x"]}}) == who
    assert who.told_by({"metadata": "x", "prompt_cache_key": "mine"}).session == "mine"


def test_claude_code_says_its_session_and_agents() -> None:
    headers = {
        "x-claude-code-session-id": "s1",
        "x-claude-code-agent-id": "a2",
        "x-claude-code-parent-agent-id": "no id\n",
    }
    who = Who.of(headers, "work").told_by({"prompt_cache_key": "other"})
    assert (who.session, who.agent, who.parent_agent, who.name) == ("s1", "a2", "", "work")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/@work/v1/messages?beta=true", ("/v1/messages?beta=true", "work")),
        ("/@work", ("/@work", "")),
        ("/@/v1", ("/@/v1", "")),
        ("/@a b/v1", ("/@a b/v1", "")),
        ("/v1/@work/messages", ("/v1/@work/messages", "")),
        (f"/@{'x' * 33}/v1", (f"/@{'x' * 33}/v1", "")),
    ],
)
def test_the_name_in_an_address(path: str, expected: tuple[str, str]) -> None:
    assert without_name(path) == expected


def test_the_name_in_a_key() -> None:
    assert name_in_key("sk-ccproxy-abc@work") == ("sk-ccproxy-abc", "work")
    assert name_in_key("@work") == ("", "work")
    assert name_in_key("p@ss@work") == ("p@ss", "work")
    assert name_in_key("sk-ant-api03-x") == ("sk-ant-api03-x", "")


def test_the_name_is_off_the_address_before_anything_sees_it() -> None:
    flow, exchanges = tflow.tflow(), Exchanges()
    flow.request.path = "/@work/v1/messages?api_key=x"
    exchange = exchanges.begin(flow)
    assert flow.request.path.startswith("/v1/messages")
    assert exchange.who.name == "work"
