"""Requests in Anthropic's own form: checked as far as anything behind looks into them, and otherwise left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from addon.claude.model import Model
from addon.claude.thinking_request import ThinkingRequest
from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.to_anthropic.fields import expect_object, located
from addon.translation.to_anthropic.repair import ROLES, repair
from addon.translation.types import Reply, Translation

type Kinds = Mapping[str, tuple[type, ...]]

_TEXT_OR_LIST, _OBJECT, _NUMBER = (str, list), (dict,), (int, float)
_REQUEST: Kinds = {
    "max_tokens": (int,),
    "system": _TEXT_OR_LIST,
    "tools": (list,),
    "tool_choice": _OBJECT,
    "thinking": _OBJECT,
    "output_config": _OBJECT,
    "metadata": _OBJECT,
    "cache_control": _OBJECT,
    "stop_sequences": (list,),
    "stream": (bool,),
    **dict.fromkeys(("temperature", "top_p", "top_k"), _NUMBER),
}
_NESTED: Mapping[str, Kinds] = {
    "tool_choice": {"type": (str,), "name": (str,)},
    "thinking": {"type": (str,)},
    "output_config": {"effort": (str,), "format": _OBJECT},
    "cache_control": {"type": (str,), "ttl": (str,)},
}
_MESSAGE: Kinds = {"role": (str,), "content": _TEXT_OR_LIST}
_BLOCK: Kinds = {
    **dict.fromkeys(("type", "text", "thinking", "signature", "data"), (str,)),
    **dict.fromkeys(("id", "tool_use_id", "name"), (str,)),
    **dict.fromkeys(("source", "cache_control"), _OBJECT),
    "content": (str, list, dict),
}
_SOURCE: Kinds = {
    **dict.fromkeys(("type", "media_type", "data", "url"), (str,)),
    "content": _TEXT_OR_LIST,
}
_WORDS = {
    str: "a string",
    list: "a list",
    dict: "an object",
    bool: "true or false",
    int: "an integer",
    float: "a number",
}


def native_translation(body: JsonObject, model: Model) -> Translation:
    """`body`: decoded JSON, not changed; what Anthropic would refuse for its history is repaired. Raises BadRequest,
    with `param` naming the field, for what has another type than Anthropic takes."""
    _check(body)
    request = {**body, "model": model.id}
    return Translation(
        request=request,
        reply=Reply(model=model.id),
        thinking_request=ThinkingRequest(),
        ignored=[],
        notes=repair(request, model),
        conversation=None,
        betas=set(),
        max_tokens_given="max_tokens" in body,
    )


def _check(body: JsonObject) -> None:
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise BadRequest("messages: a list with at least one message is required", param="messages")
    _check_kinds(body, _REQUEST)
    for name, kinds in _NESTED.items():
        with located(name):
            _check_kinds(body.get(name) or {}, kinds)
    for index, message in enumerate(body["messages"]):
        with located(f"messages[{index}]"):
            _check_kinds(expect_object(message), _MESSAGE)
            if message.get("role") not in ROLES:
                raise BadRequest(f"expected one of {', '.join(ROLES)}", param="role")
            _check_blocks(message.get("content"), "content")
    _check_blocks(body.get("system"), "system")
    _check_blocks(body.get("tools"), "tools")


def _check_blocks(content: Any, name: str) -> None:
    for index, block in enumerate(content if isinstance(content, list) else ()):
        with located(f"{name}[{index}]"):
            _check_kinds(expect_object(block), _BLOCK)
            _check_blocks(block.get("content"), "content")
            if block.get("source"):
                with located("source"):
                    _check_kinds(block["source"], _SOURCE)
                    _check_blocks(block["source"].get("content"), "content")


def _check_kinds(data: JsonObject, kinds: Kinds) -> None:
    """null is Anthropic's to judge: it takes it for some fields."""
    for name, value in data.items():
        allowed = kinds.get(name)
        if allowed is None or value is None:
            continue
        is_misplaced_bool = isinstance(value, bool) and bool not in allowed
        if is_misplaced_bool or not isinstance(value, allowed):
            raise BadRequest(f"expected {_WORDS[allowed[-1]]}", param=name)
