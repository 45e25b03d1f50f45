"""Measures the parts of a request: their texts, and what has fixed costs.

Texts are counted with a local vocabulary; a factor converts them to Claude's count. Images, documents and framing have
fixed costs without the factor. Neither base64 nor the JSON text of the body is counted, as escapes add 4 to 250 %.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Literal

from addon.claude.blocks import THINKING, blocks_of, is_thinking
from addon.claude.model import Model
from addon.claude.turns import loop_start
from addon.context.tokens.images import (
    MOST_PAGES,
    PAGE_TOKENS,
    UNKNOWN,
    UNSEEN_TOKENS,
    Dimensions,
    pdf_pages,
    source_dimensions,
    visual_tokens,
)
from addon.core.frozen import frozen
from addon.core.types import JsonObject

_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

type CountText = Callable[[str], int]

WINDOW = 256
"""Characters."""
WINDOWS = 192
"""About how many are taken: 3 ms of counting."""
LEAST_WINDOWS = 16
_SURE = 4.5
"""Standard deviations: more is once in 300,000 times."""
_UNSEEN = 12.6
"""Windows that would have been expected in what none has hit: the same, as e^-12.6 is one in 300,000."""

MESSAGE_TOKENS = 3
REQUEST_TOKENS = 7

# The tool-use system prompt that Anthropic adds if there are tools: (tool_choice auto or none, any or tool). From the
# tool-use page for 4.5/4.6. The figure for the newest models is not published; 500 is in the middle of the others.
TOOL_PROMPT = {"old": (497, 589), "new": (500, 615)}

# What is encrypted (thinking in its signature, search results) comes in base64: about 4/3 characters for each of its
# characters, of which 4 make a token.
_OPAQUE_CHARS_PER_TOKEN = 5
_OPAQUE = ("encrypted_", "signature")
"""How the names of such fields begin (SDK `WebSearchResultBlock`, `EncryptedCodeExecutionResultBlock`, …)."""


@frozen
class Size:
    """The content of a part of a request, independent of the model."""

    text: int = 0
    """Tokens of the local vocabulary."""
    fixed: int = 0
    """Fixed costs in Claude's tokens, the same for all models."""
    images: tuple[Dimensions, ...] = ()
    pages: int = 0
    """Of PDF documents."""
    bytes: int = 0
    """Of the text, in UTF-8: a byte-level tokenizer makes at most one token of each. And of what is opaque."""
    documents: int = 0
    """PDF documents."""

    def fixed_for(self, family: str) -> int:
        """All fixed costs, in Claude's tokens."""
        if not self.images and not self.pages:
            return self.fixed
        visual = sum(
            UNSEEN_TOKENS if image == UNKNOWN else visual_tokens(image, family)
            for image in self.images
        )
        return self.fixed + visual + self.pages * PAGE_TOKENS[family]

    def most_for(self, family: str) -> int:
        """What it can't exceed, in Claude's tokens."""
        visual = sum(visual_tokens(image, family) for image in self.images)
        documents = self.documents * MOST_PAGES * PAGE_TOKENS[family]
        return self.bytes + self.fixed + visual + documents


@frozen
class Visual:
    """An image or a PDF that is not measured yet."""

    kind: Literal["image", "pdf"]
    source: JsonObject


@frozen
class Opaque:
    """Encrypted content in base64: Claude reads what is in it, not its characters."""

    characters: int


type Part = str | Visual | Opaque


def measure_message(message: JsonObject, count: CountText) -> Size:
    """Size of one message, without its thinking (see `thinking_tokens`)."""
    return _total(parts(message.get("content")), count, fixed=MESSAGE_TOKENS)


def measure_system(system: str | list[JsonObject], count: CountText) -> Size:
    return _total(parts(system), count)


def measure_tools(tools: list[JsonObject], count: CountText) -> Size:
    written = _dump(tools)
    return Size(text=count(written), bytes=_bytes(written)) if tools else Size()


def request_fixed(request: JsonObject, model: Model) -> int:
    """The fixed costs of a request."""
    if not request.get("tools"):
        return REQUEST_TOKENS
    choice = (request.get("tool_choice") or {}).get("type", "auto")
    return REQUEST_TOKENS + TOOL_PROMPT[model.tokenizer][choice in ("any", "tool")]


def parts(content: Any) -> Iterator[Part]:
    """The texts, images and PDFs in a message's content, in order, without thinking blocks."""
    for block in blocks_of(content):
        yield from _block(block)


def _block(block: JsonObject) -> Iterator[Part]:
    match block:
        case {"type": "text", "text": str(text)}:
            yield text
        case {"type": "tool_use" | "server_tool_use" | "mcp_tool_use", "name": str(name)}:
            yield name + _dump(block.get("input"))
        case {"type": "tool_result"}:
            yield from parts(block.get("content"))
        case {"type": "image", "source": dict(source)}:
            yield Visual("image", source)
        case {"type": "document", "source": dict(source)}:
            yield from _document(source)
        case {"type": kind} if kind in THINKING:
            return
        case _:
            found: list[Part] = []
            yield _dump(_visible(block, found))
            yield from found


def _visible(value: Any, found: list[Part]) -> Any:
    """`value` without what is no text in it, which is added to `found`: results of server tools hold encrypted texts
    and whole files."""
    match value:
        case {"type": "base64", "data": str(data)}:
            kind = str(value.get("media_type"))
            if kind == "application/pdf":
                found.append(Visual("pdf", value))
            else:
                image = kind.startswith("image/")
                found.append(Visual("image", value) if image else Opaque(len(data)))
            return None
        case dict():
            return {name: _visible_field(name, part, found) for name, part in value.items()}
        case list():
            return [_visible(part, found) for part in value]
    return value


def _visible_field(name: str, value: Any, found: list[Part]) -> Any:
    if isinstance(value, str) and name.startswith(_OPAQUE):
        found.append(Opaque(len(value)))
        return None
    return _visible(value, found)


def _document(source: JsonObject) -> Iterator[Part]:
    match source:
        case {"type": "text", "data": str(text)}:
            yield text
        case {"type": "content", "content": content}:
            yield from parts(content)
        case _:
            yield Visual("pdf", source)


def _total(items: Iterator[Part], count: CountText, fixed: int = 0) -> Size:
    text = size = pages = documents = 0
    images: list[Dimensions] = []
    for item in items:
        if isinstance(item, str):
            text += count(item)
            size += _bytes(item)
        elif isinstance(item, Opaque):
            fixed += item.characters // _OPAQUE_CHARS_PER_TOKEN
            size += item.characters
        elif item.kind == "image":
            images.append(source_dimensions(item.source))
        else:
            pages += _pages(item.source)
            documents += 1
    return Size(text, fixed, tuple(images), pages, size, documents)


def _pages(source: JsonObject) -> int:
    data = source.get("data")
    return (
        pdf_pages(data) if isinstance(data, str) else 1
    )  # the content of a URL or a file id is unknown


def thinking_tokens(messages: list[JsonObject], model: Model) -> list[int]:
    """Input tokens of each message's thinking blocks, from the length of their signatures.

    Models that don't keep thinking only get that of the current tool loop.
    """
    first = 0 if model.keeps_thinking else loop_start(messages)
    return [_thinking(message) if at >= first else 0 for at, message in enumerate(messages)]


def _thinking(message: JsonObject) -> int:
    content = message.get("content")
    if message.get("role") != "assistant" or isinstance(content, str):
        return 0
    opaque = (
        len(block.get("signature") or block.get("data") or "")
        for block in blocks_of(content)
        if is_thinking(block)
    )
    return sum(opaque) // _OPAQUE_CHARS_PER_TOKEN


class Sample:
    """Takes windows out of texts at random, so that their tokens can be estimated by a twentieth of them.

    Measure with it as with a counter: it returns characters. `density` says how many tokens one has. What the sender
    wrote can't make the windows miss what is dense, since where they are depends on no text.
    """

    def __init__(self, characters: int) -> None:
        """`characters`: about how many there are."""
        self._stride = max(4 * WINDOW, characters // WINDOWS)
        self._random = Random()  # noqa: S311 - nobody gains by guessing it
        self._next = self._random.randrange(self._stride)
        self._windows: list[str] = []
        self._characters = self._bytes = 0

    def __call__(self, text: str) -> int:
        at, end = self._next - self._characters, len(text)
        while at < end:
            # Whole even near the text's end, and each counts the same: else short texts would count for little.
            start = max(0, min(at, end - WINDOW))
            self._windows.append(text[start : start + WINDOW])
            at += self._random.randrange(self._stride // 2, self._stride * 3 // 2)
        self._next = self._characters + at
        self._characters += end
        self._bytes += _bytes(text)
        return end

    def density(self, count: CountText, *, sure: bool = True) -> tuple[float, int]:
        """Tokens of a character, and by how many tokens all texts together may have more: surely, or, if not `sure`,
        unless somebody has hidden dense text in others."""
        found = [count(window) / len(window) for window in self._windows]
        if len(found) < LEAST_WINDOWS:
            return 1.0, 3 * self._characters
        density = sum(found) / len(found)
        deviation = math.sqrt(sum((each - density) ** 2 for each in found)) / len(found)
        unsure = round(_SURE * deviation * self._characters)
        return density, unsure + (self._most_unseen() if sure else 0)

    def _most_unseen(self) -> int:
        """Tokens of what no window shows, surely: a token has one byte at least."""
        characters = round(_UNSEEN * self._stride)
        return characters + min(3 * characters, self._bytes - self._characters)


def upper_bound(request: JsonObject, model: Model) -> int:
    """An upper bound of the request's tokens, without measuring it."""
    contents = [request.get("system") or "", *(m.get("content") for m in request["messages"])]
    total = sum(_bound(part, model) for content in contents for part in parts(content))
    total += MESSAGE_TOKENS * len(contents) + request_fixed(request, model)
    total += sum(thinking_tokens(request["messages"], model))
    return total + _bytes(_dump(request.get("tools") or []))


def _bound(part: Part, model: Model) -> int:
    if isinstance(part, str):
        return _bytes(part)
    if isinstance(part, Opaque):
        return part.characters
    if part.kind == "image":
        return visual_tokens(UNKNOWN, model.tokenizer)
    return MOST_PAGES * PAGE_TOKENS[model.tokenizer]


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
