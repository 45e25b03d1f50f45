"""What Anthropic refuses by name is found in its words, left out, and remembered."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from addon.claude.refused_features import (
    STRICT_TOOLS,
    TTL,
    Feature,
    RefusedFeatures,
    refused_features,
    without,
)

HOUR = {"type": "ephemeral", "ttl": "1h"}
PLAIN = {"type": "ephemeral"}


def request(mark: dict[str, str], *at: str) -> dict[str, Any]:
    """A request with a cache mark in some places."""

    def marked(place: str, block: dict[str, Any]) -> dict[str, Any]:
        return {**block, "cache_control": mark} if place in at else block

    part = marked("part", {"type": "text", "text": "found"})
    answer = {"type": "tool_result", "tool_use_id": "t", "content": [part]}
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"cache_control": HOUR}}
    return marked(
        "request",
        {
            "system": [marked("system", {"type": "text", "text": "Be brief."})],
            "tools": [marked("tool", {"name": "n", "input_schema": {}})],
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": [call]},
                {"role": "user", "content": [marked("result", answer)]},
            ],
        },
    )


@pytest.mark.parametrize(
    "at",
    [("request",), ("system",), ("tool",), ("result",), ("part",), ("tool", "part")],
    ids="-and-".join,
)
def test_ttl_is_left_out_wherever_it_is(at: tuple[str, ...]):
    given = request(HOUR, *at)
    before = copy.deepcopy(given)
    assert without(given, [TTL]) == request(PLAIN, *at)
    assert given == before


@pytest.mark.parametrize("features", [[TTL], [Feature("field", "tools.*.strict")]])
def test_a_request_without_the_feature_is_shared(features: list[Feature]):
    given = request(PLAIN, "part", "system")
    assert without(given, features) is given


EXTRA = "Extra inputs are not permitted"
BETAS = ["context-1m-2025-08-07", "files-api-2025-04-14"]
NAMED = {
    "no name": ("The model is busy", []),
    "the long context": (
        "The long context beta is not yet available for this subscription.",
        [Feature("beta", "context-1m-2025-08-07")],
    ),
    "a beta": (
        "Unexpected value(s) `files-api-2025-04-14` for the `anthropic-beta` header.",
        [Feature("beta", "files-api-2025-04-14")],
    ),
    "a beta that was not sent": ("The beta `files-api-2025` is unknown", []),
    "ttl": (f"system.0.cache_control.ephemeral.ttl: {EXTRA}", [TTL]),
    "a field": (f"context_management: {EXTRA}", [Feature("field", "context_management")]),
    "two fields": (
        f"context_management: {EXTRA}, tools.1.custom.strict: {EXTRA}",
        [Feature("field", "context_management"), Feature("field", "tools.*.strict")],
    ),
    "a field that is not there": (f"tools.0.custom.strict: {EXTRA}", []),
    "a field of a block": (
        f"messages.0.content.0.text.new: {EXTRA}",
        [Feature("field", "messages.*.content.*.new")],
    ),
    "what no request goes without": (f"messages: {EXTRA}", []),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_refusal_names_what_the_request_has(case: str):
    message, features = NAMED[case]
    given = {
        "model": "m",
        "system": [{"type": "text", "text": "s", "cache_control": HOUR}],
        "tools": [{"name": "a"}, {"name": "b", "strict": True}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "t", "new": 1}]}],
        "context_management": {},
    }
    assert list(refused_features(message, given, BETAS)) == features
    for feature in features:
        assert feature.kind == "beta" or not refused_features(message, without(given, features), ())
    passed = refused_features(message, given, BETAS, passes=True)
    assert list(passed) == [f for f in features if not f.name.startswith("messages")]


def test_each_login_and_model_has_refusals_of_its_own():
    known = RefusedFeatures()
    known.note("login", "opus", [TTL])
    known.note("login", "opus", [TTL, Feature("beta", "b")])
    assert known.of("login", "opus") == (TTL, Feature("beta", "b"))
    assert known.of("login", "haiku") == known.of("other", "opus") == ()
    known.note("login", "opus", [Feature("field", str(n)) for n in range(99)])
    assert len(known.of("login", "opus")) < 99


@pytest.mark.parametrize(
    "words",
    [
        "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas or reduce"
        " the number of strict tools.",
        "Schema is too complex for compilation. Try reducing the number of tools or simplifying tool schemas.",
        "Schemas contains too many optional parameters (87), which would make grammar compilation inefficient. Reduce"
        " the number of optional parameters in your tool schemas (limit: 24).",
    ],
)
def test_strict_tools_whose_grammar_is_too_large(words: str):
    tools = [{"name": "a", "strict": True, "input_schema": {}}, {"name": "b", "input_schema": {}}]
    given = {"tools": tools, "messages": []}
    features = refused_features(words, given, ())
    assert features == (STRICT_TOOLS,)
    assert without(given, features)["tools"] == [
        {"name": name, "input_schema": {}} for name in ("a", "b")
    ]
    assert refused_features(words, {"tools": tools[1:]}, ()) == ()
    assert refused_features(words, given, (), passes=True) == ()
