"""Stores the thinking of responses and restores it in later requests, for clients that drop it.

Between tool calls Claude continues from its thinking, but clients of OpenAI's APIs send back only text and tool calls.
The store keeps the complete content of each response, in memory only, and restores it by Anthropic's rules:

* only in a turn whose visible part is unchanged, for the same caller, account and model;
* only in an unbroken run of the newest turns: the oldest thinking may be left out, but there may be no gap;
* never thinking that an earlier request has left out: the later responses were generated without it;
* on models with preserved thinking, only after an unchanged prefix (system, tools, earlier messages).

Ids of tool calls that a client has replaced by its own are put back too. Where a client sends thinking itself, only
what stood between it is put back: OpenAI's APIs have no form for the blocks of tools that Anthropic runs.

The third rule needs no record of past requests: a record knows the oldest thinking that its response was generated with
(`since`), and serial numbers grow with time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

from addon.claude.blocks import THINKING, is_thinking
from addon.claude.digest import SIZE, head_digest, message_digest
from addon.claude.model import Model
from addon.claude.thinking_records import (
    ConversationKey,
    Record,
    Records,
    Scope,
    StoreLimits,
    keepable,
    place_key,
    record_key,
    without_thinking,
)
from addon.claude.turns import (
    Visible,
    has_thinking,
    in_tool_loop,
    loop_start,
    visible,
    with_call_ids,
)
from addon.core.frozen import frozen
from addon.core.lru import Lru
from addon.core.types import JsonObject

TURNS_REMEMBERED = 10_000
"""How many turns the visible part is cached for: about 3 MB."""

_SHOWN = ("text", "tool_use", *THINKING)
"""Blocks that OpenAI's APIs have a form for."""
_NONE_KNOWN: Mapping[int, bytes] = MappingProxyType({})


class Position(NamedTuple):
    """The position of a request in its conversation."""

    prefix: bytes
    """Digest of the whole request, as the prefix of its response."""
    since: int | None
    """Serial of the oldest response whose thinking it contains."""


class Restored(NamedTuple):
    """The result of `restore`."""

    request: JsonObject
    thinking_off: bool = False
    """Thinking was turned off for this request: with a budget, a tool loop needs blocks that are lost."""
    position: Position | None = None
    """For `record`, if only `cache_control` is changed before the request is sent."""


class _Turn(NamedTuple):
    position: int
    prefix: bytes
    record: Record | None


class _Survey(NamedTuple):
    """What is known of a request."""

    turns: list[_Turn]
    """Its assistant turns."""
    prefix: bytes
    """Digest of the whole request. The digest of a turn with a record is that of its recorded content, which is what
    is sent."""
    messages: list[JsonObject]
    """With the ids of tool calls as Claude wrote them."""


class ThinkingStore:
    """In memory, of limited size. Not thread-safe. Its content must not be logged."""

    def __init__(self, clock: Callable[[], float], limits: StoreLimits | None = None) -> None:
        """`clock`: monotonic seconds."""
        self._records = Records(clock, limits or StoreLimits())
        self._serial = 0
        self._visible: Lru[bytes, Visible] = Lru(TURNS_REMEMBERED)
        self._last_survey: tuple[object, _Survey] = (None, _Survey([], b"", []))
        """A request is previewed before it is sent. Without its messages."""

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self._records.size

    def __len__(self) -> int:
        return len(self._records)

    def record(
        self,
        scope: Scope,
        request: JsonObject,
        message: JsonObject,
        position: Position | None = None,
    ) -> None:
        """Stores a response. `request`: the body as it was sent; `message`: the complete Message; `position`: the one
        that `restore` returned with that request, so that the request need not be read again."""
        content = message.get("content")
        if not content:
            return
        self._records.expire()
        prefix, since = position or self._position(scope, request)
        seen = visible(content)
        key = record_key(scope, seen, prefix)
        place = place_key(scope, seen, prefix) if seen.tool_ids else key
        known = self._records.find(key)
        if known and (known.visible, known.prefix) == (seen.digest, prefix):
            return  # the same response again: later responses were generated with the first one
        if message.get("input_transformations"):
            since = None  # Anthropic dropped blocks: this response was generated without them
        self._serial += 1
        kept, bare, size = keepable(content)
        record = Record(
            key=key,
            place=place,
            conversation=ConversationKey(scope, message_digest(request["messages"][0])),
            serial=self._serial,
            since=since or self._serial,
            visible=seen.digest,
            prefix=prefix,
            content=kept,
            bare=bare,
            size=size,
        )
        self._records.add(record)

    def restore(
        self,
        scope: Scope,
        request: JsonObject,
        model: Model,
        known: Mapping[int, bytes] = _NONE_KNOWN,
    ) -> Restored:
        """`request`, which is otherwise ready to be sent, with the thinking that may be restored. If the client sends
        thinking itself, nothing is restored. `request` is not changed; the result shares its unchanged messages.

        `known`: `message_digest`s that were computed before, by `id()` of the message, which must still exist."""
        self._records.expire()
        turns, prefix, messages = self._survey(scope, request, known)
        if messages is not request.get("messages"):
            request = {**request, "messages": messages}
        self._records.touch(turn.record for turn in turns if turn.record)
        if any(has_thinking(messages[turn.position]) for turn in turns):
            position = Position(prefix, _carried_since(messages, turns))
            return Restored(_with_hidden_blocks(request, turns), position=position)
        run = _newest_run(turns, model) if _thinks(request, model) else []
        off = _demands_lost_blocks(request, turns, run)
        if off:
            run = []
        result = {**request, "messages": _restored(messages, turns, run)}
        if off:
            del result["thinking"]
        return Restored(
            result,
            thinking_off=off,
            position=Position(prefix, run[0].serial if run else None),
        )

    def _position(self, scope: Scope, request: JsonObject) -> Position:
        turns, prefix, messages = self._survey(scope, request)
        return Position(prefix, _carried_since(messages, turns))

    def _survey(
        self, scope: Scope, request: JsonObject, known: Mapping[int, bytes] = _NONE_KNOWN
    ) -> _Survey:
        messages: list[JsonObject] = request.get("messages") or []
        digests = [known.get(id(message)) or message_digest(message) for message in messages]
        head = head_digest(request)
        asked = (scope, head, digests, self._records.changes)
        if self._last_survey[0] == asked:
            return self._last_survey[1]._replace(messages=messages)
        hasher = blake2b(head, digest_size=SIZE)
        turns: list[_Turn] = []
        ids: dict[str, str] = {}
        for index, given in enumerate(messages):
            message, bare = given, None
            if message.get("role") == "assistant":
                seen = self._seen(message, digests[index])
                turns.append(self._turn(scope, index, message, seen, hasher.digest()))
                record = turns[-1].record
                bare = record.bare if record else None
                theirs = record.key[1] if record else seen.tool_ids
                ids |= {a: b for a, b in zip(seen.tool_ids, theirs, strict=True) if a != b}
            message = with_call_ids(message, ids)
            if message is not given:
                messages = [*messages[:index], message, *messages[index + 1 :]]
            own = digests[index] if message is given else message_digest(message)
            hasher.update(bare or own)
        survey = _Survey(turns, hasher.digest(), messages)
        if not ids:
            self._last_survey = asked, survey._replace(messages=[])
        return survey

    def _seen(self, message: JsonObject, digest: bytes) -> Visible:
        """The visible part of a message; cached by its digest, since each request contains all turns again."""
        found = self._visible.get(digest)
        if found is None:
            found = visible(message.get("content"))
            self._visible.put(digest, found)
        return found

    def _turn(
        self, scope: Scope, index: int, message: JsonObject, seen: Visible, prefix: bytes
    ) -> _Turn:
        record = self._records.find(record_key(scope, seen, prefix))
        if record is None and seen.tool_ids and not any(map(_is_claudes, seen.tool_ids)):
            record = self._records.find_by_place(place_key(scope, seen, prefix))
        if record and (record.visible != seen.digest or _has_more(message, record)):
            record = None
        return _Turn(index, prefix, record)


def _has_more(message: JsonObject, record: Record) -> bool:
    """Whether a client's turn has what the recorded one lacks, of server tools for instance: it would be lost."""
    given = message.get("content")
    if record.content is None or not isinstance(given, list):
        return False
    hidden = {_hidden(b) for b in given if not isinstance(b, dict) or b.get("type") not in _SHOWN}
    return bool(hidden) and not hidden <= set(map(_hidden, record.content))


def _hidden(block: Any) -> tuple[str, str]:
    if not isinstance(block, dict):
        return "", repr(block)
    return str(block.get("type")), str(block.get("id") or block.get("tool_use_id"))


def _is_claudes(tool_id: str) -> bool:
    return tool_id.startswith("toolu_")


def _thinks(request: JsonObject, model: Model) -> bool:
    thinking = request.get("thinking")
    if not isinstance(thinking, dict):
        return model.thinking_default
    return thinking.get("type") != "disabled"


def _newest_run(turns: list[_Turn], model: Model) -> list[Record]:
    """The records of the newest turns that may be restored, oldest first. Also for models that only read the thinking
    of the current tool loop: Anthropic ignores the other blocks, does not bill them, and recommends sending all (docs,
    extended thinking, "Preserving thinking blocks"). So no required block is missing."""
    run: list[Record] = []
    since = 0
    for turn in reversed(turns):
        record = turn.record
        if record is None or record.serial < since:
            break
        if model.preserved_thinking and record.prefix != turn.prefix:
            break
        if run and record.serial >= run[-1].serial:
            break  # recorded later than the next turn: another branch, or a lost record that was sent again
        since = max(since, record.since)
        run.append(record)
    return run[::-1]


def _demands_lost_blocks(request: JsonObject, turns: list[_Turn], run: list[Record]) -> bool:
    """With a budget, Anthropic rejects a tool loop that does not begin with thinking ("Expected `thinking`…")."""
    messages = request.get("messages") or []
    if (request.get("thinking") or {}).get("type") != "enabled" or not in_tool_loop(messages):
        return False
    start = loop_start(messages)
    loop = sum(1 for turn in turns if turn.position > start)
    if loop > len(run):
        return True
    content = run[-loop].content if loop else None
    return not (content and is_thinking(content[0]))


def _restored(
    messages: list[JsonObject], turns: list[_Turn], run: list[Record]
) -> list[JsonObject]:
    result = list(messages)
    oldest_restored = len(turns) - len(run)
    for number, turn in enumerate(turns):
        if turn.record is None or turn.record.content is None:
            continue
        content = turn.record.content
        if number < oldest_restored:
            content = without_thinking(content)
        if content:
            result[turn.position] = {**messages[turn.position], "content": content}
    return result


def _with_hidden_blocks(request: JsonObject, turns: list[_Turn]) -> JsonObject:
    """`request` with the recorded content where the client has sent the same thinking, or none, but not the rest."""
    messages = list(request["messages"])
    for turn in turns:
        content = turn.record.content if turn.record else None
        if not content or all(block.get("type") in _SHOWN for block in content):
            continue
        message = messages[turn.position]
        given = [block for block in message["content"] if is_thinking(block)]
        if not given:
            content = without_thinking(content)
        if given == [block for block in content if is_thinking(block)]:
            messages[turn.position] = {**message, "content": content}
    return {**request, "messages": messages}


def _carried_since(messages: list[JsonObject], turns: list[_Turn]) -> int | None:
    """Serial of the oldest response in the unbroken run of the newest turns that contain their thinking."""
    since = None
    for turn in reversed(turns):
        record = turn.record
        if record is None or (_thought(record) and not has_thinking(messages[turn.position])):
            break
        since = record.serial
    return since


def _thought(record: Record) -> bool:
    return any(is_thinking(block) for block in record.content or ())


@frozen
class ThinkingTicket:
    """What is needed to record the response to an attempt."""

    scope: Scope
    request: JsonObject = field(repr=False)
    """As it was sent, but for marks of the cache and for fields that its account is refused."""
    position: Position | None = None
    """If it is known."""
