"""Converts input items of the Responses API to turns, and selects the fields that a response object echoes."""

from __future__ import annotations

import json
from typing import Any

from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.sealed_thinking import decode_summary, unsealed
from addon.translation.to_anthropic.content import Turn, result_block, text_block
from addon.translation.to_anthropic.fields import Fields, expect_object, located, sanitized
from addon.translation.to_anthropic.hosted_tools import HOSTED_CALLS, HOSTED_OUTPUTS, hosted_turn
from addon.translation.to_anthropic.messages import (
    call_block,
    custom_call_block,
    first_new,
    message_turn,
    raw_notes,
)
from addon.translation.to_anthropic.tools import Toolbox, declare_tools

_STORED_STATE = ("conversation", "prompt")
"""Fields that refer to something stored at OpenAI."""

_ECHOED = (
    "instructions", "max_output_tokens", "metadata", "prompt_cache_key", "reasoning", "safety_identifier", "text",
    "tool_choice", "tools", "user",
)  # fmt: skip


def item_turn(item: Any, tools: Toolbox) -> Turn:
    """Pure, and shares no object with `item`. Raises BadRequest with a `param` relative to `item`."""
    item = expect_object(sanitized(item))
    kind = item.get("type")
    match kind:
        case None | "message" if "role" in item:
            return message_turn(item, tools)
        case "function_call":
            call = call_block(
                _call_id(item),
                item.get("name"),
                item.get("arguments"),
                tools,
                item.get("namespace"),
            )
            return Turn("assistant", [call], raw_notes([call]))
        case "custom_tool_call":
            name, text = item.get("name"), item.get("input")
            return Turn(
                "assistant",
                [custom_call_block(_call_id(item), name, text, tools, item.get("namespace"))],
            )
        case "function_call_output" | "custom_tool_call_output":
            return Turn("user", [result_block(_call_id(item), _output(item), tools, "output")])
        case "reasoning":
            return Turn("assistant", unsealed(item.get("encrypted_content")))
        case "additional_tools" | "configuration_update":  # read with the fields of the request
            return Turn("assistant", [])
        case "compaction":
            return Turn("user", [_summary(item)])
        case "compaction_trigger":
            raise BadRequest(
                "Claude can't compact while it responds; use POST /v1/responses/compact",
                param="type",
            )
    return _other_turn(kind, item)


def configured(body: JsonObject) -> JsonObject:
    """`body` with the settings of its `configuration_update` items: each holds until a later one replaces it. Raises
    BadRequest for a new one."""
    items = body.get("input")
    if not isinstance(items, list):
        return body
    new = first_new(items)
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("type") == "configuration_update":
            try:
                with located(f"input[{index}]"):
                    body = _updated(body, Fields(item))
            except BadRequest:
                if index >= new:
                    raise
    return body


def additional_tools(items: list[Any], *, readable: bool = False) -> list[Any]:
    """Tools that a client adds as items of its input. `readable`: of what is not new, only those that can be
    declared."""
    new = first_new(items)
    added: list[Any] = []
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("type") == "additional_tools":
            tools = item.get("tools")
            if isinstance(tools, list):
                all_kept = not readable or index >= new
                added += tools if all_kept else [tool for tool in tools if _can_be_declared(tool)]
    return added


def _can_be_declared(tool: Any) -> bool:
    try:
        declare_tools([tool])
    except BadRequest:
        return False
    return True


def reject_stored_state(fields: Fields) -> None:
    """Without what they refer to, Claude would respond to something else than the client asked."""
    for name in _STORED_STATE:
        if name in fields:
            raise fields.error(
                name, "is not stored by ccproxy; send the whole input", "unsupported_parameter"
            )


def echo(body: JsonObject) -> JsonObject:
    """The fields of `body` that a response object may repeat."""
    return {name: sanitized(body[name]) for name in _ECHOED if body.get(name) is not None}


def _other_turn(kind: Any, item: JsonObject) -> Turn:
    """Of items that stand for something which is not in the request."""
    match kind:
        case "compaction":
            return Turn("user", [_summary(item)])
        case "compaction_trigger":
            raise BadRequest("Claude can't compact a conversation while it responds", param="type")
        case None | "item_reference":  # one that could be followed is not here any more
            raise BadRequest("expected a whole item, or a reference by its id", param="type")
    if isinstance(kind, str) and kind in HOSTED_CALLS | HOSTED_OUTPUTS:
        return hosted_turn(item)
    raise BadRequest(f"items of type {str(kind)[:80]} are not supported", param="type")


def _updated(body: JsonObject, update: Fields) -> JsonObject:
    settings: dict[str, JsonObject] = {
        "reasoning": {"effort": update.nested("reasoning").text("effort")},
        "text": {"format": update.nested("text").mapping("format")},
    }
    for field, values in settings.items():
        given = body.get(field) or {}
        if isinstance(given, dict) and None not in values.values():
            body = {**body, field: {**given, **values}}
    return body


def _summary(item: JsonObject) -> JsonObject:
    summary = decode_summary(item.get("encrypted_content"))
    if summary is None:
        raise BadRequest(
            "was not created by this proxy, so it can't be read, or is not whole",
            param="encrypted_content",
        )
    return text_block(f"Summary of the conversation before:\n\n{summary}")


def _call_id(item: JsonObject) -> Any:
    """`call_id` links call and output; `id` identifies only the item."""
    return item.get("call_id")


def _output(item: JsonObject) -> Any:
    output = item.get("output")
    return (
        json.dumps(output, ensure_ascii=False) if isinstance(output, dict | int | float) else output
    )
