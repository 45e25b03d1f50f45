"""Converts a Chat Completions history to Anthropic messages: each message to a turn, and the turns to messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from addon.core.errors import BadRequest
from addon.core.frozen import frozen
from addon.core.types import JsonObject
from addon.translation.decisions import ignored_in
from addon.translation.sealed_thinking import THINKING, is_complete_thinking
from addon.translation.to_anthropic.cache_marks import native_mark
from addon.translation.to_anthropic.content import (
    TEXT_PARTS,
    USER_PARTS,
    Blocks,
    Converter,
    Role,
    Turn,
    content_blocks,
    result_block,
    text_block,
)
from addon.translation.to_anthropic.conversion_cache import ConversionCache
from addon.translation.to_anthropic.fields import Fields, expect_object, located, sanitized, within
from addon.translation.to_anthropic.tool_arguments import RAW, parse_arguments
from addon.translation.to_anthropic.tools import Toolbox

LEGACY_CALL_ID = "call_fn"
"""The id of a call made with the deprecated `function_call`, which has none. Tool pairing makes repeated ones
unique."""
SERVER_TOOL_RESULTS = (
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "advisor_tool_result",
    "mcp_tool_result",
)
TAGGED_THINKING = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)
"""As pydantic-ai sends thinking back to models that it does not know, without its signature."""
MOST_LEFT_OUT = 100
"""Parts of one message: each costs a conversion of the others."""
_STEP = re.compile(r"[^.\[\]]+")
OPENING = "Begin."
"""The first user turn where the client sent none: Anthropic requires one, and rejects empty text."""


@frozen
class AssembledMessages:
    system: Blocks
    messages: list[JsonObject]
    """Adjacent turns of one role are merged; system messages may be among them, where the client put them."""
    notes: list[str]
    ignored: list[str]
    left_out: list[str]


def convert_turns(
    messages: Iterable[Any],
    convert: Callable[[Any, Toolbox], Turn],
    tools: Toolbox,
    field: str,
    cache: ConversionCache,
) -> list[Turn]:
    """Converts each message by itself, so that results can be kept in `cache`. What can't be told of the history is
    left out: its client could neither go on nor go back.

    Raises BadRequest with `param` `<field>[i]…` for what is new."""
    scope = (convert, tools.fingerprint())
    turns: list[Turn] = []
    messages = list(messages)
    new = first_new(messages)

    def turn_of(message: Any) -> Turn:
        turn = convert(message, tools)
        ignored = tuple(ignored_in(field, message))
        return turn._replace(ignored=ignored) if ignored else turn

    history = cache.beginning(messages, scope)
    for index, message in enumerate(messages):
        known = history.values[index] if index < len(history.values) else None
        if known is not None:
            turns.append(known)
            continue
        try:
            plain = _is_plain(message)
            turns.append(turn_of(message) if plain else cache.recall(turn_of, message, scope))
        except BadRequest as error:
            if index >= new:
                raise within(f"{field}[{index}]", error) from None
            tell = partial(_told_in_part, turn_of)
            turns.append(cache.recall(tell, message, (scope, _told_in_part)))
            plain = False  # where it is new, it is refused again
        if index >= len(history.values):
            history.add(message if plain else None, turns[-1])
    cache.remember(history)
    return turns


def first_new(messages: list[Any]) -> int:
    """Index of the first message, or item, that the client has not sent before: what follows the last response."""
    last = len(messages) - 1  # an assistant's message there is one for Claude to go on with
    return next((n for n in range(last, 0, -1) if _is_of_model(messages[n - 1])), 0)


def _is_of_model(message: Any) -> bool:
    kind = message.get("type") if isinstance(message, dict) else None
    is_item = isinstance(kind, str) and (kind == "reasoning" or kind.endswith("_call"))
    return is_item or (isinstance(message, dict) and message.get("role") == "assistant")


def _told_in_part(convert: Callable[[Any], Turn], message: Any) -> Turn:
    """The turn of a message without the parts for which `convert` raises BadRequest."""
    left_out: list[str] = []
    notes: list[str] = []
    while len(left_out) < MOST_LEFT_OUT:
        try:
            turn = convert(message)
        except BadRequest as error:
            place = [
                int(step) if step.isdecimal() else step for step in _STEP.findall(error.param or "")
            ]
            message, place = _without_place(message, place)
            left_out.append(".".join(map(str, place)))
            notes.append(f"{error.param or 'it'} was left out: {error.message}")
            if not place:
                break
        else:
            return turn._replace(left_out=tuple(left_out), notes=(*turn.notes, *notes))
    return Turn("user", [], tuple(notes), left_out=("",))


def _without_place(message: Any, place: list[int | str]) -> tuple[Any, list[int | str]]:
    """`message` without the innermost part of a list, or else the field, that `place` leads to; and that part's place,
    [] if there is none."""
    ends = [n for n, step in enumerate(place) if isinstance(step, int)] or [0]
    place = place[: ends[-1] + 1]
    copied = deepcopy(message)
    inner = copied
    try:
        for step in place[:-1]:
            inner = inner[step]
        if place[-2:-1] in (["content"], ["output"]):
            inner[place[-1]] = ""  # left out as well, and the parts after it keep their places
        else:
            del inner[place[-1]]
    except (LookupError, TypeError):
        return message, []
    return copied, place


def assemble(turns: list[Turn], field: str) -> AssembledMessages:
    """Leading system turns become `system`; empty turns are dropped; adjacent turns of one role are merged."""
    notes = [f"{field}[{index}]: {note}" for index, turn in enumerate(turns) for note in turn.notes]
    groups = _joined([(turn.role, turn.blocks) for turn in turns if turn.blocks])
    spoken = [(role, blocks) for role, blocks in groups if not _is_thinking_alone(blocks)]
    groups = groups if len(spoken) == len(groups) else _joined(spoken)
    system = groups.pop(0)[1] if groups and groups[0][0] == "system" else []
    messages = [{"role": role, "content": blocks} for role, blocks in groups]
    return AssembledMessages(
        system,
        messages or [{"role": "user", "content": [text_block(OPENING)]}],
        notes,
        [name for turn in turns for name in turn.ignored],
        [f"{field}.{n}.{at}".rstrip(".") for n, turn in enumerate(turns) for at in turn.left_out],
    )


def message_turn(message: Any, tools: Toolbox) -> Turn:
    """Pure, and shares no object with `message`. Raises BadRequest with a `param` relative to `message`."""
    message = expect_object(sanitized(message))
    turn, mark = _turn_of(message, tools), native_mark(message.get("cache_control"))
    if mark is None or not turn.blocks or turn.blocks[-1]["type"] in THINKING:
        return turn
    # as LiteLLM's clients write it: the mark of a part, on the message
    return turn._replace(blocks=[*turn.blocks[:-1], {**turn.blocks[-1], "cache_control": mark}])


def _turn_of(message: JsonObject, tools: Toolbox) -> Turn:
    match message.get("role"):
        case "system" | "developer":
            return Turn("system", content_blocks(message.get("content"), TEXT_PARTS, tools))
        case "user":
            blocks = content_blocks(message.get("content"), USER_PARTS, tools, once=True)
            return Turn("user", _with_speaker(message, blocks))
        case "assistant":
            return assistant_turn(message, tools)
        case "tool":
            return _result_turn(message.get("tool_call_id"), message, tools)
        case "function":
            return _result_turn(LEGACY_CALL_ID, message, tools)
        case role:
            raise BadRequest(f"unknown role {str(role)[:80]}", param="role")


def assistant_turn(message: JsonObject, tools: Toolbox) -> Turn:
    """`message`: sanitized, `role: assistant`. Raises BadRequest with a `param` relative to it."""
    given = content_blocks(message.get("content"), ASSISTANT_PARTS, tools)
    blocks = [*_without_tagged_thinking(given[:1]), *given[1:]]
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal.strip() and text_block(refusal) not in blocks:
        blocks.append(text_block(refusal))
    present = {block["id"] for block in blocks if block["type"] == "tool_use"}
    # Cursor mixes dialects: a call that is both a content block and in `tool_calls` is sent once.
    blocks += [
        call for call in _calls(message, tools) if not call["id"] or call["id"] not in present
    ]
    if not any(block["type"] in THINKING for block in blocks):
        blocks = [*_thinking_of(message), *blocks]
    return Turn("assistant", blocks, raw_notes(blocks))


def call_block(
    call_id: Any, name: Any, arguments: Any, tools: Toolbox, namespace: Any = None
) -> JsonObject:
    """A tool_use. A missing id is "" until calls and results are paired."""
    if not isinstance(name, str) or not name:
        raise BadRequest("expected the name of the tool", param="name")
    upstream = tools.upstream_name(name, namespace if isinstance(namespace, str) else None)
    return {
        "type": "tool_use",
        "id": call_id if isinstance(call_id, str) else "",
        "name": upstream,
        "input": parse_arguments(arguments, tools.replies.get(upstream)),
    }


def custom_call_block(
    call_id: Any, name: Any, text: Any, tools: Toolbox, namespace: Any = None
) -> JsonObject:
    """A call of a custom tool: raw text, wrapped as in the tool's definition even if it is no longer declared."""
    block = call_block(call_id, name, None, tools, namespace)
    block["input"] = {"input": text if isinstance(text, str) else ""}
    return block


def raw_notes(blocks: Blocks) -> tuple[str, ...]:
    return tuple(
        f"arguments of {block['name']} are not a JSON object; passed on as {RAW}"
        for block in blocks
        if block["type"] == "tool_use" and block["input"].keys() == {RAW}
    )


def _with_speaker(message: JsonObject, blocks: Blocks) -> Blocks:
    """OpenAI's `name` tells participants of the same role apart. Anthropic has no field for that."""
    name = message.get("name")
    if not isinstance(name, str) or not name.strip() or not blocks:
        return blocks
    return blocks if blocks[0]["type"] == "tool_result" else [text_block(f"{name}:\n"), *blocks]


def _is_plain(message: Any) -> bool:
    """Whether converting `message` is faster than computing its digest."""
    if not isinstance(message, dict) or "tool_calls" in message:
        return False
    return isinstance(message.get("content"), str) or isinstance(message.get("output"), str)


def _joined(turns: list[tuple[Role, Blocks]]) -> list[tuple[Role, Blocks]]:
    return [
        (role, [block for _, blocks in group for block in blocks])
        for role, group in groupby(turns, itemgetter(0))
    ]


def _is_thinking_alone(blocks: Blocks) -> bool:
    """Such a turn can't be sent: Anthropic rejects an assistant turn that ends with thinking."""
    return blocks[-1]["type"] in THINKING and all(block["type"] in THINKING for block in blocks)


def _result_turn(call_id: Any, message: JsonObject, tools: Toolbox) -> Turn:
    return Turn("user", [result_block(call_id, message.get("content"), tools)])


def _calls(message: JsonObject, tools: Toolbox) -> Iterator[JsonObject]:
    calls = Fields(message).items("tool_calls") or []
    for index, call in enumerate(calls):
        with located(f"tool_calls[{index}]"):
            yield _call(expect_object(call), tools)
    legacy = Fields(message).mapping("function_call")
    if legacy is not None and legacy not in [call.get("function") for call in calls]:
        with located("function_call"):
            yield call_block(LEGACY_CALL_ID, legacy.get("name"), legacy.get("arguments"), tools)


def _call(call: JsonObject, tools: Toolbox) -> JsonObject:
    fields = Fields(call)
    if "custom" in fields:
        with located("custom"):
            custom = expect_object(call["custom"])
            return custom_call_block(call.get("id"), custom.get("name"), custom.get("input"), tools)
    function = fields.mapping("function") or {}
    with located("function"):
        return call_block(call.get("id"), function.get("name"), function.get("arguments"), tools)


def _inline_call(part: JsonObject, tools: Toolbox) -> JsonObject:
    block = call_block(part.get("id"), part.get("name"), part.get("input"), tools)
    return block | {name: part[name] for name in ("caller", "toolset_name") if part.get(name)}


def _refusal_part(part: JsonObject, tools: Toolbox) -> JsonObject | None:
    refusal = part.get("refusal")
    return text_block(refusal) if isinstance(refusal, str) and refusal.strip() else None


def _as_it_is(part: JsonObject, tools: Toolbox) -> JsonObject:
    return {name: value for name, value in part.items() if name != "cache_control"}


def _complete_thinking(part: JsonObject, tools: Toolbox) -> JsonObject | None:
    return part if is_complete_thinking(part) else None


def _without_tagged_thinking(blocks: Blocks) -> Blocks:
    tagged = TAGGED_THINKING.match(blocks[0].get("text", "")) if blocks else None
    if tagged is None:
        return blocks
    text = blocks[0]["text"][tagged.end() :]
    return [{**blocks[0], "text": text}] if text else []


def _thinking_of(message: JsonObject) -> Blocks:
    """Thinking that a client sends back: LiteLLM's `thinking_blocks` or OpenRouter's `reasoning_details`. All or none:
    Anthropic rejects a turn with part of its thinking."""
    for name, read in (
        ("thinking_blocks", _litellm_block),
        ("reasoning_details", _openrouter_block),
    ):
        given = message.get(name)
        if isinstance(given, list) and given:
            blocks = [read(block) for block in given if isinstance(block, dict)]
            return blocks if all(map(is_complete_thinking, blocks)) else []
    return []


def _litellm_block(block: JsonObject) -> JsonObject:
    names = ("type", "thinking", "signature", "data")
    return {name: block[name] for name in names if block.get(name) is not None}


def _openrouter_block(detail: JsonObject) -> JsonObject:
    if not str(detail.get("format", "")).startswith("anthropic"):
        return {}  # another vendor's reasoning: not valid for Claude
    if detail.get("type") == "reasoning.encrypted":
        return {"type": "redacted_thinking", "data": detail.get("data")}
    return {
        "type": "thinking",
        "thinking": detail.get("text") or "",
        "signature": detail.get("signature"),
    }


ASSISTANT_PARTS: dict[str, Converter] = {
    **TEXT_PARTS,
    "refusal": _refusal_part,
    "tool_use": _inline_call,
    **dict.fromkeys(THINKING, _complete_thinking),
    **dict.fromkeys(("server_tool_use", "mcp_tool_use", *SERVER_TOOL_RESULTS), _as_it_is),
}
