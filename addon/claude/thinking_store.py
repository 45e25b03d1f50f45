"""Thinking that clients throw away, kept and put back.

Between tool calls Claude goes on from its own thinking, but clients that speak OpenAI send back only text and calls.
The store keeps the complete content of each answer, in memory only, and puts it back under Anthropic's rules:

* only into a turn whose visible part is unchanged, for the same caller, account and model;
* only an unbroken run of the newest turns: leaving out the oldest thinking is allowed, a hole is not;
* never thinking that an earlier request had left out: what came after was thought without it;
* on models with preserved thinking, only after an unchanged prefix (system, tools, earlier messages).

The third rule needs no memory of past requests: a record knows the oldest thinking that its answer was given with
(`since`), and serial numbers grow with time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import NamedTuple

from addon.claude.blocks import is_thinking
from addon.claude.digest import SIZE, head_digest, message_digest
from addon.claude.model import Model
from addon.claude.thinking_records import (
    ConversationKey,
    Record,
    Records,
    Scope,
    StoreLimits,
    keepable,
    record_key,
    without_thinking,
)
from addon.claude.turns import (
    Visible,
    has_thinking,
    in_tool_loop,
    loop_start,
    visible,
)
from addon.core.lru import Lru
from addon.core.types import JsonObject

TURNS_REMEMBERED = 10_000
"""Of which is known what is visible: about 3 MB."""

_NONE_KNOWN: Mapping[int, bytes] = MappingProxyType({})


class Position(NamedTuple):
    """Where in its conversation a request stands."""

    prefix: bytes
    """Digest of the whole request, as the prefix of its answer."""
    since: int | None
    """Serial of the oldest answer whose thinking it carries."""


class Restored(NamedTuple):
    """What `restore` did."""

    request: JsonObject
    thinking_off: bool = False
    """Thinking was turned off for this request: a budget inside a tool loop demands blocks that are lost."""
    mark: Position | None = None
    """For `record`, if nothing but `cache_control` is changed before the request is sent."""


class _Turn(NamedTuple):
    position: int
    prefix: bytes
    record: Record | None


class ThinkingStore:
    """In memory, bounded. Not thread-safe. Nothing of it may be logged."""

    def __init__(self, clock: Callable[[], float], limits: StoreLimits | None = None) -> None:
        """`clock`: seconds that never go back."""
        self._records = Records(clock, limits or StoreLimits())
        self._serial = 0
        self._visible: Lru[bytes, Visible] = Lru(TURNS_REMEMBERED)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._records.size

    def __len__(self) -> int:
        return len(self._records)

    def record(
        self, scope: Scope, request: JsonObject, message: JsonObject, mark: Position | None = None
    ) -> None:
        """Keeps an answer. `request`: the body as it was sent; `message`: the complete Message; `mark`: what
        `restore` gave with that request (saves reading the request again)."""
        content = message.get("content")
        if not content:
            return
        self._records.expire()
        prefix, since = mark or self._mark(scope, request)
        seen = visible(content)
        key = record_key(scope, seen, prefix)
        known = self._records.find(key)
        if known and (known.visible, known.prefix) == (seen.digest, prefix):
            return  # the same answer once more; what follows the first one was thought with the first one
        if message.get("input_transformations"):
            since = None  # Anthropic dropped blocks: this answer was given without them
        self._serial += 1
        kept, bare, size = keepable(content)
        record = Record(
            key=key,
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
        """`request`, otherwise ready to be sent, with the thinking that may be put back. The history of a client that
        sends thinking itself is left alone. Nothing in `request` is changed; unchanged messages are shared.

        `known`: `message_digest`s that were made before, by the `id` of the message (which has to be alive)."""
        self._records.expire()
        messages = request.get("messages") or []
        turns, prefix = self._survey(scope, request, known)
        if any(has_thinking(messages[turn.position]) for turn in turns):
            return Restored(request, mark=Position(prefix, _carried_since(messages, turns)))
        self._records.touch(turn.record for turn in turns if turn.record)
        run = _newest_run(turns, model) if _thinks(request, model) else []
        off = _demands_lost_blocks(request, turns, run)
        if off:
            run = []
        result = {**request, "messages": _put_back(messages, turns, run)}
        if off:
            del result["thinking"]
        return Restored(
            result,
            thinking_off=off,
            mark=Position(prefix, run[0].serial if run else None),
        )

    def _mark(self, scope: Scope, request: JsonObject) -> Position:
        turns, prefix = self._survey(scope, request)
        return Position(prefix, _carried_since(request["messages"], turns))

    def _survey(
        self, scope: Scope, request: JsonObject, known: Mapping[int, bytes] = _NONE_KNOWN
    ) -> tuple[list[_Turn], bytes]:
        """The assistant turns with their prefixes and records, and the digest of the whole request. A turn with a
        record counts as recorded, since that is how it is sent."""
        hasher = blake2b(head_digest(request), digest_size=SIZE)
        turns: list[_Turn] = []
        for index, message in enumerate(request.get("messages") or []):
            bare = None
            if message.get("role") == "assistant":
                seen = self._seen(message, known.get(id(message)))
                turns.append(self._turn(scope, index, seen, hasher.digest()))
                record = turns[-1].record
                bare = record.bare if record else None
            hasher.update(bare or known.get(id(message)) or message_digest(message))
        return turns, hasher.digest()

    def _seen(self, message: JsonObject, known: bytes | None) -> Visible:
        """What is visible of a message; remembered by its digest, since all turns come again with each request."""
        found = self._visible.get(known) if known else None
        if found is None:
            found = visible(message.get("content"))
            if known:
                self._visible.put(known, found)
        return found

    def _turn(self, scope: Scope, index: int, seen: Visible, prefix: bytes) -> _Turn:
        record = self._records.find(record_key(scope, seen, prefix))
        equal = record is not None and record.visible == seen.digest
        return _Turn(index, prefix, record if equal else None)


def _thinks(request: JsonObject, model: Model) -> bool:
    thinking = request.get("thinking")
    if not isinstance(thinking, dict):
        return model.thinking_default
    return thinking.get("type") != "disabled"


def _newest_run(turns: list[_Turn], model: Model) -> list[Record]:
    """Records of the newest turns that may all be restored, oldest first. Also for models that read no more than the
    current tool loop's: Anthropic leaves out what a model doesn't read, bills nothing for it, and suggests to send all
    (docs, extended thinking, "Preserving thinking blocks"). A block that it demands is never missing that way."""
    run: list[Record] = []
    since = 0
    for turn in reversed(turns):
        record = turn.record
        if record is None or record.serial < since:
            break
        if model.preserved_thinking and record.prefix != turn.prefix:
            break
        if run and record.serial >= run[-1].serial:
            break  # recorded after what follows it: another branch, or a lost record that came back
        since = max(since, record.since)
        run.append(record)
    return run[::-1]


def _demands_lost_blocks(request: JsonObject, turns: list[_Turn], run: list[Record]) -> bool:
    """With a budget, Anthropic answers 400 "Expected `thinking`…" to a tool loop that does not begin with thinking."""
    messages = request.get("messages") or []
    if (request.get("thinking") or {}).get("type") != "enabled" or not in_tool_loop(messages):
        return False
    start = loop_start(messages)
    loop = sum(1 for turn in turns if turn.position > start)
    if loop > len(run):
        return True
    content = run[-loop].content if loop else None
    return not (content and is_thinking(content[0]))


def _put_back(
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


def _carried_since(messages: list[JsonObject], turns: list[_Turn]) -> int | None:
    """Serial of the oldest answer in the unbroken run of newest turns that carry their thinking."""
    since = None
    for turn in reversed(turns):
        record = turn.record
        if record is None or (_thought(record) and not has_thinking(messages[turn.position])):
            break
        since = record.serial
    return since


def _thought(record: Record) -> bool:
    return any(is_thinking(block) for block in record.content or ())


@dataclass(frozen=True, slots=True)
class ThinkingTicket:
    """What is needed to remember an attempt's answer."""

    scope: Scope
    mark: Position | None
