"""Prompt-cache accounting: what of a request's input was read from the cache, written to it, or neither.

The prompt is a row of blocks: tools, system, messages. Each `cache_control` mark writes an entry for everything up to
it, when that is long enough; a later request reads the longest entry found within 20 blocks before one of its marks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence

from addon.core.frozen import frozen
from addon.stand_in.models import FakeModel
from addon.stand_in.record import JsonObject
from addon.stand_in.tokens import BASE, PER_MESSAGE, TOOL_PROMPT, Counter, parts_of

LOOK_BACK = 20
SECONDS = {"5m": 300.0, "1h": 3600.0}


@frozen
class Piece:
    """One block of the prompt: its bytes as far as the cache compares them, its tokens, its mark's ttl."""

    content: bytes
    tokens: int
    ttl: str | None


@frozen(kw_only=True)
class InputUsage:
    fresh: int
    read: int
    written_5m: int
    written_1h: int

    @property
    def total(self) -> int:
        return self.fresh + self.read + self.written_5m + self.written_1h

    def fields(self) -> JsonObject:
        """As the API's `usage` says it."""
        return {
            "input_tokens": self.fresh,
            "cache_creation_input_tokens": self.written_5m + self.written_1h,
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.written_5m,
                "ephemeral_1h_input_tokens": self.written_1h,
            },
        }


def pieces(body: JsonObject, model: FakeModel, counter: Counter) -> list[Piece]:
    """The prompt of an accepted request, in the order it is cached."""
    row = [*_tools(body, model, counter), *_system(body, model, counter)]
    row += _messages(body, model, counter)
    if body.get("cache_control") and row:
        # A mark at the top level stands for one on the last block.
        last = row[-1]
        row[-1] = Piece(last.content, last.tokens, last.ttl or _ttl(body))
    return row


def _tools(body: JsonObject, model: FakeModel, counter: Counter) -> Iterator[Piece]:
    hidden = TOOL_PROMPT
    for tool in body.get("tools") or ():
        yield _piece(tool, "tool", hidden + counter.tool(_bare(tool), model))
        hidden = 0


def _system(body: JsonObject, model: FakeModel, counter: Counter) -> Iterator[Piece]:
    for block in parts_of(body.get("system")):
        yield _piece(block, "system", counter.block(block, model))


def _messages(body: JsonObject, model: FakeModel, counter: Counter) -> Iterator[Piece]:
    # Switching thinking, effort or tool_choice re-renders the conversation, though not tools and system.
    settings = [(body.get("thinking") or {}).get("type"), body.get("tool_choice")]
    settings.append((body.get("output_config") or {}).get("effort"))
    seed = json.dumps(settings, sort_keys=True)
    extra = BASE
    turn = last_turn(body["messages"])
    for index, message in enumerate(body["messages"]):
        extra += PER_MESSAGE
        for block in parts_of(message.get("content")):
            if is_thought(block) and not model.keeps_thinking and index < turn:
                continue
            yield _piece(block, seed + message["role"], extra + counter.block(block, model))
            extra, seed = 0, ""


def is_thought(block: JsonObject) -> bool:
    return block.get("type") in ("thinking", "redacted_thinking")


def last_turn(messages: Sequence[JsonObject]) -> int:
    """Index of the last user message that is more than tool results: there the current turn begins."""
    for index in range(len(messages) - 1, -1, -1):
        blocks = parts_of(messages[index].get("content"))
        if messages[index]["role"] == "user" and any(b["type"] != "tool_result" for b in blocks):
            return index
    return 0


def _piece(block: JsonObject, place: str, tokens: int) -> Piece:
    content = json.dumps(_bare(block), ensure_ascii=False).encode("utf-8", "surrogatepass")
    marks = [block, *parts_of(block.get("content"))]
    ttl = next((_ttl(mark) for mark in marks if mark.get("cache_control")), None)
    return Piece(place.encode() + content, tokens, ttl)


def _ttl(marked: JsonObject) -> str:
    return str(marked["cache_control"].get("ttl") or "5m")


def _bare(block: JsonObject) -> JsonObject:
    bare = {key: value for key, value in block.items() if key != "cache_control"}
    if isinstance(bare.get("content"), list):
        bare["content"] = [_bare(part) for part in bare["content"]]
    return bare


class PromptCache:
    """Entries of all accounts and models; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expiry: dict[bytes, tuple[float, float]] = {}
        """When an entry ends, and its time to live, by the hash of its prefix."""

    def clear(self) -> None:
        self._expiry.clear()

    def use(self, row: Sequence[Piece], model: FakeModel, account: str) -> InputUsage:
        """Read and write the cache for one request."""
        prefixes = _prefixes(row, f"{account}/{model.id}")
        sums = [0]
        for piece in row:
            sums.append(sums[-1] + piece.tokens)
        marks = [
            n for n, piece in enumerate(row) if piece.ttl and sums[n + 1] >= model.min_cacheable
        ]
        hit = self._longest(marks, prefixes)
        written = {"5m": 0, "1h": 0}
        done = hit + 1
        for mark in marks:
            ttl = row[mark].ttl or "5m"
            if mark + 1 > done:
                written[ttl] += sums[mark + 1] - sums[done]
                done = mark + 1
            self._keep(prefixes[mark], SECONDS[ttl])
        return InputUsage(
            fresh=sums[-1] - sums[done],
            read=sums[hit + 1],
            written_5m=written["5m"],
            written_1h=written["1h"],
        )

    def _longest(self, marks: Sequence[int], prefixes: Sequence[bytes]) -> int:
        """Index of the last block of the longest living entry within reach of a mark; -1 for none."""
        for mark in reversed(marks):
            for place in range(mark, max(-1, mark - LOOK_BACK), -1):
                if self._alive(prefixes[place]):
                    self._keep(prefixes[place], self._expiry[prefixes[place]][1])
                    return place
        return -1

    def _alive(self, prefix: bytes) -> bool:
        return self._clock() < self._expiry.get(prefix, (0.0, 0.0))[0]

    def _keep(self, prefix: bytes, ttl: float) -> None:
        # A hit starts the entry's life anew; a longer ttl is never cut by a shorter one.
        until = max(self._clock() + ttl, self._expiry.get(prefix, (0.0, 0.0))[0])
        self._expiry[prefix] = (until, ttl)


def _prefixes(row: Sequence[Piece], seed: str) -> list[bytes]:
    digest, prefixes = hashlib.blake2b(seed.encode(), digest_size=16).digest(), []
    for piece in row:
        digest = hashlib.blake2b(digest + piece.content, digest_size=16).digest()
        prefixes.append(digest)
    return prefixes
