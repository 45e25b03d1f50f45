"""What a prompt consists of: tokens and cost of the system prompt, each tool, each tool result, thinking, images.

Anthropic counts a prompt as a whole, and tells how much of it was read from the cache, written to it, or neither. Its
parts are measured here and scaled so that they add up to what Anthropic counted. The cached part of a prompt is its
beginning, and a prompt begins with its tools (docs.claude.com, "Prompt caching"), so each part's price follows from
where it lies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from addon.claude.blocks import blocks_of, is_thinking
from addon.claude.model import Model
from addon.claude.pricing import Tokens
from addon.claude.prompt_cache import cache_controls
from addon.context.tokens.images import visual_tokens
from addon.context.tokens.measure import Size, measure_message, measure_tools
from addon.context.tokens.vocabulary import weigh
from addon.core.frozen import frozen
from addon.core.types import JsonObject

type Kind = Literal[
    "tool",
    "system",
    "user",
    "assistant",
    "thinking",
    "call",
    "result",
    "image",
    "document",
    "other",
]

LONGEST_NAME = 80
NAMING = ("file_path", "path", "filename", "command", "pattern", "query", "url", "description")
"""Arguments that say what a call was about, the most telling first."""
SIGNATURE_CHARACTERS = 5
"""Of a thinking block's signature to one token; see `measure`."""


@frozen(kw_only=True)
class Part:
    kind: Kind
    name: str
    tokens: int
    cached: int = 0
    """Of them, read from the cache."""
    usd: float = 0.0
    calls: int | None = None
    """Of a tool: how often it is called in this conversation."""

    def as_json(self) -> JsonObject:
        shown = {
            "kind": self.kind,
            "name": self.name,
            "tokens": self.tokens,
            "cached": self.cached,
            "cost": self.usd,
        }
        return shown if self.calls is None else {**shown, "calls": self.calls}


@frozen(kw_only=True)
class Anatomy:
    parts: list[Part]
    """In the order of the prompt."""
    tokens: int
    exact: bool
    """Whether Anthropic counted `tokens`; the parts are always estimates."""
    cached_for: int | None
    """Seconds that what is cached now stays so after this response; None: nothing is."""

    def as_json(self) -> JsonObject:
        unused = [part.name for part in self.parts if part.kind == "tool" and not part.calls]
        return {
            "tokens": self.tokens,
            "exact": self.exact,
            "cachedFor": self.cached_for,
            "neverCalled": unused,
            "parts": [part.as_json() for part in self.parts],
        }


def anatomy(request: JsonObject, model: Model, usage: JsonObject) -> Anatomy:
    """`request`: as it was sent to Anthropic; `usage`: of its response, or {} if there is none. Takes some milliseconds
    for a long conversation."""
    measured = list(_parts(request, model))
    tokens = Tokens.from_usage(usage)
    total = tokens.prompt or sum(part.tokens for part in measured)
    scaled = _scaled(measured, total)
    caching = tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
    hour = tokens.cache_write_1h or any(
        isinstance(mark, dict) and mark.get("ttl") == "1h" for mark in cache_controls(request)
    )
    return Anatomy(
        parts=list(_priced(scaled, tokens, model)) if tokens.prompt else scaled,
        tokens=total,
        exact=tokens.prompt > 0,
        cached_for=(3600 if hour else 300) if caching else None,
    )


def _scaled(parts: list[Part], total: int) -> list[Part]:
    """Their tokens as shares of `total`, whole numbers that add up to it."""
    measured, given, seen = sum(part.tokens for part in parts), 0, 0
    out = []
    for part in parts:
        seen += part.tokens
        upto = round(total * seen / measured) if measured else 0
        out.append(replace(part, tokens=upto - given))
        given = upto
    return out


def _priced(parts: list[Part], tokens: Tokens, model: Model) -> Iterator[Part]:
    prices = model.prices
    if prices.step and prices.step_tokens is not None and tokens.prompt > prices.step_tokens:
        prices = prices.step
    bands = (  # from the beginning of the prompt
        (tokens.cache_read, prices.cache_read),
        (tokens.cache_write_5m, prices.cache_write_5m),
        (tokens.cache_write_1h, prices.cache_write_1h),
        (tokens.input, prices.input),
    )
    at = 0
    for part in parts:
        start, end, begin, usd, cached = at, at + part.tokens, 0, 0.0, 0
        for number, (size, price) in enumerate(bands):
            inside = max(0, min(end, begin + size) - max(start, begin))
            usd += inside * price / 1_000_000
            cached += inside if number == 0 else 0
            begin += size
        at = end
        yield replace(part, usd=usd, cached=cached)


def _parts(request: JsonObject, model: Model) -> Iterator[Part]:
    messages = [m for m in request.get("messages") or () if isinstance(m, dict)]
    blocks = [(m, b) for m in messages for b in blocks_of(m.get("content")) if isinstance(b, dict)]
    calls = {str(b.get("id")): b for _, b in blocks if str(b.get("type")).endswith("tool_use")}
    called = Counter(str(call.get("name")) for call in calls.values())
    for tool in request.get("tools") or ():
        name = str(tool.get("name") or tool.get("type"))
        tokens = _tokens(measure_tools([tool], weigh), model)
        yield Part(kind="tool", name=name[:LONGEST_NAME], tokens=tokens, calls=called[name])
    for block in blocks_of(request.get("system") or []):
        text = str(block.get("text", "")) if isinstance(block, dict) else str(block)
        yield Part(kind="system", name=_begins(text), tokens=weigh(text))
    for message, block in blocks:
        kind, name = _named(message, block, calls)
        size = measure_message({"content": [block]}, weigh)
        thought = (
            len(str(block.get("signature") or block.get("data") or "")) // SIGNATURE_CHARACTERS
        )
        tokens = thought if is_thinking(block) else _tokens(size, model)
        yield Part(kind=kind, name=name[:LONGEST_NAME], tokens=tokens)


def _tokens(size: Size, model: Model) -> int:
    visual = sum(visual_tokens(image, model.tokenizer) for image in size.images)
    return max(size.text + size.fixed_for(model.tokenizer), visual)


def _named(
    message: JsonObject, block: JsonObject, calls: dict[str, JsonObject]
) -> tuple[Kind, str]:
    match block.get("type"):
        case "thinking" | "redacted_thinking":
            return "thinking", _begins(str(block.get("thinking") or "redacted"))
        case "image":
            return "image", "image"
        case "document":
            return "document", str(block.get("title") or "document")
        case str(kind) if kind.endswith("tool_use"):
            return "call", _call(block)
        case str(kind) if kind.endswith("tool_result"):
            return "result", _call(calls.get(str(block.get("tool_use_id")), {}))
        case "text":
            role: Kind = "assistant" if message.get("role") == "assistant" else "user"
            return role, _begins(str(block.get("text") or ""))
        case kind:
            return "other", str(kind)


def _call(call: JsonObject) -> str:
    """`Read src/main.py`"""
    given: Any = call.get("input")
    words = (
        [str(given[name]) for name in NAMING if given.get(name)] if isinstance(given, dict) else []
    )
    return _begins(" ".join([str(call.get("name") or "unknown"), *words[:1]]))


def _begins(text: str) -> str:
    return " ".join(text[: 4 * LONGEST_NAME].split())[:LONGEST_NAME]
