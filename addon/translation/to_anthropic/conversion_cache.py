"""Caches converted messages and tools: a client sends its whole conversation again with each turn.

A message of strings alone is found by comparing it with the last turn's at the same place, any other by a digest.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

ROOM = 8 * 1024 * 1024
"""Bytes: about ten conversations of 200,000 tokens."""
OVERHEAD = 1536
"""Bytes of an entry besides its JSON: measured with calls, which are short and need the most."""
HISTORIES = 4
LONGEST_HISTORY = 1 << 20
"""Characters of its messages that are strings alone."""

# JSON encoders write infinity as null and a lone surrogate as "?", so that different messages would share a key. This
# old marshal version distinguishes all values, and unlike newer ones does not depend on which strings are the same
# object.
_FORM = 2


class History[V](NamedTuple):
    """The messages of a request and what became of them. Both are None for what holds more than strings."""

    messages: list[Any]
    values: list[V | None]
    scope: Hashable = None

    def add(self, message: Any, value: V) -> None:
        flat = _is_flat(message)
        self.messages.append(message if flat else None)
        self.values.append(value if flat else None)

    def shared_with(self, messages: list[Any]) -> History[V]:
        """Its beginning that `messages` has as well. Strings are equal to nothing else."""
        size = 0
        for old, new in zip(self.messages, messages, strict=False):
            if old is not new and (
                _is_flat(new) if old is None else old != new or [*old] != [*new]
            ):
                break
            size += 1
        return History(self.messages[:size], self.values[:size], self.scope)


def _is_flat(message: Any) -> bool:
    return isinstance(message, dict) and all(
        value is None or type(value) is str for value in message.values()
    )


class ConversionCache:
    """Least-recently-used cache of converted JSON, keyed by a digest of all inputs of the conversion.

    Values are shared between requests: a caller must not modify them."""

    def __init__(self, room: int = ROOM) -> None:
        """`room`: bytes of source JSON whose conversions are kept, plus `OVERHEAD` for each."""
        self._room = room
        self._held = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._histories: list[History[Any]] = []
        """The newest first."""

    def recall[V](self, make: Callable[[Any], V], source: Any, scope: Hashable) -> V:
        """`make(source)`, or the result of an earlier call. `source`: decoded JSON; `scope`: everything else that the
        result depends on, including `make`. Exceptions of `make` are raised and not cached."""
        try:
            data = marshal.dumps(source, _FORM)
        except ValueError:  # nested deeper than any request may be
            return make(source)
        key = (scope, sha256(data).digest())
        entry = self._entries.get(key)
        if entry is None:
            entry = make(source), len(data) + OVERHEAD
            self._keep(key, entry)
        else:
            self._entries.move_to_end(key)
        value: V = entry[0]
        return value

    def beginning(self, messages: list[Any], scope: Hashable) -> History[Any]:
        """What an earlier request began with as well: the one that has most in common."""
        candidates = (each for each in self._histories if each.scope == scope)
        shared = (each.shared_with(messages) for each in candidates)
        return max(shared, key=lambda each: len(each.messages), default=History([], [], scope))

    def remember(self, history: History[Any]) -> None:
        """For the next turn, in place of the last one."""
        texts = chain.from_iterable(each.values() for each in history.messages if each)
        if sum(map(len, filter(None, texts))) > LONGEST_HISTORY:
            return
        others = [
            each
            for each in self._histories
            if each.scope != history.scope
            or 2 * len(each.shared_with(history.messages).messages) < len(each.messages)
        ]
        self._histories = [history, *others[: HISTORIES - 1]]

    @property
    def held(self) -> int:
        """Bytes in use, as counted against the room."""
        return self._held

    def _keep(self, key: Hashable, entry: tuple[Any, int]) -> None:
        self._entries[key] = entry
        self._held += entry[1]
        while self._held > self._room:
            _, (_, size) = self._entries.popitem(last=False)
            self._held -= size
