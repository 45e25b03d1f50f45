"""Sets prompt-cache breakpoints for clients that set none, and explains cache misses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

from addon.claude.blocks import blocks_of, is_thinking
from addon.claude.digest import digest, digest_json, message_digest
from addon.claude.model import Model
from addon.claude.turns import has_thinking
from addon.core.frozen import frozen
from addon.core.types import JsonObject

_NONE_KNOWN: Mapping[int, bytes] = MappingProxyType({})

MARKED_TURNS = 2
"""With tools and system these are four breakpoints, which is Anthropic's limit. A breakpoint finds an earlier cache
entry only within the 20 blocks before it, and a turn with many tool calls is longer. So the end of the previous turn,
where the last request wrote its entry, is marked again."""


MARK: JsonObject = {"type": "ephemeral"}
HOUR_MARK: JsonObject = {"type": "ephemeral", "ttl": "1h"}
LOOK_BACK = 20


def place_breakpoints(
    request: JsonObject,
    model: Model,
    estimated_tokens: int,
    ttl: Literal["5m", "1h"] = "5m",
    keep: int | None = None,
) -> JsonObject:
    """`request` with `cache_control` at the end of its tools, of its system prompt and of its last two user turns.
    `keep`: the index of a message whose entry of an hour is marked again, with all before it; the later marks are of
    five minutes, since Anthropic wants the longer ones first. Unchanged if the client sets breakpoints itself, if the
    prompt is too short for the model's cache, or if it is not a conversation: a cache write that is never read costs a
    quarter more than none."""
    worthwhile = estimated_tokens >= model.min_cacheable and _is_conversation(request)
    if not worthwhile or has_cache_control(request):
        return request
    mark = HOUR_MARK if ttl == "1h" else MARK
    first = HOUR_MARK if keep is not None else mark
    turns, with_tools = MARKED_TURNS, bool(request.get("tools"))
    if keep is not None and with_tools and request.get("system"):
        # One mark too many: that of the turn before goes, or of the tools, which the system prompt's includes.
        if _within_reach(request["messages"]):
            turns -= 1
        else:
            with_tools = False
    marked = dict(request)
    if with_tools:
        marked["tools"] = _mark_last(request["tools"], first)
    if request.get("system"):
        marked["system"] = _mark_last(blocks_of(request["system"]), first)
    marked["messages"] = _mark_turns(request["messages"], mark, turns)
    if keep is not None:
        kept = request["messages"][keep]
        content = _mark_last(blocks_of(kept.get("content")), HOUR_MARK)
        marked["messages"][keep] = {**kept, "content": content}
    return marked


def last_user(messages: list[JsonObject]) -> int:
    """Index of the last message of a user; -1 without one."""
    users = (i for i in range(len(messages) - 1, -1, -1) if messages[i].get("role") == "user")
    return next(users, -1)


def _within_reach(messages: list[JsonObject]) -> bool:
    """Whether the last mark finds the entry of the turn before by looking back."""
    last = last_user(messages)
    before = last_user(messages[:last])
    between = messages[before + 1 : last + 1]
    return sum(len(blocks_of(message.get("content"))) for message in between) < LOOK_BACK


def has_cache_control(request: JsonObject) -> bool:
    """Whether the request has any `cache_control`."""
    return any(True for _ in cache_controls(request))


def cache_controls(request: JsonObject) -> Iterator[Any]:
    """Each `cache_control` in a request."""
    if "cache_control" in request:
        yield request["cache_control"]
    messages = (m for m in request.get("messages") or [] if isinstance(m, dict))
    for items in (
        request.get("tools"),
        request.get("system"),
        *(m.get("content") for m in messages),
    ):
        if isinstance(items, list):
            yield from _controls(items)


def _controls(items: list[Any]) -> Iterator[Any]:
    for item in items:
        if not isinstance(item, dict):
            continue
        if "cache_control" in item:
            yield item["cache_control"]
        inner = item.get("content") if item.get("type") == "tool_result" else None
        if isinstance(inner, list):
            yield from _controls(inner)


def _is_conversation(request: JsonObject) -> bool:
    users = sum(1 for message in request.get("messages") or [] if message.get("role") == "user")
    return users > 1 or (users == 1 and bool(request.get("tools")))


def _mark_turns(messages: list[JsonObject], mark: JsonObject, left: int) -> list[JsonObject]:
    result = list(messages)
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") != "user" or not left:
            continue
        blocks = blocks_of(messages[index].get("content"))
        marked = _mark_last(blocks, mark)
        if marked is not blocks:
            result[index] = {**messages[index], "content": marked}
            left -= 1
    return result


def _mark_last(items: list[Any], mark: JsonObject) -> list[Any]:
    """`items` with a mark on the last one that may have one; `items` itself if none may."""
    for index in range(len(items) - 1, -1, -1):
        if _markable(items[index]):
            return [*items[:index], {**items[index], "cache_control": mark}, *items[index + 1 :]]
    return items


def _markable(item: Any) -> bool:
    """Anthropic rejects marks on thinking and on empty text with a 400."""
    if not isinstance(item, dict) or is_thinking(item):
        return False
    return item.get("type") != "text" or bool((item.get("text") or "").strip())


# ----------------------------------------------------------------------------------------------------- explaining


@frozen
class PartDigests:
    """What the cache compares, part by part. A change of one part is a miss for all later parts."""

    model: bytes
    tools: bytes
    system: bytes
    settings: bytes
    """tool_choice, thinking and effort: a change is a miss for the messages only."""
    messages: tuple[bytes, ...]


def part_digests(request: JsonObject, known: Mapping[int, bytes] = _NONE_KNOWN) -> PartDigests:
    """Digests of a request as it is sent, ignoring `cache_control`. `known`: `message_digest`s that were computed
    before, by `id()` of the message, which must still exist."""
    settings = [request.get(name) for name in ("tool_choice", "thinking", "output_config")]
    return PartDigests(
        model=digest([request.get("model"), request.get("speed")]),
        tools=digest_json(request.get("tools") or []),
        system=digest_json(blocks_of(request.get("system"))),
        settings=digest(settings),
        messages=tuple(_digest(message, known) for message in request.get("messages") or []),
    )


def _digest(message: JsonObject, known: Mapping[int, bytes]) -> bytes:
    digest = None if has_thinking(message) else known.get(id(message))
    return digest or message_digest(message, thinking=True)


_PARTS = (
    ("model", "the model"),
    ("tools", "tools"),
    ("system", "system"),
    ("settings", "tool_choice, thinking or effort"),
)


def explain_miss(previous: PartDigests, current: PartDigests) -> str | None:
    """What of a conversation's previous request has changed in the current one, the first part of it; None if the
    current one only continues it."""
    for name, said in _PARTS:
        if getattr(previous, name) != getattr(current, name):
            return said
    pairs = zip(previous.messages, current.messages, strict=False)
    for index, (before, now) in enumerate(pairs):
        if before != now:
            return f"message {index}"
    return None
