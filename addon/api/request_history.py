"""Keeps the last requests and their outcome in memory, compressed, and formats them as text.

What is kept is what was sent, byte for byte: it is read, and secrets in it are hidden, when somebody looks. A client
sends its whole conversation with each turn, so of a turn that has a next one only what differs is kept.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from addon.api.changes import on_the_way, since_last_turn
from addon.api.readable import readable
from addon.claude.pricing import FindModel
from addon.context.anatomy import anatomy
from addon.core.content_encoding import inflate_if_possible
from addon.core.redaction import Hide, decoded, redact, redacted
from addon.core.types import JsonObject
from addon.translation.to_anthropic.native import is_readable

KEPT_HEADERS = ("anthropic-version", "anthropic-beta", "x-claude-code-session-id")
"""Of the client's headers, those that say how its body is meant: it is sent again with them."""
KEPT = 1_000
MOST_BYTES = 12 * 1024 * 1024
"""Of all bodies together, compressed."""
HEAD_BYTES = 2_000
"""What an entry takes beside its bodies, about."""
SMALL, LARGE = 2 * 1024, 32 * 1024
"""Bytes. A small body is kept as it is; a large one is compressed beside the event loop."""
WAITING = 4 * 1024 * 1024
"""Bytes of large bodies that wait for the next turn of their conversation, and are not compressed until then."""
BLOCK = 64 * 1024


class _Kept(NamedTuple):
    data: bytes
    packed: bool = False
    """`data` is compressed."""
    start: int = 0
    newer: Body | None = None
    """Another body, whose first `start` bytes come before `data`."""


class Body:
    """Bytes in little memory."""

    __slots__ = ("_kept",)

    def __init__(self, data: bytes) -> None:
        self._kept = _Kept(data)
        """One value, which another thread replaces."""

    def __len__(self) -> int:
        return len(self._kept.data)

    @property
    def packed(self) -> bool:
        return self._kept.packed

    def pack(self) -> None:
        kept = self._kept
        if not kept.packed:
            self._kept = kept._replace(data=zlib.compress(kept.data, 1), packed=True)

    def follow(self, newer: Body) -> None:
        """Keep what differs from `newer`, if most is the same. `newer` must not be cut from then on."""
        mine, theirs = self._kept, newer._kept
        if self is newer or mine.packed or theirs.packed:
            return self.pack()
        same = _same_beginning(mine.data, theirs.data)
        if same > len(mine.data) // 2:
            self._kept = _Kept(mine.data[same:], start=same, newer=newer)
        self.pack()

    def read(self) -> bytes:
        pieces: list[bytes] = []
        body: Body | None = self
        size = sys.maxsize
        while body is not None:
            kept = body._kept
            if kept.start < size:
                data = zlib.decompress(kept.data) if kept.packed else kept.data
                pieces.append(data[: size - kept.start])
            size, body = min(size, kept.start), kept.newer
        return b"".join(reversed(pieces))

    def cut(self, size: int) -> None:
        """Keep the beginning only; what is left is no JSON any more."""
        self._kept = _Kept(self.read()[:size])


def _same_beginning(a: bytes, b: bytes) -> int:
    """How many bytes."""
    most, same, step = min(len(a), len(b)), 0, BLOCK
    while step:
        while same < most and a[same : same + step] == b[same : same + step]:
            same += step
        step //= 2
    return min(same, most)


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
class Sent:
    """One attempt."""

    head: JsonObject
    """{source, credential, url, headers, outcome, reason, changed}"""
    body: Body


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
class Entry:
    """One request. The head holds everything but the bodies:

    id, flow, time (ms), dialect, model, status, error, notes, ignored, conversation, title, name,
    client {method, path, headers}
    """

    head: JsonObject
    client: Body
    upstream: list[Sent] = field(default_factory=list)
    answer: Body = field(default_factory=lambda: Body(b""))
    counted: int = 0
    """Its bytes as the history has counted them."""

    def bodies(self) -> Iterator[Body]:
        """Each once: a request that is passed on has the client's own body."""
        seen = {
            id(body): body for body in (self.client, *(s.body for s in self.upstream), self.answer)
        }
        yield from seen.values()

    def __len__(self) -> int:
        return HEAD_BYTES + sum(map(len, self.bodies()))

    def asked(self) -> bytes:
        """The client's body without its content encoding; as it is kept, if it was cut or can't be read."""
        headers = self.head["client"].get("headers", ())
        encoding = next((v for n, v in headers if n.lower() == "content-encoding"), "")
        return inflate_if_possible(self.client.read(), encoding)

    def sent(self) -> Any:
        """The body of the last attempt, with whatever secrets are in it; None if nothing was sent."""
        return decoded(self.upstream[-1].body.read()) if self.upstream else None

    def changes(self, before: Entry | None) -> JsonObject:
        """{onTheWay, sinceLastTurn}; `before`: the turn before. Takes a while for a long conversation."""
        sent, native = self.sent(), self.head["dialect"] == "messages"
        changed = self.upstream[-1].head["changed"] if self.upstream else []
        return {
            "onTheWay": on_the_way(decoded(self.asked()), sent, changed, native=native),
            "sinceLastTurn": since_last_turn(before.sent(), sent) if before else None,
        }

    def anatomy(self, find: FindModel) -> JsonObject | None:
        """None if no conversation was sent. `find`: a model by its id. Takes a while for a long conversation."""
        sent, answer = self.sent(), decoded(self.answer.read())
        if not isinstance(sent, dict) or self.head["model"] is None or not is_readable(sent):
            return None
        answer = answer if isinstance(answer, dict) else {}  # there is none, or it was cut
        usage = answer.get("usage") or {}
        return anatomy(sent, find(str(answer.get("model") or self.head["model"])), usage).as_json()

    def shown(self, hide: Hide = redact) -> JsonObject:
        """As JSON, without secrets. Takes a while for a long conversation."""
        head = redacted(self.head, hide)
        client = {**head["client"], "body": _shown_body(self.asked(), hide)}
        upstream = [
            {**redacted(sent.head, hide), "body": _shown_body(sent.body.read(), hide)}
            for sent in self.upstream
        ]
        answer = _shown_body(self.answer.read(), hide) if self.answer else {}
        return {**head, "client": client, "upstream": upstream, "answer": answer}


def _shown_body(body: bytes, hide: Hide) -> Any:
    return redacted(decoded(body), hide)


class RequestHistory:
    """Entries by id, the newest last. The newest is always kept, cut if it must be."""

    def __init__(
        self, kept: int = KEPT, most_bytes: int = MOST_BYTES, waiting: int = WAITING
    ) -> None:
        self.kept = kept
        self.most_bytes = most_bytes
        self.waiting = waiting
        self.hide: Hide = redact
        """What hides the proxy's own secret, too, once it is known."""
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        """What all entries have been counted as."""
        self._waiting: OrderedDict[str, Entry] = OrderedDict()
        """Large ones that are not compressed yet."""
        self._being_packed: dict[str, Entry] = {}
        """Those that were counted before a thread compressed them."""
        self._packer: ThreadPoolExecutor | None = None

    def put(self, entry: Entry) -> None:
        ident = entry.head["id"]
        self._entries[ident] = entry
        bodies = list(entry.bodies())
        for body in bodies:
            if SMALL < len(body) <= LARGE:
                body.pack()
        self._count(entry)
        if self._bytes > self.most_bytes or len(self._entries) > self.kept:
            self._make_room(entry)  # first: what is being compressed can't be cut
        if any(len(body) > LARGE for body in bodies):
            self._wait(ident, entry)

    def _wait(self, ident: str, entry: Entry) -> None:
        """For the next turn of its conversation, as the turn before it does."""
        name = entry.head["conversation"]
        before = next(
            (i for i, e in self._waiting.items() if e.head["conversation"] == name is not None),
            None,
        )
        if before is not None:
            self._pack_beside(before, entry)
        self._waiting[ident] = entry
        size = sum(map(len, self._waiting.values()))
        while size > self.waiting:
            oldest, waiting = next(iter(self._waiting.items()))
            size -= len(waiting)
            self._pack_beside(oldest)

    def _count(self, entry: Entry) -> None:
        size = len(entry)
        self._bytes += size - entry.counted
        entry.counted = size

    def _pack_beside(self, ident: str, next_turn: Entry | None = None) -> None:
        if self._packer is None:
            self._packer = ThreadPoolExecutor(1, "request-history")
        entry = self._being_packed[ident] = self._waiting.pop(ident)
        for body in entry.bodies():
            newer = next_turn and _counterpart(entry, body, next_turn)
            if len(body) > LARGE:
                self._packer.submit(partial(body.follow, newer) if newer else body.pack)

    def _make_room(self, newest: Entry) -> None:
        """Looks at the entries that changed or go, not at all of them: each request comes by here once it is full."""
        for ident, entry in [*self._being_packed.items()]:
            packed = all(body.packed for body in entry.bodies() if len(body) > LARGE)
            self._count(entry)
            if packed:
                del self._being_packed[ident]
        while len(self._entries) > 1 and (
            self._bytes > self.most_bytes or len(self._entries) > self.kept
        ):
            ident, oldest = self._entries.popitem(last=False)
            self._being_packed.pop(ident, None)
            self._waiting.pop(ident, None)
            self._bytes -= oldest.counted
        if self._bytes > self.most_bytes:
            bodies = list(newest.bodies())
            for body in bodies:
                body.cut(self.most_bytes // len(bodies))
            self._count(newest)

    def close(self) -> None:
        packer, self._packer = self._packer, None
        if packer is not None:
            packer.shutdown(wait=True)

    def get(self, ident: str) -> Entry | None:
        return self._entries.get(ident)

    def of_flow(self, flow: str) -> Entry | None:
        """`flow`: mitmproxy's id."""
        return next((e for e in reversed(self._entries.values()) if e.head["flow"] == flow), None)

    def before(self, entry: Entry) -> Entry | None:
        """The turn before it in the same conversation, if that is still kept."""
        earlier = False
        for other in reversed(self._entries.values()):
            if earlier and other.head["conversation"] == entry.head["conversation"] is not None:
                return other
            earlier = earlier or other is entry
        return None

    def conversation(self, entry: Entry) -> list[Entry]:
        """All kept turns of its conversation, the oldest first; itself if it is of none."""
        name = entry.head["conversation"]
        turns = (e for e in self._entries.values() if e.head["conversation"] == name)
        return [entry] if name is None else list(turns)

    def named(self, name: str) -> Entry | None:
        """The newest with this name of the user's."""
        return next((e for e in reversed(self._entries.values()) if e.head["name"] == name), None)

    def titles(self, wanted: Collection[str], hide: Hide) -> dict[str, str]:
        """Of the `wanted` conversations, by id; as their newest kept turn has it."""
        heads = (entry.head for entry in self._entries.values())
        named = (head for head in heads if head["title"] and head["conversation"] in wanted)
        titles = {head["conversation"]: head["title"] for head in named}
        return {name: hide(title) for name, title in titles.items()}

    def newest(self) -> list[JsonObject]:
        """A short row for each entry, newest first, without secrets."""
        names = ("id", "time", "model", "status", "error", "conversation", "title")
        rows = [{name: e.head[name] for name in names} for e in reversed(self._entries.values())]
        return [redacted(row, self.hide) for row in rows]


def _counterpart(entry: Entry, body: Body, other: Entry) -> Body | None:
    """What is in `other` as `body` is in `entry`."""
    if body is entry.client:
        return other.client
    sent = any(body is attempt.body for attempt in entry.upstream)
    return other.upstream[-1].body if sent and other.upstream else None


def as_text(entry: JsonObject) -> str:
    """All parts of the entry as text."""
    client = entry["client"]
    parts = [f"THE CLIENT SENT  {client['method']} {client['path']}", _shown(client["body"])]
    for attempt in entry["upstream"]:
        why = f", because of {attempt['reason']}" if attempt["reason"] else ""
        parts += [
            f"SENT UPSTREAM  {attempt['url']} by {attempt['credential']}{why}: {attempt['outcome']}",
            "\n".join(f"{name}: {value}" for name, value in attempt["headers"]),
            _shown(attempt["body"]),
        ]
    for name in ("notes", "ignored"):
        if entry[name]:
            parts.append(f"{name.upper()}  " + "; ".join(entry[name]))
    parts.append(f"CAME BACK  {entry['status']} {entry['error'] or ''}".rstrip())
    if entry["answer"]:
        parts.append(_shown(entry["answer"]))
    return "\n\n".join(parts) + "\n"


def _shown(body: Any) -> str:
    try:
        return readable(body).rstrip()
    except (ValueError, AttributeError, TypeError):  # not a conversation
        return json.dumps(body, indent=2, ensure_ascii=False)
