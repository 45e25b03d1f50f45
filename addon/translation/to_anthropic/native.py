"""Requests in Anthropic's own form: sent as they came, and mended where Anthropic has refused them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from addon.claude.blocks import blocks_of
from addon.claude.model import Model
from addon.claude.thinking import ThinkingOptions
from addon.claude.thinking_native import fields_changed, fix_native
from addon.claude.thinking_request import ThinkingRequest
from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.to_anthropic.cache_marks import limit_cache_marks
from addon.translation.to_anthropic.content import is_blank_text
from addon.translation.to_anthropic.media import with_true_type
from addon.translation.to_anthropic.repair import ROLES, repair
from addon.translation.types import Reply, Translation

type _Kinds = Mapping[str, type | tuple[type, ...]]


def native_translation(body: JsonObject, model_id: str) -> Translation:
    """`body`: decoded JSON, shared but for the model's name."""
    request = body if body.get("model") == model_id else {**body, "model": model_id}
    return Translation(
        request=request,
        # The model is renamed in the answer only where it was renamed in the request.
        reply=Reply(model="" if request is body else str(body.get("model"))),
        thinking_request=ThinkingRequest(),
        ignored=[],
        notes=[],
        conversation=None,
        betas=set(),
        max_tokens_given="max_tokens" in body,
    )


# ------------------------------------------------------------------------------------------------ what can be read

_FIELDS: _Kinds = {
    "max_tokens": int,
    "system": (str, list),
    "tools": list,
    **dict.fromkeys(("tool_choice", "thinking", "output_config", "metadata"), dict),
}
_BLOCK: Mapping[str, _Kinds] = {
    "text": {"text": str},
    "tool_use": {"id": str, "name": str},
    "tool_result": {"tool_use_id": str},
    "thinking": {"thinking": str, "signature": str},
    "redacted_thinking": {"data": str},
}
"""What the rest of the proxy takes for granted of a block."""


def is_readable(body: JsonObject) -> bool:
    """Whether what is done with a conversation here (counting, shortening, marking, putting thinking back) can rely on
    its shape. Whether the request is right is for Anthropic to say."""
    messages = body.get("messages")
    thread = "thread" in body  # the messages are then a part only, and marks among them are refused
    if thread or not isinstance(messages, list) or not messages or not _has_kinds(body, _FIELDS):
        return False
    if not _has_kinds(body.get("thinking") or {}, {"budget_tokens": int, "type": str}):
        return False
    if not _has_kinds(body.get("output_config") or {}, {"effort": str}):
        return False
    lists = (body.get("tools") or [], blocks_of(body.get("system")))
    return all(isinstance(item, dict) for items in lists for item in items) and all(
        _is_readable_message(message) for message in messages
    )


def _is_readable_message(message: Any) -> bool:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        return False
    content = message.get("content")
    return isinstance(content, str) or (isinstance(content, list) and _are_readable(content))


def _are_readable(content: list[Any]) -> bool:
    for block in content:
        if not isinstance(block, dict) or not isinstance(kind := block.get("type"), str):
            return False
        needed = _BLOCK.get(kind)
        if needed and not all(isinstance(block.get(name), known) for name, known in needed.items()):
            return False
        inner = block.get("content") if kind == "tool_result" else None
        if isinstance(inner, str | None):
            continue
        if not isinstance(inner, list) or not _are_readable(inner):
            return False
    return True


def _has_kinds(data: JsonObject, kinds: _Kinds) -> bool:
    return all(
        data.get(name) is None
        or (isinstance(data[name], kind) and not isinstance(data[name], bool))
        for name, kind in kinds.items()
    )


# ------------------------------------------------------------------------------------------------ what can be mended


class Refused(NamedTuple):
    """A request that Anthropic answered 400 to. Its body is readable."""

    request: JsonObject
    model: Model
    message: str
    betas: frozenset[str]
    """Those that the client named."""


class Mended(NamedTuple):
    request: JsonObject
    betas: frozenset[str]
    """Those to add."""
    names: tuple[str, ...]
    """Fields that are not as they were."""
    thinking_change: str = ""
    """As in `Attempt`."""


def mended(refused: Refused, options: ThinkingOptions) -> Mended | None:
    """The request without the fault that Anthropic's message names; None: it names none that can be mended here,
    or what would be changed is invalid in itself."""
    request, betas, change = refused.request, frozenset[str](), ""
    for words, mend in _MENDS:
        if words.search(refused.message):
            request = mend(refused)
            break
    else:
        if _PARAMETERS.search(refused.message):
            try:
                prepared = fix_native(request, refused.model, options, betas=refused.betas)
            except BadRequest:
                return None
            request, betas = prepared.request, prepared.betas
            change = prepared.thinking_change
    names = fields_changed(refused.request, request)
    return Mended(request, betas, names, change) if names else None


def _mend_history(refused: Refused) -> JsonObject:
    request = dict(refused.request)
    repair(request, refused.model)
    return request


def _mend_blanks(refused: Refused) -> JsonObject:
    request = _mend_history(refused)
    system = request.get("system")
    if system is not None:
        request["system"] = [block for block in blocks_of(system) if not is_blank_text(block)]
    return request


def _mend_marks(refused: Refused) -> JsonObject:
    request = dict(refused.request)
    limit_cache_marks(request)
    return request


def _mend_max_tokens(refused: Refused) -> JsonObject:
    told = _MAX_TOKENS.search(refused.message)
    return {**refused.request, "max_tokens": int(told[1])} if told else refused.request


def _mend_images(refused: Refused) -> JsonObject:
    messages = [
        {**message, "content": _with_true_types(message["content"])}
        if isinstance(message["content"], list)
        else message
        for message in refused.request["messages"]
    ]
    return {**refused.request, "messages": messages}


def _with_true_types(content: list[Any]) -> list[Any]:
    return [_retyped(block) if isinstance(block, dict) else block for block in content]


def _retyped(block: JsonObject) -> JsonObject:
    inner = block.get("content")
    if block.get("type") == "tool_result" and isinstance(inner, list):
        return {**block, "content": _with_true_types(inner)}
    return with_true_type(block) if block.get("type") == "image" else block


# Anthropic's own words, as people quote them in issues and as they were recorded.
_MAX_TOKENS = re.compile(
    r"max_tokens: \d+ > (\d{1,9}), which is the maximum allowed number of output"
)
_MENDS: tuple[tuple[re.Pattern[str], Callable[[Refused], JsonObject]], ...] = (
    (_MAX_TOKENS, _mend_max_tokens),
    (re.compile(r"media type, but the image appears to be"), _mend_images),
    (
        re.compile(
            r"blocks with cache_control may be provided|cache_control block must not come after"
        ),
        _mend_marks,
    ),
    (
        re.compile(r"text content blocks must|must have non-empty content"),
        _mend_blanks,
    ),
    (
        re.compile(
            r"`?tool_use`? ids|tool_use_id|`tool_result` block|tool_use\.id: String should match"
            r"|each tool_use must have a single result|first message must use|roles must alternate"
            r"|message prefill|Prefilling assistant|trailing whitespace"
            r'|[Rr]ole "system"|`system` message must'
            r"|without a corresponding `\w+_tool_result` block"
        ),
        _mend_history,
    ),
)
_PARAMETERS = re.compile(
    r"thinking|budget_tokens|\beffort\b|`(temperature|top_p|top_k)`|tool_choice|forces tool use|speed"
)
