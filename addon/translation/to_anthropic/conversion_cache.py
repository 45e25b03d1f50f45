"""Caches converted messages and tools: a client sends its whole conversation again with each turn."""

from __future__ import annotations

import marshal
from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import sha256
from typing import Any

ROOM = 8 * 1024 * 1024
"""Bytes: about ten conversations of 200,000 tokens."""
OVERHEAD = 1536
"""Bytes of an entry besides its JSON: measured with calls, which are short and need the most."""

# JSON encoders write infinity as null and a lone surrogate as "?", so that different messages would share a key. This
# old marshal version distinguishes all values, and unlike newer ones does not depend on which strings are the same
# object.
_FORM = 2


class ConversionCache:
    """Least-recently-used cache of converted JSON, keyed by a digest of all inputs of the conversion.

    Values are shared between requests: a caller must not modify them."""

    def __init__(self, room: int = ROOM) -> None:
        """`room`: bytes of source JSON whose conversions are kept, plus `OVERHEAD` for each."""
        self._room = room
        self._held = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

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
