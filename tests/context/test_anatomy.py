"""What a prompt consists of: every token is somewhere, and the costs are the bill."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addon.claude.catalogue import Catalogue
from addon.claude.pricing import Tokens, cost
from addon.context.anatomy import anatomy
from tests.documents import text

MODEL = Catalogue.load(text("addon/claude/models.toml")).get("claude-opus-5-5")
PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (800).to_bytes(4) + (600).to_bytes(4)
).decode()

REQUEST: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "tools": [
        {"name": "Read", "description": "Reads a file", "input_schema": {"type": "object"}},
        {"name": "WebSearch", "input_schema": {"type": "object"}},
    ],
    "system": [{"type": "text", "text": "You are a helpful " + "very " * 400}],
    "messages": [
        {"role": "user", "content": "Look at this"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "x" * 500},
                {
                    "type": "tool_use",
                    "id": "t1",
                    "name": "Read",
                    "input": {"file_path": "src/main.py"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "import os\n" * 500},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                },
            ],
        },
    ],
}


def test_each_part_has_its_kind_and_its_name() -> None:
    found = anatomy(REQUEST, MODEL, {})
    assert [(part.kind, part.name) for part in found.parts] == [
        ("tool", "Read"),
        ("tool", "WebSearch"),
        ("system", ("You are a helpful " + "very " * 400)[:80]),
        ("user", "Look at this"),
        ("thinking", "Hm."),
        ("call", "Read src/main.py"),
        ("result", "Read src/main.py"),
        ("image", "image"),
    ]
    assert not found.exact and found.tokens == sum(part.tokens for part in found.parts)
    assert found.as_json()["neverCalled"] == ["WebSearch"]
    by_name = {part.name: part.tokens for part in found.parts if part.kind in ("result", "image")}
    assert by_name["Read src/main.py"] > 1_000 and by_name["image"] > 300


@given(
    read=st.integers(0, 300_000),
    written=st.integers(0, 300_000),
    hour=st.integers(0, 300_000),
    rest=st.integers(1, 300_000),
)
def test_the_parts_add_up_to_the_bill(read: int, written: int, hour: int, rest: int) -> None:
    usage = {
        "input_tokens": rest,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written + hour,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": hour},
    }
    found = anatomy(REQUEST, MODEL, usage)
    assert (
        found.exact
        and sum(part.tokens for part in found.parts) == found.tokens == read + written + hour + rest
    )
    assert sum(part.cached for part in found.parts) == read
    assert sum(part.usd for part in found.parts) == pytest.approx(
        cost(MODEL, Tokens.from_usage(usage))
    )
    assert found.cached_for == (3600 if hour else 300 if read or written else None)


@pytest.mark.parametrize("place", ["tools", "system", "messages"])
def test_what_is_only_read_stays_as_long_as_its_marks_say(place: str) -> None:
    request = json.loads(json.dumps(REQUEST))
    marked = request[place][-1]["content"] if place == "messages" else request[place]
    usage = {"input_tokens": 10, "cache_read_input_tokens": 5_000}
    for ttl, seconds in ({"ttl": "1h"}, 3600), ({}, 300):
        marked[-1]["cache_control"] = {"type": "ephemeral", **ttl}
        assert anatomy(request, MODEL, usage).cached_for == seconds


def test_the_beginning_is_what_was_read_from_the_cache() -> None:
    found = anatomy(REQUEST, MODEL, {"input_tokens": 1000, "cache_read_input_tokens": 1000})
    shares = [part.cached / part.tokens for part in found.parts if part.tokens]
    assert shares[0] == 1 and shares[-1] == 0 and shares == sorted(shares, reverse=True)


def test_whatever_was_sent_has_an_anatomy() -> None:
    rng = random.Random(1)  # noqa: S311
    odd = [None, 3, "x", [], {}, [3], [{"type": None}], {"type": "x"}, [{"type": "tool_result"}]]
    for _ in range(300):
        request = {name: rng.choice(odd) for name in ("system", "content")}
        message = {"role": "user", "content": request.pop("content")}
        anatomy({**request, "messages": [message, rng.choice(odd)]}, MODEL, {})
