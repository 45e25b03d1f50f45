"""Earlier assistant messages as Anthropic blocks: thinking, text, then tool calls."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.from_anthropic.responses_items import THINKING_PREFIX
from addon.translation.to_anthropic.content import (
    TEXT_PARTS,
    Blocks,
    Context,
    Converter,
    Turn,
    content_blocks,
    text_block,
)
from addon.translation.to_anthropic.fields import Fields, expect_object, located
from addon.translation.to_anthropic.sanitize import sanitized
from addon.translation.to_anthropic.tool_arguments import RAW, parse_arguments

LEGACY_CALL_ID = "call_fn"
"""The id of a call made with the deprecated `function_call`, which has none. Pairing makes later ones different."""

SERVER_TOOL_RESULTS = (
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
)


def assistant_turn(message: JsonObject, context: Context) -> Turn:
    """`message`: sanitized, `role: assistant`. Raises BadRequest with a `param` below the message."""
    blocks = content_blocks(message.get("content"), ASSISTANT_PARTS, context)
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal.strip() and text_block(refusal) not in blocks:
        blocks.append(text_block(refusal))
    present = {block["id"] for block in blocks if block["type"] == "tool_use"}
    # Cursor mixes dialects: the same call as a content block and in `tool_calls` is one call.
    blocks += [
        call for call in _calls(message, context) if not call["id"] or call["id"] not in present
    ]
    if not any(block["type"] in THINKING for block in blocks):
        blocks = [*_thinking_of(message), *blocks]
    return Turn("assistant", blocks, raw_notes(blocks))


def call_block(
    call_id: Any, name: Any, arguments: Any, context: Context, namespace: Any = None
) -> JsonObject:
    """A tool_use. A missing id stays "" until calls and results are paired."""
    if not isinstance(name, str) or not name:
        raise BadRequest("expected the name of the tool", param="name")
    upstream = context.tools.upstream_name(name, namespace if isinstance(namespace, str) else None)
    return {
        "type": "tool_use",
        "id": call_id if isinstance(call_id, str) else "",
        "name": upstream,
        "input": parse_arguments(arguments, context.tools.replies.get(upstream)),
    }


def raw_notes(blocks: Blocks) -> tuple[str, ...]:
    return tuple(
        f"arguments of {block['name']} are not a JSON object; passed on as {RAW}"
        for block in blocks
        if block["type"] == "tool_use" and block["input"].keys() == {RAW}
    )


def unsealed(encrypted_content: Any) -> Blocks:
    """The thinking blocks that this proxy gave out in a reasoning item; [] for anyone else's reasoning."""
    if not isinstance(encrypted_content, str) or not encrypted_content.startswith(THINKING_PREFIX):
        return []
    try:
        blocks = sanitized(
            json.loads(b64decode(encrypted_content[len(THINKING_PREFIX) :], validate=True))
        )
    except (ValueError, RecursionError, BadRequest):
        return []
    return blocks if isinstance(blocks, list) and all(map(_is_complete_thinking, blocks)) else []


def _calls(message: JsonObject, context: Context) -> Iterator[JsonObject]:
    calls = Fields(message).items("tool_calls") or []
    for index, call in enumerate(calls):
        with located(f"tool_calls[{index}]"):
            yield _call(expect_object(call), context)
    legacy = Fields(message).mapping("function_call")
    if legacy is not None and not calls:
        with located("function_call"):
            yield call_block(LEGACY_CALL_ID, legacy.get("name"), legacy.get("arguments"), context)


def _call(call: JsonObject, context: Context) -> JsonObject:
    fields = Fields(call)
    if "custom" in fields:
        with located("custom"):
            custom = expect_object(call["custom"])
            return _custom_call(call.get("id"), custom, context)
    function = fields.mapping("function") or {}
    with located("function"):
        return call_block(call.get("id"), function.get("name"), function.get("arguments"), context)


def _custom_call(call_id: Any, custom: JsonObject, context: Context) -> JsonObject:
    return custom_call_block(call_id, custom.get("name"), custom.get("input"), context)


def custom_call_block(
    call_id: Any, name: Any, text: Any, context: Context, namespace: Any = None
) -> JsonObject:
    """A call with raw text, wrapped as the definition of a custom tool demands even if it is no longer declared."""
    block = call_block(call_id, name, None, context, namespace)
    block["input"] = {"input": text if isinstance(text, str) else ""}
    return block


def _inline_call(part: JsonObject, context: Context) -> JsonObject:
    return call_block(part.get("id"), part.get("name"), part.get("input"), context)


def _refusal_part(part: JsonObject, context: Context) -> JsonObject | None:
    refusal = part.get("refusal")
    return text_block(refusal) if isinstance(refusal, str) and refusal.strip() else None


def _as_it_is(part: JsonObject, context: Context) -> JsonObject:
    return {name: value for name, value in part.items() if name != "cache_control"}


def _complete_thinking(part: JsonObject, context: Context) -> JsonObject | None:
    return part if _is_complete_thinking(part) else None


def _thinking_of(message: JsonObject) -> Blocks:
    """Thinking that a client echoes: LiteLLM's `thinking_blocks` or OpenRouter's `reasoning_details`. All or nothing:
    Anthropic refuses a turn whose thinking is there in part."""
    for name, read in (
        ("thinking_blocks", _litellm_block),
        ("reasoning_details", _openrouter_block),
    ):
        given = message.get(name)
        if isinstance(given, list) and given:
            blocks = [read(block) for block in given if isinstance(block, dict)]
            return blocks if all(map(_is_complete_thinking, blocks)) else []
    return []


def _litellm_block(block: JsonObject) -> JsonObject:
    names = ("type", "thinking", "signature", "data")
    return {name: block[name] for name in names if block.get(name) is not None}


def _openrouter_block(detail: JsonObject) -> JsonObject:
    if not str(detail.get("format", "")).startswith("anthropic"):
        return {}  # another vendor's reasoning: never valid here
    if detail.get("type") == "reasoning.encrypted":
        return {"type": "redacted_thinking", "data": detail.get("data")}
    return {
        "type": "thinking",
        "thinking": detail.get("text") or "",
        "signature": detail.get("signature"),
    }


def _is_complete_thinking(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    needed = THINKING.get(str(block.get("type")))
    return needed is not None and all(isinstance(block.get(name), str) for name in needed)


THINKING = {"thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}
"""Thinking block types, and the fields without which Anthropic refuses them."""

ASSISTANT_PARTS: dict[str, Converter] = {
    **TEXT_PARTS,
    "refusal": _refusal_part,
    "tool_use": _inline_call,
    **dict.fromkeys(THINKING, _complete_thinking),
    **dict.fromkeys(("server_tool_use", *SERVER_TOOL_RESULTS), _as_it_is),
}
