"""A thread-safe cache of limited size that evicts the least recently used entry."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock


class Lru[K, V]:
    """At most `size` entries; evicts the least recently used one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def many(self, keys: Sequence[K]) -> list[V | None]:
        """The result of `get` for each key."""
        with self._lock:
            found = [self._entries.get(key) for key in keys]
            for key, value in zip(keys, found, strict=True):
                if value is not None:
                    self._entries.move_to_end(key)
            return found

    def first(self, keys: Iterable[K]) -> V | None:
        """The value of the first key that has one."""
        with self._lock:
            key = next((key for key in keys if key in self._entries), None)
        return None if key is None else self.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def items(self) -> Iterator[tuple[K, V]]:
        """A snapshot, the least recently used first."""
        with self._lock:
            return iter(list(self._entries.items()))

    def __len__(self) -> int:
        return len(self._entries)
