"""Converts message content to Anthropic blocks: strings, the parts of both OpenAI APIs, and the Anthropic blocks that
Cursor puts into chat bodies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from addon.claude.blocks import is_thinking
from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.to_anthropic.cache_marks import cache_mark
from addon.translation.to_anthropic.fields import located
from addon.translation.to_anthropic.media import (
    file_block,
    image_block,
    true_document,
    with_true_type,
)
from addon.translation.to_anthropic.tools import Toolbox

type Blocks = list[JsonObject]
type Role = Literal["system", "user", "assistant"]


class Turn(NamedTuple):
    """One converted client message. Its blocks may be shared between requests by a cache, so they are never
    modified."""

    role: Role
    blocks: Blocks
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """As `ignored_names` says."""
    left_out: tuple[str, ...] = ()
    """Where in the message something stood that can't be told."""


type Converter = Callable[[JsonObject, Toolbox], JsonObject | None]


def content_blocks(
    content: Any,
    kinds: Mapping[str, Converter],
    tools: Toolbox,
    field: str = "content",
    *,
    once: bool = False,
) -> Blocks:
    """The blocks of a string, a list of parts, or null. Blank text is left out, because Anthropic rejects it.

    `kinds`: the converter for each part type; `once`: Cursor repeats the parts of a user's text, so the same text twice
    in a row is sent once. Raises BadRequest with a `param` that begins with `field`."""
    if content is None or isinstance(content, str):
        return [text_block(content)] if content and not content.isspace() else []
    if not isinstance(content, list):
        raise BadRequest("expected a string or a list of parts", param=field)
    blocks: Blocks = []
    for index, part in enumerate(content):
        with located(f"{field}[{index}]"):
            block = _converted(part, kinds, tools)
        if block is None:
            continue
        if once and blocks and block["type"] == "text" and blocks[-1].get("text") == block["text"]:
            block = {**blocks.pop(), **block}
        blocks.append(block)
    return blocks


def text_block(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def is_blank_text(block: JsonObject) -> bool:
    text = block.get("text")
    return block.get("type") == "text" and isinstance(text, str) and (not text or text.isspace())


def result_block(call_id: Any, content: Any, tools: Toolbox, field: str = "content") -> JsonObject:
    """A tool_result. A string stays a string; blank text gives a result without content, because Anthropic rejects
    it."""
    block: JsonObject = {
        "type": "tool_result",
        "tool_use_id": call_id if isinstance(call_id, str) else "",
    }
    blocks = content_blocks(content, RESULT_PARTS, tools, field)
    if blocks:
        block["content"] = content if isinstance(content, str) else blocks
    return block


def _converted(part: Any, kinds: Mapping[str, Converter], tools: Toolbox) -> JsonObject | None:
    if isinstance(part, str):
        part = text_block(part)
    if not isinstance(part, dict):
        raise BadRequest("expected an object")
    kind = part.get("type")
    convert = kinds.get(kind) if isinstance(kind, str) else None
    if convert is None:
        message = REJECTED_PARTS.get(
            str(kind), f"parts of type {json.dumps(kind)[:80]} are not supported here"
        )
        raise BadRequest(message, code="unsupported_content_part")
    block = convert(part, tools)
    if block is None or is_thinking(block):
        return block
    mark = cache_mark(part)
    return block if mark is None else {**block, "cache_control": mark}


def _text_part(part: JsonObject, tools: Toolbox) -> JsonObject | None:
    text = part.get("text")
    if text is not None and not isinstance(text, str):
        raise BadRequest("expected a string", param="text")
    return text_block(text) if text and not text.isspace() else None


def _result_part(part: JsonObject, tools: Toolbox) -> JsonObject:
    block = result_block(part.get("tool_use_id"), part.get("content"), tools)
    if isinstance(toolset := part.get("toolset_name"), str):
        block["toolset_name"] = toolset
    return {**block, "is_error": True} if part.get("is_error") is True else block


def _native(*names: str) -> Callable[[JsonObject, Toolbox], JsonObject]:
    """Keeps the named fields: Anthropic rejects any other with "Extra inputs are not permitted"."""

    def convert(part: JsonObject, tools: Toolbox) -> JsonObject:
        return {name: part[name] for name in ("type", *names) if part.get(name) is not None}

    return convert


def _image_part(part: JsonObject, tools: Toolbox) -> JsonObject:
    return with_true_type(_IMAGE(part, tools))


def _document_part(part: JsonObject, tools: Toolbox) -> JsonObject:
    return true_document(_DOCUMENT(part, tools))


_IMAGE = _native("source", "transformations")
_DOCUMENT = _native("source", "title", "context", "citations")
# Text has no `citations` here: in a user's text they are rejected since `anthropic-version: 2026-10-21`.
TEXT_PARTS: Mapping[str, Converter] = {
    "text": _text_part,
    "input_text": _text_part,
    "output_text": _text_part,
}
RESULT_PARTS: Mapping[str, Converter] = {
    **TEXT_PARTS,
    "image_url": image_block,
    "input_image": image_block,
    "file": file_block,
    "input_file": file_block,
    "image": _image_part,
    "document": _document_part,
    "search_result": _native("source", "title", "content", "citations"),
}
USER_PARTS: Mapping[str, Converter] = {**RESULT_PARTS, "tool_result": _result_part}
REJECTED_PARTS = {
    "input_audio": "audio input is not supported by Claude",
    "audio": "audio input is not supported by Claude",
    "refusal": "only an assistant message can hold a refusal",
}
