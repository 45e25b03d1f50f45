"""Who asks: which program, which of its sessions and subagents, and the name that the user gave it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from addon.claude.subscription_request import SESSION_HEADER
from addon.core.frozen import frozen

CLIENTS = (
    ("claude-cli", "claude-code"),
    ("claude-code", "claude-code"),
    ("claude-agent-sdk", "claude-agent-sdk"),
    ("codex", "codex"),
    ("cursor", "cursor"),
    ("opencode", "opencode"),
    ("copilot", "copilot"),
    ("roo", "roo-code"),
    ("kilo", "kilo-code"),
    ("cline", "cline"),
    ("continue", "continue"),
    ("aider", "aider"),
    ("zed", "zed"),
    ("qwen", "qwen-code"),
    ("kimi", "kimi-code"),
    ("openhands", "openhands"),
    ("open-webui", "open-webui"),
    ("open webui", "open-webui"),
    ("langchain", "langchain"),
    ("pydantic-ai", "pydantic-ai"),
    ("litellm", "litellm"),
    ("agents/python", "openai-agents"),
    ("ai-sdk", "ai-sdk"),
    ("openai/python", "openai-python"),
    ("openai/js", "openai-js"),
    ("anthropic/python", "anthropic-python"),
    ("anthropic/js", "anthropic-js"),
    ("mozilla", "browser"),
)
"""What the User-Agent contains in lower case, and how we call that program; the first match counts. A program that
sends its SDK's own name is called by that."""
LONGEST = 32
_PRODUCT = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_ID = re.compile(r"[\w.:-]{1,128}")
_PATH = re.compile(r"/@([\w.-]{1,32})(?=/)")
_KEY = re.compile(r"(.*)@([\w.-]{1,32})", re.DOTALL)


@frozen(kw_only=True)
class Who:
    """ "" where it is not known."""

    client: str = ""
    session: str = ""
    """Claude Code's session, Cursor's conversation, or the key that a client gave its conversation."""
    agent: str = ""
    """The subagent of Claude Code's; new for each one that is started."""
    parent_agent: str = ""
    name: str = ""
    """The user's: `/@work/v1/…` in the address, or `…@work` at the end of the key."""

    @classmethod
    def of(cls, headers: Mapping[str, str], name: str) -> Self:
        """`headers`: by lower-case name."""
        names = (SESSION_HEADER, "x-claude-code-agent-id", "x-claude-code-parent-agent-id")
        session, agent, parent = (_id(headers.get(header)) for header in names)
        client = client_in(headers.get("user-agent", ""))
        return cls(client=client, session=session, agent=agent, parent_agent=parent, name=name)

    def told_by(self, body: Mapping[str, Any]) -> Self:
        """With what the body says. Cursor's requests come from its servers, whose User-Agent is a library's; they name
        the conversation in their metadata (github.com/archestra-ai/archestra#7375, from captured traffic)."""
        metadata = body.get("metadata")
        cursors = _id(metadata.get("cursorConversationId")) if isinstance(metadata, dict) else ""
        session = self.session or cursors or _id(body.get("prompt_cache_key"))
        if not cursors and session == self.session:
            return self
        return replace(self, client="cursor" if cursors else self.client, session=session)


def client_in(user_agent: str) -> str:
    text = user_agent.lower()
    for words, client in CLIENTS:
        if words in text:
            return client
    found = _PRODUCT.match(text)
    return found[0] if found else ""


def without_name(path: str) -> tuple[str, str]:
    """A path without the user's name in it, and that name."""
    found = _PATH.match(path)
    return (path[found.end() :], found[1]) if found else (path, "")


def name_in_key(key: str) -> tuple[str, str]:
    """A key without the user's name at its end, and that name. No vendor's key has an @."""
    found = _KEY.fullmatch(key)
    return (found[1], found[2]) if found else (key, "")


def _id(value: object) -> str:
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""
