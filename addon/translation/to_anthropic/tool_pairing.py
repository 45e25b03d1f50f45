"""Pairs tool calls with their results as Anthropic requires.

Invariant: every tool_use of an assistant turn has exactly one tool_result at the start of the next user turn, and every
tool_result has its tool_use there; ids are legal and distinct. Anthropic rejects anything else with a 400.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from itertools import groupby

from addon.claude.blocks import blocks_of
from addon.core.types import JsonObject
from addon.translation.to_anthropic.content import Blocks, text_block
from addon.translation.to_anthropic.tools import is_legal_id, legal_id

type Messages = list[JsonObject]

NO_RESULT = "No result was returned for this call."
_SHOWN = ("image", "document", "search_result")
"""Blocks of a tool result that a user message may contain, too."""


class Pairing:
    """Pairs the calls of one history, turn by turn. Earlier turns never depend on later ones, so the cache stays
    valid."""

    def __init__(self, *, keep_valid: bool) -> None:
        """`keep_valid`: turns that Anthropic accepts stay unchanged. Otherwise results are put in the order of the
        calls, and an id that is used again in a later turn gets a suffix, so that it is unique."""
        self.notes: list[str] = []
        self._keep_valid = keep_valid
        self._taken: set[str] = set()
        self._last_suffix: dict[str, int] = {}
        self._turn = 0

    def pair(self, messages: Messages) -> Messages:
        """`messages`: valid except for pairing (`content` is a string or a list of objects). They are not modified."""
        paired: Messages = []
        calling: Messages = []
        for role, group in groupby(messages, lambda message: message["role"]):
            run = list(group)
            if role == "assistant":
                calling = run
                continue
            paired += self._pair_turn(calling, run if role == "user" else [])
            paired += run if role == "system" else []
            calling = []
        return paired + self._pair_turn(calling, [])

    def _pair_turn(self, calling: Messages, answering: Messages) -> Messages:
        self._turn += 1
        calls = _blocks(calling, "tool_use")
        results = _blocks(answering, "tool_result")
        if not calls and not results:
            return calling + answering
        if self._keep_valid:
            self._taken.clear()
            if _is_valid(calls, results, answering):
                return calling + answering
            self._note("ids or positions of tool calls and results were corrected")
        ids = [self._new_id(call.get("id"), index) for index, call in enumerate(calls)]
        if _is_paired(calls, ids, answering):
            return calling + answering
        answer = self._answer(calls, ids, answering)
        return [*_renamed(calling, ids), {"role": "user", "content": answer}]

    def _answer(self, calls: Blocks, ids: list[str], answering: Messages) -> Blocks:
        waiting: dict[str, deque[int]] = defaultdict(deque)
        for index, call in enumerate(calls):
            waiting[_text_id(call.get("id"))].append(index)
        results: dict[int, JsonObject] = {}
        rest: Blocks = []
        for block in _blocks(answering):
            if block.get("type") != "tool_result":
                rest.append(block)
                continue
            open_calls = waiting.get(_text_id(block.get("tool_use_id")))
            if open_calls is None:
                self._note("tool_result without a call became text")
                rest += _as_text(block)
                continue
            index = open_calls.popleft() if len(open_calls) > 1 else open_calls[0]
            if index in results:
                self._note("a second tool_result for one call replaced the first")
            results[index] = block
        return [
            self._result(results.get(index), call_id) for index, call_id in enumerate(ids)
        ] + rest

    def _result(self, block: JsonObject | None, call_id: str) -> JsonObject:
        if block is None:
            self._note("an error result was added for a call without a result")
            return {
                "type": "tool_result",
                "tool_use_id": call_id,
                "is_error": True,
                "content": NO_RESULT,
            }
        return block if block.get("tool_use_id") == call_id else {**block, "tool_use_id": call_id}

    def _new_id(self, given: object, index: int) -> str:
        fresh = legal_id(_text_id(given)) or f"call_{self._turn}_{index}"
        stem = fresh[:56]
        while fresh in self._taken:
            self._last_suffix[stem] = self._last_suffix.get(stem, 1) + 1
            fresh = f"{stem}_{self._last_suffix[stem]}"
        self._taken.add(fresh)
        return fresh

    def _note(self, what: str) -> None:
        self.notes.append(f"turn {self._turn}: {what}")


def _blocks(messages: Iterable[JsonObject], kind: str | None = None) -> Blocks:
    blocks: Blocks = []
    for message in messages:
        blocks += blocks_of(message["content"])
    return blocks if kind is None else [block for block in blocks if block.get("type") == kind]


def _is_valid(calls: Blocks, results: Blocks, answering: Messages) -> bool:
    ids = [call.get("id") for call in calls]
    answered = [result.get("tool_use_id") for result in results]
    head = _blocks(answering)[: len(results)]
    return (
        all(map(is_legal_id, ids))
        and all(map(is_legal_id, answered))
        and len(set(ids)) == len(ids) == len(answered)
        and set(ids) == set(answered)
        and all(block.get("type") == "tool_result" for block in head)
    )


def _is_paired(calls: Blocks, ids: list[str], answering: Messages) -> bool:
    """Whether nothing would change: a fast path for the usual turn, at a third of the cost."""
    if len(answering) != 1 or [call.get("id") for call in calls] != ids:
        return False
    blocks = blocks_of(answering[0]["content"])
    results = [block for block in blocks if block.get("type") == "tool_result"]
    is_headed = blocks[: len(results)] == results
    return is_headed and [result.get("tool_use_id") for result in results] == ids


def _renamed(calling: Messages, ids: list[str]) -> Messages:
    """The messages with their calls' ids replaced, in order."""
    new_ids = iter(ids)
    return [
        message
        if isinstance(message["content"], str)
        else {**message, "content": [_with_id(block, new_ids) for block in message["content"]]}
        for message in calling
    ]


def _with_id(block: JsonObject, new_ids: Iterable[str]) -> JsonObject:
    if block.get("type") != "tool_use":
        return block
    call_id = next(iter(new_ids))
    return block if block.get("id") == call_id else {**block, "id": call_id}


def _text_id(value: object) -> str:
    return value if isinstance(value, str) else ""


def _as_text(result: JsonObject) -> Blocks:
    """The content of a result without a call, as text and other blocks: as a tool_result it would be rejected."""
    content = result.get("content")
    parts = content if isinstance(content, list) else []
    texts = (
        [content]
        if isinstance(content, str)
        else [part["text"] for part in parts if _is_text(part)]
    )
    label = f"Tool result for {_text_id(result.get('tool_use_id')) or 'an unnamed call'}: "
    shown = [part for part in parts if isinstance(part, dict) and part.get("type") in _SHOWN]
    return [text_block(label + "\n".join(texts)), *shown]


def _is_text(part: object) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )
