"""What was converted for earlier requests: a client sends its whole conversation again with each turn."""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import sha256
from typing import Any

ROOM = 32 * 1024 * 1024
"""Bytes, about forty conversations of 200,000 tokens."""
OVERHEAD = 1024
"""Bytes that an entry takes beside its text."""

# JSON writers make infinity null and half an emoji a "?": two messages would be one. This old form of Python's own
# tells all values apart, and unlike the newer ones does not depend on which strings happen to be the same object.
_FORM = 2


class ConversionCache:
    """Converted JSON, found again by a digest of all that it was made from; what was unused for longest goes first.

    Its values are shared between requests: whoever gets one never changes it."""

    def __init__(self, room: int = ROOM) -> None:
        """`room`: bytes of JSON whose conversions are kept, each counted with `OVERHEAD`."""
        self._room = room
        self._held = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def recall[V](self, make: Callable[[Any], V], source: Any, scope: Hashable) -> V:
        """`make(source)`, or what it gave before. `source`: decoded JSON; `scope`: what else the value depends on,
        `make` itself included. What `make` raises is raised, and not kept."""
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

    @property
    def held(self) -> int:
        """Bytes, as they count against the room."""
        return self._held

    def _keep(self, key: Hashable, entry: tuple[Any, int]) -> None:
        self._entries[key] = entry
        self._held += entry[1]
        while self._held > self._room:
            _, (_, size) = self._entries.popitem(last=False)
            self._held -= size
