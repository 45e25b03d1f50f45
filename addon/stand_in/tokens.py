"""A deterministic token counter that is no BPE, so that it is an independent judge of the proxy's own counting.

Bytes are weighed by class (fitted to a BPE on two dozen kinds of text), times what Claude's tokenizers take of such
text compared with that BPE, plus or minus two per cent by hash, which no formula of the proxy can guess.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from typing import Literal

from addon.stand_in.models import FakeModel
from addon.stand_in.record import JsonObject

type TextKind = Literal["prose", "markdown", "code", "json", "numbered", "tools", "base64", "wide"]

RATIOS: dict[TextKind, tuple[float, float]] = {
    "prose": (1.10, 1.57),
    "markdown": (1.20, 1.65),
    "code": (1.26, 1.50),
    "json": (1.27, 1.65),
    "numbered": (1.09, 1.25),
    "tools": (1.25, 1.60),
    "base64": (1.17, 1.20),
    "wide": (1.05, 1.05),
}
"""Claude tokens per BPE token, by kind of text: (tokenizer up to 4.6, since 4.7)."""

TOOL_PROMPT = 496
"""The hidden system prompt that comes with tools."""
PER_TOOL = 53
PER_MESSAGE = 4
BASE = 7
DOCUMENT = 1600

_UPPER = bytes(range(0x41, 0x5B))
_LOWER = bytes(range(0x61, 0x7B))
_DIGITS = bytes(range(0x30, 0x3A))
_PUNCTUATION = bytes(b for b in range(0x21, 0x7F) if not bytes((b,)).isalnum())
_LEADS = (
    (bytes(range(0xC2, 0xE0)), 0.45),
    (bytes(range(0xE0, 0xF0)), 0.97),
    (bytes(range(0xF0, 0xF5)), 3.2),
)
_CLASSES = ((_LOWER, 0.20), (_UPPER, 0.60), (_DIGITS, 0.93), (b"\n", 1.41), (_PUNCTUATION, 0.34))


class Counter:
    """Counts for one fake; remembers what it has counted, since a conversation is resent whole each turn."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, str, str], int] = {}

    def text(self, content: str, model: FakeModel, kind: TextKind | None = None) -> int:
        """Tokens of a text; its kind is guessed when not given."""
        data = content.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, digest_size=16).digest()
        key = (digest, model.tokenizer, kind or "")
        if key not in self._known:
            ratio = RATIOS[kind or kind_of(content)][model.tokenizer == "new"]
            noise = 0.98 + 0.04 * digest[0] / 255
            self._known[key] = round(weigh(data) * ratio * noise)
        return self._known[key]

    def block(self, block: JsonObject, model: FakeModel) -> int:
        """Input tokens of one content block."""
        match block["type"]:
            case "text":
                return self.text(block["text"], model)
            case "tool_use":
                return 12 + self.text(block["name"] + dumps(block["input"]), model)
            case "tool_result":
                return 8 + sum(self.block(part, model) for part in parts_of(block.get("content")))
            case "image":
                return image_tokens(block["source"], model)
            case "document":
                return DOCUMENT
            case "thinking" | "redacted_thinking":
                return thought_tokens(block)
            case _:
                return self.text(dumps(block), model)

    def tool(self, tool: JsonObject, model: FakeModel) -> int:
        return PER_TOOL + self.text(dumps(tool), model, "tools")


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parts_of(content: object) -> list[JsonObject]:
    """Content as a list of blocks, whichever way it was written."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content if isinstance(content, list) else []


def thought_tokens(block: JsonObject) -> int:
    """Thinking is billed by what was thought, which neither its shown text nor the signature's length tells."""
    signature = str(block.get("signature") or block.get("data"))
    return 60 + hashlib.sha256(signature.encode()).digest()[0]


def weigh(data: bytes) -> float:
    """About the number of tokens a common BPE makes of this UTF-8 text."""
    total = 0.13 * len(data.split())
    for members, weight in (*_CLASSES, *_LEADS):
        total += weight * (len(data) - len(data.translate(None, members)))
    return total


_NUMBERED = re.compile(r"(?m)^\s*\d+[\t|:→]")
_CODE = re.compile(r"(?m)[;{}()=]\s*$")
_MARKDOWN = re.compile(r"(?m)^(#{1,6} |[-*] |\|)")


def kind_of(content: str) -> TextKind:
    """What kind of text this looks like, from its first 4,000 characters."""
    head = content[:4000]
    lines = head.count("\n") + 1
    if _is_wide(head):
        return "wide"
    if head.lstrip()[:1] in ("{", "["):
        return "json"
    if len(head) > 200 and " " not in head:
        return "base64"
    for pattern, kind in ((_NUMBERED, "numbered"), (_CODE, "code"), (_MARKDOWN, "markdown")):
        if lines > 2 and len(pattern.findall(head)) > lines / 4:
            return kind  # type: ignore[return-value]
    return "prose"


def _is_wide(head: str) -> bool:
    return sum(ord(char) > 0x2E80 for char in head) * 3 > len(head) > 0


def image_tokens(source: JsonObject, model: FakeModel) -> int:
    """28-pixel tiles after shrinking to the model's longest edge; an unknown size costs the cap."""
    edge, cap = (2576, 4784) if model.tokenizer == "new" else (1568, 1568)
    size = png_size(source["data"]) if source["type"] == "base64" else None
    if size is None:
        return cap
    scale = min(1.0, edge / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    return min(cap, math.ceil(width / 28) * math.ceil(height / 28))


def png_size(data: str) -> tuple[int, int] | None:
    """Width and height from a PNG header; None for other formats."""
    head = base64.b64decode(data[:64] + "=" * (-len(data[:64]) % 4))
    if len(head) < 24 or not head.startswith(b"\x89PNG"):
        return None
    width, height = struct.unpack(">II", head[16:24])
    return max(1, width), max(1, height)
