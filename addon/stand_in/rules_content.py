"""Messages: roles, blocks, the pairing of calls with results, images.

Sources: the anthropic SDK's types for what exists; for what is refused the texts that people quote, named at their
rule. An assistant's turn may come first, and its text may be blank: recorded responses show that both are accepted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from addon.stand_in.models import FakeModel
from addon.stand_in.record import JsonObject
from addon.stand_in.refusal import Refusal, invalid
from addon.stand_in.tokens import parts_of

MAGIC = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
MOST_IMAGE_BYTES = 10 * 1024 * 1024


def check_images(body: JsonObject, model: FakeModel) -> None:
    count = sum(_images(message.get("content")) for message in body["messages"])
    if count > model.max_images:
        raise invalid(
            f"too many images and documents: {count} + 0 > {model.max_images}", "messages"
        )


def _images(content: object) -> int:
    return sum(
        (block["type"] in ("image", "document"))
        + (_images(block.get("content")) if block["type"] == "tool_result" else 0)
        for block in parts_of(content)
    )


def check_image(block: JsonObject, at: str) -> None:
    source, at = block["source"], f"{at}.image.source"
    match source.get("type"):
        case "base64":
            _check_base64(source, f"{at}.base64")
        case "url":
            if not str(source.get("url")).startswith("https://"):
                raise invalid("Only HTTPS URLs are supported.", f"{at}.url.url")
        case "file":
            return
        case other:
            raise invalid(
                f"Input tag '{other}' found using 'type' does not match any of the expected tags: "
                "'base64', 'url', 'file'",
                at,
            )


def _check_base64(source: JsonObject, at: str) -> None:
    declared = source.get("media_type")
    if declared not in MAGIC:
        raise invalid(
            "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
            f"{at}.media_type",
        )
    if source.get("data") is None:
        missing = "Input should be a valid string" if "data" in source else "Field required"
        raise invalid(missing, f"{at}.data")
    try:
        data = base64.b64decode(source["data"], validate=True)
    except ValueError as error:  # binascii.Error, or letters beyond ASCII
        raise Refusal(400, f"{at}.data: Invalid base64 data") from error
    if len(source["data"]) > MOST_IMAGE_BYTES:
        raise invalid(
            f"image exceeds 10 MB maximum: {len(source['data'])} bytes > {MOST_IMAGE_BYTES} bytes",
            f"{at}.data",
        )
    seen = next((kind for kind, magic in MAGIC.items() if data.startswith(magic)), None)
    if seen is None:
        raise invalid("Could not process image")
    if seen != declared:
        raise invalid(
            f"The image was specified using the {declared} media type, but the image appears to be a {seen} image",
            f"{at}.data",
        )


KEYS = {
    "text": {"text", "citations"},
    "image": {"source", "transformations"},
    "document": {"source", "title", "context", "citations"},
    "search_result": {"source", "title", "content", "citations"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_use": {"id", "name", "input", "caller", "toolset_name"},
    "tool_result": {"tool_use_id", "content", "is_error", "toolset_name"},
}
"""Fields of each block type, besides `type` and `cache_control` (the anthropic SDK's `…BlockParam` types)."""
OPAQUE = re.compile(
    r"server_tool_use|\w+_tool_(use|result)|container_upload|compaction|fallback|mcp_tool_listing"
    r"|tool_(addition|removal|reference)|browser_state"
)
"""Further types, which are not looked into. New ones arrive with beta flags."""
RESULT = re.compile(r"(?!mcp_)\w+_tool_result")
"""Results of server tools."""
REQUIRED = {
    "text": "text",
    "image": "source",
    "document": "source",
    "thinking": "signature",
    "tool_use": "id",
    "tool_result": "tool_use_id",
}
ASSISTANT_ONLY = {"tool_use", "thinking", "redacted_thinking", "server_tool_use"}
USER_ONLY = {"tool_result", "image"}
ID = re.compile(r"[a-zA-Z0-9_-]+")
MOST_MESSAGES = 100_000
MESSAGE = {"role", "content"}
SYSTEM_MESSAGE = {"output_config", "clear_at"}
"""Further fields of a message in mid-conversation (the anthropic SDK's `BetaSystemMessageParam`); with `output_config`
it needs no content."""


@dataclass(slots=True)
class Turn:
    """Neighbouring messages of one role, which the API joins, each block with its path."""

    role: str
    index: int
    blocks: list[tuple[str, JsonObject]] = field(default_factory=list)


def check_content(body: JsonObject, model: FakeModel, new_version: bool) -> None:
    messages = body["messages"]
    if not messages:
        raise invalid("at least one message is required", "messages")
    if len(messages) > MOST_MESSAGES:
        raise invalid(f"List should have at most {MOST_MESSAGES} items", "messages")
    for index, message in enumerate(messages):
        _check_message(message, index, model, final=index == len(messages) - 1)
    turns = turns_of(messages)
    _check_system_places(turns)
    if (body.get("thread") or {}).get("type") != "continue":
        # In a thread that goes on, the call was in the response that the thread already holds
        # (the anthropic SDK's `BetaThreadContinueParams`).
        spoken = [turn for turn in turns if turn.role != "system"]
        _check_pairs(spoken)
        _check_server_pairs(spoken)
    check_images(body, model)
    if new_version:
        _check_new_version(turns)


def _check_message(message: JsonObject, index: int, model: FakeModel, final: bool) -> None:
    at = f"messages.{index}"
    role = message.get("role")
    for key in message:
        if key not in MESSAGE | (SYSTEM_MESSAGE if role == "system" else set()):
            raise invalid("Extra inputs are not permitted", f"{at}.{key}")
    if role == "system" and not model.mid_system:
        raise invalid(
            'Unexpected role "system". The Messages API accepts a top-level `system` parameter, not "system" as an '
            "input message role.",
            "messages",
        )
    if role not in ("user", "assistant", "system"):
        raise invalid("Input should be 'user' or 'assistant'", f"{at}.role")
    content = message.get("content")
    if role == "system" and content is None and message.get("output_config"):
        return
    if not isinstance(content, str | list):
        raise invalid("Input should be a valid list", f"{at}.content")
    if not content and not (final and role == "assistant"):  # anthropics/claude-code#6774
        raise invalid(
            "all messages must have non-empty content except for the optional final assistant message",
            at,
        )
    for place, block in enumerate(parts_of(content)):
        _check_block(block, f"{at}.content.{place}", str(role))


def _check_block(block: JsonObject, at: str, role: str) -> None:
    kind = str(block.get("type"))
    if kind not in KEYS:
        if OPAQUE.fullmatch(kind):
            return
        raise invalid(
            f"Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            + ", ".join(f"'{known}'" for known in sorted(KEYS)),
            at,
        )
    for key in block:
        if key not in KEYS[kind] | {"type", "cache_control"}:
            raise invalid("Extra inputs are not permitted", f"{at}.{kind}.{key}")
    if (required := REQUIRED.get(kind)) and block.get(required) is None:
        raise invalid("Field required", f"{at}.{kind}.{required}")
    _check_role(kind, at, role)
    if kind == "text" and role == "user":
        _check_blank(block)
    if inner := INNER.get(kind):
        inner(block, at)


def _check_role(kind: str, at: str, role: str) -> None:
    if kind in ASSISTANT_ONLY and role != "assistant":
        raise invalid(f"`{kind}` blocks can only be in `assistant` messages", at)
    if kind in USER_ONLY and role != "user":
        raise invalid(f"`{kind}` blocks can only be in `user` messages", at)


def _check_text(block: JsonObject, at: str) -> None:
    if not isinstance(block["text"], str):
        raise invalid("Input should be a valid string", f"{at}.text.text")
    if not block["text"]:  # anthropics/claude-code#59812
        raise invalid("text content blocks must be non-empty", "messages")


def _check_blank(block: JsonObject) -> None:
    # anthropics/claude-code#23440
    if isinstance(block["text"], str) and block["text"].isspace():
        raise invalid("text content blocks must contain non-whitespace text", "messages")


def _check_call(block: JsonObject, at: str) -> None:
    if not ID.fullmatch(block["id"]):
        raise invalid("String should match pattern '^[a-zA-Z0-9_-]+$'", f"{at}.tool_use.id")
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,200}", str(block.get("name"))):
        raise invalid("String should match pattern '^[a-zA-Z0-9_-]{1,200}$'", f"{at}.tool_use.name")
    if not isinstance(block.get("input"), dict):
        raise invalid("Input should be a valid dictionary", f"{at}.tool_use.input")


def _check_result(block: JsonObject, at: str) -> None:
    if not ID.fullmatch(block["tool_use_id"]):
        raise invalid(
            "String should match pattern '^[a-zA-Z0-9_-]+$'", f"{at}.tool_result.tool_use_id"
        )
    if isinstance(block.get("content"), list):
        for place, part in enumerate(block["content"]):
            _check_block(part, f"{at}.tool_result.content.{place}", "user")


def turns_of(messages: Sequence[JsonObject]) -> list[Turn]:
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        if not turns or turns[-1].role != message["role"]:
            turns.append(Turn(message["role"], index))
        for place, block in enumerate(parts_of(message.get("content"))):
            turns[-1].blocks.append((f"messages.{index}.content.{place}", block))
    return turns


def _check_system_places(turns: Sequence[Turn]) -> None:
    """A system message may follow a user turn, or an assistant's that ended in a server tool, and end it."""
    for number, turn in enumerate(turns):
        if turn.role != "system":
            continue
        before = turns[number - 1] if number else Turn("assistant", 0)
        after = turns[number + 1].role if number + 1 < len(turns) else "assistant"
        ended = before.blocks[-1][1]["type"] if before.blocks else ""
        server = ended.endswith("_tool_result")
        if after != "assistant" or (before.role == "assistant" and not server):
            raise invalid(
                "a `system` message must follow a `user` message and come before an `assistant` message or the end",
                f"messages.{turn.index}",
            )


def _check_pairs(turns: Sequence[Turn]) -> None:
    called: list[str] = []
    for turn in turns:
        if turn.role == "assistant":
            _check_answered(called, [], turn.index - 1)
            called = _calls(turn)
        else:
            answered = _check_results(turn, called)
            _check_answered(called, answered, turn.index - 1)
            called = []
    _check_answered(called, [], turns[-1].index)


def _calls(turn: Turn) -> list[str]:
    ids = [str(block["id"]) for _, block in turn.blocks if block["type"] == "tool_use"]
    if len(set(ids)) < len(ids):
        raise invalid("`tool_use` ids must be unique", f"messages.{turn.index}")
    return ids


def _check_results(turn: Turn, called: Sequence[str]) -> list[str]:
    """The ids of the results that open the turn: those after other content do not count as immediate."""
    answered: list[str] = []
    leading = True
    for path, block in turn.blocks:
        if block["type"] != "tool_result":
            leading = False
            continue
        id = block["tool_use_id"]
        if id not in called:  # continuedev/continue#4751
            raise invalid(
                f"unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a "
                "corresponding `tool_use` block in the previous message.",
                path,
            )
        if id in answered:
            raise invalid(
                f"each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}",
                path,
            )
        if leading:
            answered.append(id)
    return answered


def _check_answered(called: Sequence[str], answered: Sequence[str], index: int) -> None:
    if missing := [id for id in called if id not in answered]:  # aliasrobotics/cai#182
        raise invalid(
            "`tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message.",
            f"messages.{index}",
        )


def _check_server_pairs(turns: Sequence[Turn]) -> None:
    """A server tool's result stands behind its call in one turn. Only a client's results, and nothing else, may come
    between: then the turn was paused and goes on."""
    waiting: dict[str, str] = {}
    for turn in turns:
        if turn.role == "user" and any(b["type"] != "tool_result" for _, b in turn.blocks):
            for id, name in waiting.items():
                # coder/coder#22976
                raise invalid(
                    f"`{name}` tool use with id `{id}` was found without a corresponding `{name}_tool_result` block",
                    f"messages.{turn.index - 1}",
                )
        for path, block in turn.blocks:
            kind = str(block["type"])
            if kind == "server_tool_use":
                waiting[str(block.get("id"))] = str(block.get("name"))
            elif (
                RESULT.fullmatch(kind) and waiting.pop(str(block.get("tool_use_id")), None) is None
            ):
                # anthropics/claude-code#64383
                raise invalid(
                    f"unexpected `tool_use_id` found in `{kind}` blocks: {block.get('tool_use_id')}. Each `{kind}` "
                    "block must have a corresponding `server_tool_use` block before it.",
                    path,
                )


def _check_new_version(turns: Sequence[Turn]) -> None:
    """What version 2026-10-21 no longer takes."""
    for turn in turns:
        for path, block in turn.blocks:
            if turn.role == "assistant" and block["type"] == "document":
                raise invalid("`document` blocks can only be in `user` messages", path)
            if turn.role == "user" and block["type"] == "text" and block.get("citations"):
                raise invalid("Extra inputs are not permitted", f"{path}.text.citations")


def _check_document(block: JsonObject, at: str) -> None:
    source = block["source"]
    # the anthropic SDK's `Base64PDFSourceParam`
    if source.get("type") == "base64" and source.get("media_type") != "application/pdf":
        raise invalid(
            "Input should be 'application/pdf'", f"{at}.document.source.base64.media_type"
        )


INNER: dict[str, Callable[[JsonObject, str], None]] = {
    "text": _check_text,
    "image": check_image,
    "document": _check_document,
    "tool_use": _check_call,
    "tool_result": _check_result,
}
"""What else is looked at in a block, by its type."""
