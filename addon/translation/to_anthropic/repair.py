"""Repairs the messages of an Anthropic request: what Anthropic would reject becomes what it accepts.

Used for translated requests and for those in Anthropic's own form. Valid messages are left unchanged, object for
object: thinking signatures and the prompt cache depend on the exact history.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from addon.claude.blocks import blocks_of, is_server_call, is_server_result
from addon.claude.model import Model
from addon.claude.turns import with_server_pairs
from addon.core.types import JsonObject
from addon.translation.to_anthropic.content import Blocks, is_blank_text, text_block
from addon.translation.to_anthropic.messages import OPENING
from addon.translation.to_anthropic.tool_pairing import Messages, Pairing

CONTINUE = "Continue from where you stopped."
ROLES = ("user", "assistant", "system")


def repair(request: JsonObject, model: Model) -> list[str]:
    """Replaces `request["messages"]` if it has to change; no object in it is modified. Returns a note for each repair.

    A request of another shape (no list of messages with known roles) is left for Anthropic to reject."""
    if not _is_readable(request.get("messages")):
        return []
    return _repaired(request, model, Pairing(keep_valid=True))


def normalize(request: JsonObject, model: Model) -> list[str]:
    """`repair` for a translated request, which has no signatures to preserve: ids become unique in the whole history,
    and results are put in the order of the calls."""
    return _repaired(request, model, Pairing(keep_valid=False))


def _repaired(request: JsonObject, model: Model, pairing: Pairing) -> list[str]:
    notes: list[str] = []
    messages = _without_blanks(request["messages"], model, notes)
    messages = pairing.pair(_with_system_in_place(messages, model, notes))
    notes += pairing.notes
    messages = _with_server_pairs(messages, notes)
    if not messages or messages[0]["role"] != "user":
        notes.append("messages: a first user turn was added")
        messages = [_user(OPENING), *messages]
    ended = _with_end(messages, request, model, notes)
    # A user turn at the end leaves no server tool's call open before it.
    request["messages"] = ended if ended is messages else _with_server_pairs(ended, notes)
    return notes


def _with_server_pairs(messages: Messages, notes: list[str]) -> Messages:
    paired = with_server_pairs(messages)
    if paired is not messages:
        notes.append("messages: server tool calls and results that are not paired were left out")
    return paired


def _is_readable(messages: Any) -> bool:
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(
            isinstance(message, dict)
            and message.get("role") in ROLES
            and _is_content(message.get("content"))
            for message in messages
        )
    )


def _is_content(content: Any) -> bool:
    return isinstance(content, str) or (
        isinstance(content, list) and all(isinstance(block, dict) for block in content)
    )


def _with_system_in_place(messages: Messages, model: Model, notes: list[str]) -> Messages:
    """A system message is allowed only between a user turn and an assistant turn, on models that support it."""
    if all(message["role"] != "system" for message in messages):
        return messages
    arranged: Messages = []
    for is_assistant, group in groupby(messages, lambda message: message["role"] == "assistant"):
        run = list(group)
        if is_assistant or _is_in_place(run, arranged, model) or _changes_tools(run):
            arranged += run
        else:
            notes.append(
                f"messages[{len(arranged)}]: a system message was moved or became a reminder"
            )
            arranged += _arranged(run, model)
    return arranged


def _is_in_place(run: Messages, before: Messages, model: Model) -> bool:
    """`run`: everything between two assistant turns."""
    roles = [message["role"] for message in run]
    if "system" not in roles:
        return True
    users = roles.index("system")
    # without its result, a call is refused there
    follows_tool = bool(before) and is_server_result(blocks_of(before[-1]["content"])[-1])
    return model.mid_system and "user" not in roles[users:] and (users > 0 or follows_tool)


def _arranged(run: Messages, model: Model) -> Messages:
    said = [
        block
        for message in run
        if message["role"] == "user"
        for block in blocks_of(message["content"])
    ]
    if model.mid_system and said:
        system = [message for message in run if message["role"] == "system"]
        return [{"role": "user", "content": said}, *_merged(system)]
    blocks: Blocks = []
    for message in run:
        parts = blocks_of(message["content"])
        blocks += parts if message["role"] == "user" else map(_reminder, parts)
    return [{"role": "user", "content": blocks}]


def _merged(messages: Messages) -> Messages:
    """Neighbours with the same fields besides their content (`clear_at`, `output_config`) as one."""
    return [
        {**rest, "content": [block for message in group for block in blocks_of(message["content"])]}
        for rest, group in groupby(messages, lambda message: {**message, "content": None})
    ]


def _changes_tools(run: Messages) -> bool:
    """Only a system message may do so: where Anthropic refuses that, nothing here can say it instead."""
    return any(
        block.get("type") in ("tool_addition", "tool_removal")
        for message in run
        for block in blocks_of(message["content"])
    )


def _reminder(block: JsonObject) -> JsonObject:
    """A system message as user text in a form that Claude knows. Moving it to the top would invalidate the prompt
    cache."""
    if block.get("type") != "text":
        return block
    return {**block, "text": f"<system-reminder>{block.get('text', '')}</system-reminder>"}


def _without_blanks(messages: Messages, model: Model, notes: list[str]) -> Messages:
    """Anthropic rejects blank text blocks, and messages without content except a last one to be continued."""
    kept: Messages = []
    for index, message in enumerate(messages):
        content = message["content"]
        full = _full_content(content)
        if full is not content:
            notes.append(f"messages[{index}]: blank text was left out")
        to_be_begun = model.prefill and not content and message["role"] == "assistant"
        ends = index + 1 == len(messages) and bool(kept) and kept[-1]["role"] != "assistant"
        if full or (to_be_begun and ends):
            kept.append(message if full is content else {**message, "content": full})
    return kept


def _full_content(content: str | Blocks) -> str | Blocks:
    """The same object if nothing is blank."""
    if isinstance(content, str):
        return content if content.strip() else ""
    if not any(map(_holds_blank, content)):
        return content
    return [_full_result(block) for block in content if not is_blank_text(block)]


def _holds_blank(block: JsonObject) -> bool:
    kind = block.get("type")
    if kind == "text":
        return is_blank_text(block)
    return kind == "tool_result" and _full_result(block) is not block


def _full_result(block: JsonObject) -> JsonObject:
    content = block.get("content")
    if block.get("type") != "tool_result" or not isinstance(content, list):
        return block
    full = [part for part in content if not (isinstance(part, dict) and is_blank_text(part))]
    if len(full) == len(content):
        return block
    result = {key: value for key, value in block.items() if key != "content"}
    return {**result, "content": full} if full else result


def _with_end(messages: Messages, request: JsonObject, model: Model, notes: list[str]) -> Messages:
    """Only older models continue a prefilled response, and none does with a requested output format."""
    last = messages[-1]
    if last["role"] != "assistant" or _is_paused(last):
        return messages
    config = request.get("output_config")
    if not model.prefill or (isinstance(config, dict) and config.get("format")):
        notes.append("messages: the conversation ended with the assistant; a user turn was added")
        return [*messages, _user(CONTINUE)]
    trimmed = _right_trimmed(last)
    if trimmed is not last:
        notes.append(f"messages[{len(messages) - 1}]: white space at the end was left out")
    return [*messages[:-1], trimmed]


def _right_trimmed(message: JsonObject) -> JsonObject:
    """Anthropic rejects a prefilled response that ends in white space."""
    if not message["content"]:
        return message
    *head, end = blocks_of(message["content"])
    text = end.get("text")
    if end.get("type") != "text" or not isinstance(text, str) or text == text.rstrip():
        return message
    return {**message, "content": [*head, {**end, "text": text.rstrip()}]}


def _is_paused(message: JsonObject) -> bool:
    """Whether an assistant turn ends as one that was paused while a server tool ran: it may be the last message."""
    last = (blocks_of(message["content"]) or [{}])[-1]
    return (
        is_server_call(last)
        or is_server_result(last)
        or last.get("type") in ("container_upload", "compaction")
    )


def _user(text: str) -> JsonObject:
    return {"role": "user", "content": [text_block(text)]}
