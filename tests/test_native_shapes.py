"""Whatever JSON an Anthropic client sends goes on as it came, or is Anthropic's to refuse: nothing here fails on it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mitmproxy import http

from addon.claude.thinking import ThinkingOptions
from addon.core.json_codec import loads
from addon.core.json_splice import spliced
from addon.exchange.state import Exchange
from addon.stand_in.access import API_KEY, OAUTH_TOKEN
from addon.translation.to_anthropic.native import Refused, is_readable, mended
from tests.claude.support import CATALOGUE
from tests.damaged import MESSAGES, Sent
from tests.test_fuzz import RequestPath

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False, width=16)
    | st.text()
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


KINDS = (
    "text",
    "tool_use",
    "tool_result",
    "thinking",
    "redacted_thinking",
    "image",
    "document",
    "search_result",
)
MARKS = ({"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"})

type Draw = st.DrawFn


def pick(draw: Draw, wanted: st.SearchStrategy[Any]) -> Any:
    """Mostly what is wanted."""
    return draw(wanted) if draw(st.integers(0, 7)) else draw(ANYTHING)


def some(draw: Draw, fields: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Some of the fields."""
    return {name: pick(draw, wanted) for name, wanted in fields.items() if draw(st.booleans())}


def many(draw: Draw, make: Callable[[Draw], Any], most: int) -> Any:
    if not draw(st.integers(0, 7)):
        return draw(ANYTHING)
    return [make(draw) for _ in range(draw(st.integers(0, most)))]


def leaf(draw: Draw) -> Any:
    if not draw(st.integers(0, 9)):
        return draw(ANYTHING)
    fields = {
        "text": st.text(),
        "id": st.just("toolu_1"),
        "tool_use_id": st.just("toolu_1"),
        "name": st.just("todo_write"),
        "input": ANYTHING,
        "thinking": st.text(),
        "signature": st.text(),
        "data": st.text(),
        "source": st.just({"type": "base64", "data": "aGk="}),
        "cache_control": st.sampled_from(MARKS),
        "new": ANYTHING,
    }
    return {"type": pick(draw, st.sampled_from(KINDS)), **some(draw, fields)}


def block(draw: Draw) -> Any:
    made = leaf(draw)
    if isinstance(made, dict) and draw(st.booleans()):
        made["content"] = many(draw, leaf, 3)
    return made


def message(draw: Draw) -> Any:
    if not draw(st.integers(0, 9)):
        return draw(ANYTHING)
    content = many(draw, block, 4) if draw(st.booleans()) else pick(draw, st.text())
    return {
        "role": pick(draw, st.sampled_from(("user", "assistant", "user", "assistant", "system"))),
        "content": content,
    }


@st.composite
def bodies(draw: Draw) -> dict[str, Any]:
    fields = {
        "max_tokens": st.integers(),
        "tool_choice": st.just({"type": "any"}),
        "thinking": st.fixed_dictionaries(
            {
                "type": st.sampled_from(("enabled", "adaptive", "disabled")),
                "budget_tokens": st.just(2000),
            },
            optional={"display": st.just("omitted")},
        ),
        "output_config": st.fixed_dictionaries({"effort": st.sampled_from(("low", "x"))}),
        "temperature": ANYTHING,
        "top_p": ANYTHING,
        "speed": ANYTHING,
        "stream": st.booleans(),
        "metadata": ANYTHING,
        "cache_control": st.sampled_from(MARKS),
        "new": ANYTHING,
    }
    lists = {"system": block, "tools": block}
    models = ("claude-opus-4-8", "claude-sonnet-4-5", "claude-opus-5-high")
    drawn = {
        "messages": many(draw, message, 20),
        **{name: many(draw, make, 3) for name, make in lists.items() if draw(st.booleans())},
        **some(draw, fields),
    }
    made = copy.deepcopy(drawn)
    for holder, key in draw(
        st.lists(st.sampled_from(list(leaves(made)) or [({}, "")]), max_size=2)
    ):
        holder[key] = None
    return {"model": draw(st.sampled_from(models)), **made}


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """What holds each value that is neither a list nor an object, and its place in there."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if isinstance(inner, dict | list):
            yield from leaves(inner)
        else:
            yield value, key


PLAIN = {"PROMPT_CACHE": "off", "CONTEXT_STRATEGY": "none"}
LONG = {
    "model": "claude-opus-4-8",
    "max_tokens": 9000,
    "messages": [
        {"role": role, "content": "a word " * 50} for role in ("user", "assistant") * 10 + ("user",)
    ],
}
SHORT = {"CONTEXT_STRATEGY": "trim", "CONTEXT_MAX_TOKENS": "100", "CONTEXT_TARGET_TOKENS": "50"}


@pytest.fixture
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RequestPath]]:
    def made(home: Path, **environ: str) -> RequestPath:
        return RequestPath(home, **environ)

    found = {
        name: made(tmp_path_factory.mktemp(name), **environ)
        for name, environ in {"plain": PLAIN, "default": {}, "short": SHORT}.items()
    }
    yield found
    for path in found.values():
        path.counter.close()


async def took(path: RequestPath, raw: bytes) -> tuple[http.HTTPFlow, Exchange]:
    return await path.take(Sent(MESSAGES, raw))


def is_readable_utf8(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


REFUSALS = (
    "effort",
    "messages: text content blocks must be non-empty",
    "`tool_use` ids",
    "cache_control block must not come after",
    "media type, but the image appears to be",
)
"""Words of which each asks for something else to be mended."""


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(bodies())
async def test_by_key_and_with_nothing_to_do_the_bytes_are_the_clients(
    paths: dict[str, RequestPath], body: dict[str, Any]
) -> None:
    body = {**body, "model": "claude-opus-4-8"}
    raw = is_readable_utf8(body)
    flow, exchange = await took(paths["plain"], raw)
    assert flow.response is None and exchange.claude is not None
    attempt = paths["plain"].attempts.api_key(exchange, exchange.claude, API_KEY)
    stream = {} if body.get("stream") is True else {"stream": True}
    assert attempt.body == spliced(raw, body, stream)
    assert attempt.changed == ()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(bodies(), st.sampled_from(["default", "short"]))
@example(LONG | {"thinking": {"type": "enabled", "budget_tokens": None}}, "short")
async def test_every_body_is_sent_or_refused_by_name(
    paths: dict[str, RequestPath], body: dict[str, Any], which: str
) -> None:
    path, raw = paths[which], is_readable_utf8(body)
    flow, exchange = await took(path, raw)
    if flow.response is not None:
        # only the settings may have asked for that: too long even after everything was cut, or a level that is none
        assert flow.response.status_code == 400, flow.response.text
        return
    assert exchange.claude is not None
    attempt = path.attempts.subscription(exchange, exchange.claude, OAUTH_TOKEN, 1)
    sent, given_body = loads(attempt.body), loads(raw)
    assert sent["stream"] is True
    names = {"model": "model", "system": "system", "context": "messages", "thinking": "messages"}
    touched = {names.get(what, what) for what in attempt.changed} | {"stream"}
    if attempt.changed and {"cache_control", "context"} & set(attempt.changed):
        touched |= {"tools", "system", "messages", "max_tokens"}
    if "model" in attempt.changed:
        touched |= {
            "thinking",
            "output_config",
            "max_tokens",
            "temperature",
            "tool_choice",
            "messages",
            "speed",
        }
    untouched = given_body.keys() - touched
    assert {name: sent[name] for name in untouched} == {
        name: given_body[name] for name in untouched
    }


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(bodies(), st.sampled_from(REFUSALS), st.sampled_from(("claude-opus-5", "claude-opus-4-5")))
@example(LONG | {"output_config": {"effort": "x"}}, "effort", "claude-opus-5")
@example(
    LONG | {"thinking": {"type": "enabled", "budget_tokens": 2000}, "top_p": "x"},
    "thinking",
    "claude-opus-4-5",
)
def test_a_refused_body_is_mended_or_left(body: dict[str, Any], words: str, model: str) -> None:
    if is_readable(body):
        mended(Refused(body, CATALOGUE.get(model), words, frozenset()), ThinkingOptions())
