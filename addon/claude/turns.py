"""Reads the turns of a Messages request: their visible parts, tool loops and thinking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from addon.claude.blocks import (
    THINKING,
    blocks_of,
    is_server_call,
    is_server_result,
    is_thinking,
)
from addon.claude.digest import text_digest
from addon.core.types import JsonObject


class Visible(NamedTuple):
    """The part of an assistant turn that a client keeps if it drops thinking."""

    tool_ids: tuple[str, ...]
    digest: bytes
    """Of its text and its calls, without their ids: some clients write their own."""


def visible(content: Any) -> Visible:
    """The part of an assistant turn that every client sends back: its joined text and its tool calls."""
    text: list[str] = []
    ids: list[str] = []
    calls: list[Any] = []
    for block in blocks_of(content):
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            text.append(block.get("text") or "")
        elif kind == "tool_use":
            ids.append(str(block.get("id")))
            calls.append([block.get("name"), block.get("input")])
    joined = "".join(text)
    # Anthropic rejects blank text blocks, so the translation drops them: blank text counts as no text.
    shown = joined if joined.strip() else ""
    return Visible(tuple(ids), text_digest(shown, calls))


def with_call_ids(message: JsonObject, ids: Mapping[str, str]) -> JsonObject:
    """`message` with the ids of its calls and results replaced. The same message if none is."""
    content = message.get("content")
    if not ids or not isinstance(content, list):
        return message
    renamed = [_with_call_id(block, ids) for block in content]
    changed = any(new is not old for new, old in zip(renamed, content, strict=True))
    return {**message, "content": renamed} if changed else message


def _with_call_id(block: Any, ids: Mapping[str, str]) -> Any:
    for kind, field in (("tool_use", "id"), ("tool_result", "tool_use_id")):
        if isinstance(block, dict) and block.get("type") == kind and block.get(field) in ids:
            return {**block, field: ids[block[field]]}
    return block


def sendable(content: list[JsonObject]) -> list[JsonObject]:
    """The content of a response as it may be sent back: Anthropic writes blank text blocks, but rejects them."""
    return [b for b in content if b.get("type") != "text" or (b.get("text") or "").strip()]


def has_thinking(message: JsonObject) -> bool:
    """Whether a message contains thinking blocks."""
    content = message.get("content")
    if isinstance(content, list):
        for block in content:
            if isinstance(block, dict) and block.get("type") in THINKING:
                return True
    return False


def is_prompt(message: JsonObject) -> bool:
    """Whether it is a user message with anything but tool results."""
    content = message.get("content")
    if message.get("role") != "user":
        return False
    return not isinstance(content, list) or any(
        not isinstance(block, dict) or block.get("type") != "tool_result" for block in content
    )


def loop_start(messages: list[JsonObject]) -> int:
    """Index of the last prompt, after which the current tool loop begins; -1 if there is none.

    Text beside a tool result begins a new loop: "When a non-tool-result user block is included, it designates a new
    assistant loop and all previous thinking blocks are removed from context" (docs, prompt caching, "Caching with
    thinking blocks"; seen in anthropics/claude-code#9486)."""
    last = len(messages) - 1
    return next((index for index in range(last, -1, -1) if is_prompt(messages[index])), -1)


def in_tool_loop(messages: list[JsonObject]) -> bool:
    """Whether the request continues a tool loop, rather than starting a turn."""
    return any(message.get("role") == "user" for message in messages[loop_start(messages) + 1 :])


def goes_on_without_thinking(messages: list[JsonObject]) -> bool:
    """Whether the last message is one of the assistant that does not begin with thinking (prefill). With a budget,
    Anthropic rejects it: "When `thinking` is enabled, a final `assistant` message must start with a thinking block"."""
    last = messages[-1] if messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return False
    blocks = blocks_of(last.get("content"))
    return not (blocks and is_thinking(blocks[0]))


def resumed(request: JsonObject, message: JsonObject) -> JsonObject:
    """`request` for the rest of a turn that Claude has paused: the response so far is sent back as it is, to go on in
    the same container (docs, "Handling stop reasons", `pause_turn`)."""
    said = {"role": "assistant", "content": sendable(message["content"])}
    resumed = {**request, "messages": [*request["messages"], said]}
    container = message.get("container")
    if isinstance(container, dict) and isinstance(container.get("id"), str):
        given = request.get("container")
        ident = container["id"]
        resumed["container"] = {**given, "id": ident} if isinstance(given, dict) else ident
    return resumed


def strip_thinking(request: JsonObject) -> JsonObject:
    """`request` for the retry after Anthropic has rejected its thinking: without thinking blocks in the history, and
    without a thinking budget, which would require the rejected blocks inside a tool loop."""
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


def with_server_pairs(messages: list[JsonObject]) -> list[JsonObject]:
    """`messages` without server tool calls that have no result before the next prompt, and without results that have no
    call before them: Anthropic rejects both (coder/coder#22976, anthropics/claude-code#64383). A call may still be open
    at the end, where the turn was paused, and while the user turns hold tool results alone. The same list if all are
    paired; unchanged messages are shared."""
    open_calls: dict[Any, tuple[int, int]] = {}
    unpaired: set[tuple[int, int]] = set()
    for index, message in enumerate(messages):
        if is_prompt(message):
            unpaired.update(open_calls.values())
            open_calls.clear()
        for place, block in enumerate(_server_blocks(message)):
            if is_server_call(block):
                ident = str(block.get("id"))
                if open_calls.setdefault(ident, (index, place)) != (index, place):
                    unpaired.add((index, place))
            elif is_server_result(block) and not open_calls.pop(
                str(block.get("tool_use_id")), None
            ):
                unpaired.add((index, place))
    return _without_places(messages, unpaired) if unpaired else messages


def without_server_tools(messages: list[JsonObject]) -> list[JsonObject]:
    """`messages` without all calls and results of server tools. The same list if there are none."""
    places = {
        (index, place)
        for index, message in enumerate(messages)
        for place, block in enumerate(_server_blocks(message))
        if is_server_call(block) or is_server_result(block)
    }
    return _without_places(messages, places) if places else messages


def _server_blocks(message: JsonObject) -> list[JsonObject]:
    content = message.get("content")
    if message.get("role") != "assistant" or not isinstance(content, list):
        return []
    return content


def _without_places(messages: list[JsonObject], places: set[tuple[int, int]]) -> list[JsonObject]:
    """`messages` without the blocks at `places` (of message and block), and without thinking that would then end its
    turn: Anthropic rejects that."""
    kept = list(messages)
    for index in sorted({index for index, _ in places}, reverse=True):
        content = [
            block
            for place, block in enumerate(messages[index]["content"])
            if (index, place) not in places
        ]
        while content and is_thinking(content[-1]):
            content.pop()
        kept[index : index + 1] = [{**messages[index], "content": content}] if content else []
    return kept
