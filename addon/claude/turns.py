"""Assistant turns and their thinking, in a Messages request."""

from __future__ import annotations

from typing import Any, NamedTuple

from addon.claude.blocks import THINKING, blocks_of, is_thinking
from addon.claude.digest import text_digest
from addon.core.types import JsonObject


class Visible(NamedTuple):
    """What a client that drops thinking sees of an assistant turn."""

    tool_ids: tuple[str, ...]
    digest: bytes


def visible(content: Any) -> Visible:
    """The part of an assistant turn that every client sends back: its text, joined, and its tool calls."""
    text: list[str] = []
    calls: list[Any] = []
    for block in blocks_of(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            text.append(block.get("text") or "")
        elif kind == "tool_use":
            calls.append([block.get("id"), block.get("name"), block.get("input")])
    joined = "".join(text)
    # Anthropic refuses blank text blocks, so translations drop them: blank and no text are the same.
    shown = joined if joined.strip() else ""
    return Visible(tuple([str(call[0]) for call in calls]), text_digest(shown, calls))


def sendable(content: list[JsonObject]) -> list[JsonObject]:
    """An answer's content as it may be sent back: Anthropic writes blank text blocks but refuses to read them."""
    return [b for b in content if b.get("type") != "text" or (b.get("text") or "").strip()]


def has_thinking(message: JsonObject) -> bool:
    """Whether a message carries thinking blocks."""
    content = message.get("content")
    if isinstance(content, list):
        for block in content:
            if isinstance(block, dict) and block.get("type") in THINKING:
                return True
    return False


def is_prompt(message: JsonObject) -> bool:
    """Whether the user says something: a user message that holds anything else than tool results."""
    content = message.get("content")
    if message.get("role") != "user":
        return False
    return not isinstance(content, list) or any(
        not isinstance(block, dict) or block.get("type") != "tool_result" for block in content
    )


def loop_start(messages: list[JsonObject]) -> int:
    """Index of the last prompt: what follows is the current tool loop. -1: there is none.

    Text beside a tool result begins a new loop: "When a non-tool-result user block is included, it designates a new
    assistant loop and all previous thinking blocks are removed from context" (docs, prompt caching, "Caching with
    thinking blocks"; seen in anthropics/claude-code#9486)."""
    last = len(messages) - 1
    return next((index for index in range(last, -1, -1) if is_prompt(messages[index])), -1)


def in_tool_loop(messages: list[JsonObject]) -> bool:
    """Whether the request goes on with a tool loop rather than starts a turn."""
    return any(message.get("role") == "user" for message in messages[loop_start(messages) + 1 :])


def goes_on_without_thinking(messages: list[JsonObject]) -> bool:
    """Whether Claude is to go on with an answer of its own that does not begin with thinking (prefill). With a budget
    Anthropic answers 400 to it: "When `thinking` is enabled, a final `assistant` message must start with a thinking
    block"."""
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return False
    blocks = blocks_of(last.get("content"))
    return not (blocks and is_thinking(blocks[0]))


def strip_thinking(request: JsonObject) -> JsonObject:
    """`request` for the one retry after Anthropic refused its thinking: no block of it left in the history, and
    thinking with a budget off (inside a tool loop it demands the very blocks that were refused)."""
    messages = []
    for message in request.get("messages") or []:
        if not has_thinking(message):
            messages.append(message)
            continue
        rest = [block for block in message["content"] if not is_thinking(block)]
        if rest:
            messages.append({**message, "content": rest})
    stripped = {**request, "messages": messages}
    if (request.get("thinking") or {}).get("type") == "enabled":
        del stripped["thinking"]
    return stripped
