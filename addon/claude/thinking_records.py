"""Keeps the records of `ThinkingStore`, grouped by conversation, within limits of size and age."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from addon.claude.blocks import is_thinking
from addon.claude.digest import canonical, message_digest
from addon.claude.turns import Visible, sendable
from addon.core.frozen import frozen
from addon.core.types import JsonObject

OVERHEAD_BYTES = 512  # of a record without content, roughly


class Scope(NamedTuple):
    """The owner of thinking. Thinking is never shared between two scopes."""

    principal: str
    """The caller, identified by its key."""
    account: str
    """The credential that the request used."""
    model: str


class ConversationKey(NamedTuple):
    """Identifies a conversation, whose records are evicted together."""

    scope: Scope
    first_message: bytes


type Key = tuple[Scope, tuple[str, ...], bytes]


def record_key(scope: Scope, seen: Visible, prefix: bytes) -> Key:
    """The key of a response: its tool ids, which are unique, or its text and prefix."""
    return (scope, seen.tool_ids, b"") if seen.tool_ids else place_key(scope, seen, prefix)


def place_key(scope: Scope, seen: Visible, prefix: bytes) -> Key:
    """The key of a response whose tool ids the client has replaced by its own (agno): its text, calls and prefix."""
    return (scope, (), prefix + seen.digest)


@frozen(kw_only=True)
class StoreLimits:
    """The limits of the memory."""

    total_bytes: int = 256 << 20
    conversation_bytes: int = 8 << 20
    responses: int = 5_000
    """How many responses. Each takes about a kilobyte even without thinking, since it is recorded that there was
    none."""
    ttl_seconds: float = 7200


@dataclass(frozen=True, eq=False, repr=False, slots=True, kw_only=True)
class Record:
    """One response of Claude."""

    key: Key
    place: Key
    """Its `place_key`; the same object as its key if that is one."""
    conversation: ConversationKey
    serial: int
    """Grows with time."""
    since: int
    """Serial of the oldest response whose thinking was in the request for this one; its own serial if there was
    none."""
    visible: bytes
    prefix: bytes
    content: list[JsonObject] | None
    """The complete content, if a part of it is invisible to clients; otherwise None."""
    bare: bytes | None
    """Digest of `content` as a message without its thinking."""
    size: int


def keepable(content: list[JsonObject]) -> tuple[list[JsonObject] | None, bytes | None, int]:
    """The `content`, `bare` and `size` of a record."""
    if all(block.get("type") in ("text", "tool_use") for block in content):
        return None, None, OVERHEAD_BYTES
    kept = sendable(content)
    bare = message_digest({"role": "assistant", "content": kept})
    return kept, bare, OVERHEAD_BYTES + len(canonical(kept))


def without_thinking(content: list[JsonObject]) -> list[JsonObject]:
    """The other blocks of a response."""
    return [block for block in content if not is_thinking(block)]


@dataclass(eq=False, repr=False, slots=True)
class _Group:
    records: dict[Key, Record] = field(default_factory=dict)
    size: int = 0
    used: float = 0.0


class Records:
    """Records by key. Evicts the oldest response of a conversation, or the least recently used conversation."""

    def __init__(self, clock: Callable[[], float], limits: StoreLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._by_key: dict[Key, Record] = {}
        self._by_place: dict[Key, Record] = {}
        self._groups: OrderedDict[ConversationKey, _Group] = OrderedDict()
        self.size = 0
        self.changes = 0
        """Grows whenever a record comes or goes."""

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, key: Key) -> Record | None:
        return self._by_key.get(key)

    def find_by_place(self, place: Key) -> Record | None:
        return self._by_place.get(place)

    def add(self, record: Record) -> None:
        """Adds `record`, replacing one with the same key, unless it is too big for a conversation."""
        known = self._by_key.get(record.key)
        if known is not None:
            self._remove(known)
        if record.size > self._limits.conversation_bytes:
            return
        group = self._groups.setdefault(record.conversation, _Group())
        while group.size + record.size > self._limits.conversation_bytes:
            self._remove(next(iter(group.records.values())))
        self._groups[record.conversation] = group  # it may have been emptied
        group.records[record.key] = self._by_key[record.key] = record
        if record.place is not record.key:
            self._by_place[record.place] = record
        self.changes += 1
        group.size += record.size
        self.size += record.size
        self.touch([record])
        while self.size > self._limits.total_bytes:
            self._forget(next(iter(self._groups)))
        if len(self._by_key) > self._limits.responses:
            oldest = next(iter(self._groups.values()))
            self._remove(next(iter(oldest.records.values())))

    def touch(self, records: Iterable[Record]) -> None:
        """Marks their conversations as used now."""
        now = self._clock()
        for conversation in dict.fromkeys(record.conversation for record in records):
            self._groups[conversation].used = now
            self._groups.move_to_end(conversation)

    def expire(self) -> None:
        """Removes conversations that were not used for too long."""
        horizon = self._clock() - self._limits.ttl_seconds
        while self._groups:
            oldest, group = next(iter(self._groups.items()))
            if group.used > horizon:
                return
            self._forget(oldest)

    def _forget(self, conversation: ConversationKey) -> None:
        for record in list(self._groups[conversation].records.values()):
            self._remove(record)

    def _remove(self, record: Record) -> None:
        self.changes += 1
        group = self._groups[record.conversation]
        del group.records[record.key], self._by_key[record.key]
        if self._by_place.get(record.place) is record:
            del self._by_place[record.place]
        group.size -= record.size
        self.size -= record.size
        if not group.records:
            del self._groups[record.conversation]
