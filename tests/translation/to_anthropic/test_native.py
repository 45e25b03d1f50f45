"""Requests in Anthropic's own form: sent as they are, read where they can be, mended where Anthropic says what is wrong."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from addon.claude.thinking import ThinkingOptions
from addon.translation.to_anthropic.native import (
    Refused,
    is_readable,
    mended,
    native_translation,
)
from tests.damaged import NATIVE
from tests.translation.asking import CATALOGUE, OPUS, A, U, text, tr, tu

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def with_block(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{**text("a"), **fields}]}]}


def test_nothing_but_another_models_name_is_changed() -> None:
    before = copy.deepcopy(NATIVE)
    assert native_translation(NATIVE, OPUS).request is NATIVE
    renamed = native_translation({**NATIVE, "model": "big"}, OPUS)
    assert renamed.request == before == NATIVE
    assert renamed.reply.model == "big"
    assert native_translation(NATIVE, OPUS).reply.model == ""


OPAQUE: dict[str, dict[str, Any]] = {
    "no messages": {"messages": []},
    "messages as text": {"messages": "x"},
    "a message as text": {"messages": ["x"]},
    "a role that is none": {"messages": [{"role": "tool", "content": "x"}]},
    "content as a number": {"messages": [{"role": "user", "content": 5}]},
    "a block as text": {"messages": [{"role": "user", "content": ["x"]}]},
    "a list for a type": with_block(type=[]),
    "a block within a result": with_block(type="tool_result", tool_use_id="t", content=[5]),
    "a call without a name": with_block(type="tool_use", id="t"),
    "thinking without a signature": with_block(type="thinking", thinking="t"),
    "system as a number": {"system": 5},
    "a system block as text": {"system": ["x"]},
    "a tool as text": {"tools": ["x"]},
    "thinking as text": {"thinking": "adaptive"},
    "a budget as text": {"thinking": {"type": "enabled", "budget_tokens": "9"}},
    "an effort that is a list": {"output_config": {"effort": ["low"]}},
    "max_tokens as text": {"max_tokens": "9"},
    "max_tokens as true": {"max_tokens": True},
    "a system message that only sets an effort": {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "system", "output_config": {"effort": "low"}},
        ]
    },
    "a part of a thread": {"thread": {"continue": "thr_1"}},
}


@pytest.mark.parametrize("case", OPAQUE)
def test_what_has_another_shape_is_not_looked_into(case: str) -> None:
    assert not is_readable({**NATIVE, **OPAQUE[case]})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"thinking": None, "system": None},
        {"system": "s"},
        {"unknown": [5]},
        with_block(new=5),
        with_block(type="search_result", source="https://x", content=[text("a")]),
        with_block(type="not_known_yet"),
        with_block(cache_control=[]),
    ],
)
def test_what_is_new_or_wrong_elsewhere_hinders_nothing(fields: dict[str, Any]) -> None:
    assert is_readable({**NATIVE, **fields})


CALL = A([tu("c 1", "f")])
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}}
MARKED = {**text("s"), "cache_control": {"type": "ephemeral"}}
FAULTS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "too many tokens": (
        "max_tokens: 300000 > 128000, which is the maximum allowed number of output tokens for x",
        {"max_tokens": 300_000},
        {"max_tokens": 128_000},
    ),
    "a label": (
        "messages.0.content.0.image.source.base64.data: The image was specified using the image/jpeg media type, but "
        "the image appears to be a image/png image",
        {"messages": [U([IMAGE])]},
        {"messages": [U([{**IMAGE, "source": {**IMAGE["source"], "media_type": "image/png"}}])]},
    ),
    "marks": (
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        {"system": [MARKED] * 5},
        {"system": [text("s"), *[MARKED] * 4]},
    ),
    "blank text": (
        "messages: text content blocks must be non-empty",
        {"system": [text(""), text("s")], "messages": [U([text("a"), text(" ")])]},
        {"system": [text("s")], "messages": [U([text("a")])]},
    ),
    "an id": (
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        {"messages": [U("a"), CALL, U([tr("c 1", "r")])]},
        {"messages": [U("a"), A([tu("c_1", "f")]), U([tr("c_1", "r")])]},
    ),
    "sampling": ("`temperature` is deprecated for this model.", {"temperature": 0.5}, {}),
    "effort": (
        "This model does not support effort level 'ultra'. Supported levels: low, medium, high, max.",
        {"output_config": {"effort": "xhigh"}},
        {"output_config": {"effort": "xhigh"}},
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_that_is_named_is_mended(case: str) -> None:
    words, fields, wanted = FAULTS[case]
    body = {k: v for k, v in NATIVE.items() if k in ("model", "max_tokens")} | {
        "messages": [U("Hi")]
    }
    given = {**body, **fields}
    before = copy.deepcopy(given)
    made = mended(Refused(given, CATALOGUE.get(OPUS), words, frozenset()), ThinkingOptions())
    assert given == before
    if fields == wanted:
        assert made is None
    else:
        assert made is not None
        assert made.request == {**body, **wanted}
        assert set(made.names) == set(fields)


@pytest.mark.parametrize(
    "words", ["Overloaded", "messages.0.content.0.new: Extra inputs are not permitted", ""]
)
def test_what_is_not_named_is_not_touched(words: str) -> None:
    faulty = {**NATIVE, "temperature": 0.5, "messages": [U([text("")])]}
    refused = Refused(faulty, CATALOGUE.get(OPUS), words, frozenset())
    assert mended(refused, ThinkingOptions()) is None


@pytest.mark.parametrize("seed", range(20))
def test_any_words_are_read(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    words = " ".join(rng.choice(FAULTS[rng.choice(list(FAULTS))][0].split()) for _ in range(30))
    mended(Refused(NATIVE, CATALOGUE.get(OPUS), words, frozenset()), ThinkingOptions())
