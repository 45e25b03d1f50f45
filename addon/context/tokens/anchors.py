"""True counts of prefixes that were answered: what was added since is the only part left to estimate."""

from __future__ import annotations

from typing import Any, NamedTuple

from addon.claude.digest import Fingerprint
from addon.core.lru import Lru


class Anchor(NamedTuple):
    """What a prefix really cost, and what it was counted as here."""

    total: int
    text: int
    fixed: int


class Found(NamedTuple):
    anchor: Anchor
    exact: bool
    """Tools and system are the same too, not just the messages."""


class Anchors:
    """The newest 512 answered prefixes (hashes and integers only)."""

    def __init__(self, size: int = 512) -> None:
        self._anchors: Lru[bytes, Anchor] = Lru(2 * size)

    def put(self, prints: Fingerprint, family: str, anchor: Anchor) -> None:
        """Remember what a whole request cost; `family`: the tokenizer that counted it."""
        self._anchors.put(_whole(prints, family) + prints.names[-1], anchor)
        self._anchors.put(_bare(family) + prints.names[-1], anchor)

    def find(self, prints: Fingerprint, family: str) -> Found | None:
        """The longest known prefix; one under other tools or another system when there is none under these."""
        if anchor := self._longest(_whole(prints, family), prints.names):
            return Found(anchor, exact=True)
        if anchor := self._longest(_bare(family), prints.names):
            return Found(anchor, exact=False)
        return None

    def _longest(self, head: bytes, names: list[bytes]) -> Anchor | None:
        return self._anchors.first(head + name for name in names[:0:-1])

    def dump(self) -> list[list[Any]]:
        return [[name.hex(), *anchor] for name, anchor in self._anchors.items()]

    def load(self, rows: list[Any]) -> None:
        """Take up what `dump` gave; raises ValueError or TypeError for anything else."""
        for name, total, text, fixed in rows:
            self._anchors.put(bytes.fromhex(name), Anchor(int(total), int(text), int(fixed)))


def _whole(prints: Fingerprint, family: str) -> bytes:
    """What an anchor's key begins with; the name of the messages follows."""
    return family.encode() + prints.system + prints.tools


def _bare(family: str) -> bytes:
    return family.encode()
