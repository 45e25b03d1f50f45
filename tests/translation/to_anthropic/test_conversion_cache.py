"""What was converted before is found again, and nothing else is."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addon.claude.prompt_cache import place_breakpoints
from addon.claude.subscription_request import for_subscription
from addon.core.errors import BadRequest
from addon.translation.to_anthropic.content import Turn
from addon.translation.to_anthropic.conversion_cache import (
    HISTORIES,
    LONGEST_HISTORY,
    OVERHEAD,
    ConversionCache,
)
from addon.translation.to_anthropic.messages import convert_turns, message_turn
from addon.translation.to_anthropic.repair import repair
from addon.translation.to_anthropic.request import translate_chat, translate_responses
from addon.translation.to_anthropic.tools import Toolbox
from addon.translation.types import RequestOptions, Translation
from tests.budget import examples
from tests.translation.asking import (
    CATALOGUE,
    OPUS,
    TC,
    A,
    S,
    T,
    U,
    context,
    finished,
    function,
    text,
)
from tests.translation.strategies import json_values

INFINITY = float("inf")


class Maker:
    """Gives back what it is given, and counts."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def __call__(self, source: Any) -> list[Any]:
        self.made.append(source)
        return [source]


@given(json_values)
def test_equal_json_is_made_once_whichever_objects_it_consists_of(value: Any) -> None:
    cache, make = ConversionCache(), Maker()
    first = cache.recall(make, value, "scope")
    assert cache.recall(make, json.loads(json.dumps(value)), "scope") is first
    assert len(make.made) == 1


DIFFERENT = {
    "kinds-of-one": (1, 1.0, True, "1"),
    "nothings": (None, False, 0, 0.0, -0.0, "", [], {}),
    "what-json-has-no-word-for": (None, INFINITY, -INFINITY, "Infinity"),
    "halves-of-an-emoji": ("\ud83d", "\ud83e", "?", "\ufffd"),
    "big-numbers": (2**64, 2**64 + 1, float(2**64)),
    "order-of-keys": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "nesting": ([[1], 2], [[1, 2]], [1, [2]]),
}


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_values_that_could_be_taken_for_each_other(values: tuple[Any, ...]) -> None:
    cache, make = ConversionCache(), Maker()
    for value in values:
        cache.recall(make, [value], "scope")
    assert len(make.made) == len(values)


def test_another_scope_is_another_value() -> None:
    cache, make = ConversionCache(), Maker()
    assert cache.recall(make, "x", "a") is not cache.recall(make, "x", "b")


def test_what_is_refused_is_refused_each_time() -> None:
    cache = ConversionCache()
    for _ in range(2):
        with pytest.raises(BadRequest):
            cache.recall(_refuse, {}, "scope")
    assert cache.held == 0


def _refuse(source: Any) -> None:
    raise BadRequest("no")


def test_what_is_nested_too_deeply_to_be_looked_up_is_made() -> None:
    deep: list[Any] = []
    for _ in range(3000):
        deep = [deep]
    cache, make = ConversionCache(), Maker()
    cache.recall(make, deep, "scope")
    assert len(make.made) == 1
    assert cache.held == 0


def test_the_one_unused_for_longest_goes_first() -> None:
    cache, make = ConversionCache(room=3 * (OVERHEAD + 100)), Maker()
    for source in ("a", "b", "c", "a", "d", "a", "b"):
        cache.recall(make, source, "scope")
    assert make.made == ["a", "b", "c", "d", "b"]


def test_the_room_is_never_exceeded() -> None:
    room = 10 * OVERHEAD
    cache, make = ConversionCache(room), Maker()
    for number in range(100):
        cache.recall(make, f"{number}" * 300, "scope")
        assert 0 < cache.held <= room
    cache.recall(make, "x" * room, "scope")
    assert cache.held == 0


# ---------------------------------------------------------------------------------------------------- conversations


class Converter:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, message: Any, context: Toolbox) -> Turn:
        self.seen.append(message)
        return message_turn(message, context)


def test_of_a_grown_conversation_only_what_is_new_is_converted() -> None:
    convert, cache = Converter(), ConversionCache()
    history = [U([text("a")]), A(None, TC("c1")), U([text("b")])]
    convert_turns(history, convert, context(), "messages", cache)
    convert.seen.clear()
    new = A("more", TC("c2"))
    turns = convert_turns([*copy.deepcopy(history), new], convert, context(), "messages", cache)
    assert convert.seen == [new]
    assert turns == convert_turns(
        [*history, new], message_turn, context(), "messages", ConversionCache()
    )


class Asked:
    """Conversations with one cache."""

    def __init__(self) -> None:
        self.cache, self.convert = ConversionCache(), Converter()

    def converted(self, *messages: Any) -> list[Any]:
        """What had to be converted of a request, which is as it is without the cache."""
        self.convert.seen.clear()
        given = copy.deepcopy([*messages])
        turns = convert_turns(given, self.convert, context(), "messages", self.cache)
        alone = convert_turns([*messages], message_turn, context(), "messages", ConversionCache())
        assert turns == alone
        return [*self.convert.seen]


def test_strings_are_converted_once_where_they_stood_on_the_last_turn() -> None:
    asked = Asked()
    history = [S("be brief"), U("a"), A("b"), A("c", TC("c1")), T("c1", "d")]
    other = [S("be brief"), U("else"), A("b")]
    assert asked.converted(*history) == history
    assert asked.converted(*other) == other[1:]
    assert asked.converted(*history, A("e"), U("f")) == [A("e"), U("f")]
    assert asked.converted(*other, U("g")) == [U("g")]
    branch = [*history[:4], T("c1", "another")]
    assert asked.converted(*branch) == branch[-1:]
    assert asked.converted(*branch, A("h")) == [A("h")]


ALIKE = {
    "order-of-keys": ({**U("a"), "x": "1", "y": "2"}, {**U("a"), "y": "2", "x": "1"}),
    "kinds-of-one": ({**U("a"), "x": 1}, {**U("a"), "x": True}),
    "null-and-nothing": ({**U("a"), "name": None}, U("a")),
    "a-list-in-between": ({**U("a"), "x": ["b"]}, {**U("a"), "x": ["c"]}),
}


@pytest.mark.parametrize(("before", "after"), ALIKE.values(), ids=ALIKE)
def test_messages_that_could_be_taken_for_each_other(before: Any, after: Any) -> None:
    asked = Asked()
    asked.converted(before, A("b"))
    assert asked.converted(after, A("b"))[0] == after


def test_what_is_left_out_of_the_history_is_refused_where_it_is_new() -> None:
    cache, wrong = ConversionCache(), {"role": "robot", "content": "x"}
    convert_turns([U("a"), wrong, A("b"), U("c")], message_turn, context(), "messages", cache)
    with pytest.raises(BadRequest, match="unknown role"):
        convert_turns([U("a"), wrong], message_turn, context(), "messages", cache)


def test_histories_are_few_and_not_long() -> None:
    asked = Asked()
    first = [U("a"), A("b")]
    asked.converted(*first)
    for number in range(HISTORIES):
        asked.converted(U(f"{number}"), A("b"))
    assert asked.converted(*first) == first
    long = [U("a" * LONGEST_HISTORY), A("b")]
    asked.converted(*long)
    assert asked.converted(*long) == long


CONTEXTS = {
    "a-custom-tool": context({"type": "custom", "name": "f"}),
    "a-wrapped-tool": context(function(parameters={"type": "array"})),
    "a-namespace": context({"type": "namespace", "name": "n", "tools": [function()]}),
}


@pytest.mark.parametrize("other", CONTEXTS.values(), ids=CONTEXTS)
def test_a_change_of_what_names_and_inputs_depend_on_converts_anew(other: Toolbox) -> None:
    convert, cache, message = Converter(), ConversionCache(), A(None, TC("c1"))
    convert_turns([message], convert, context(function()), "messages", cache)
    convert_turns([message], convert, other, "messages", cache)
    assert len(convert.seen) == 2


def test_a_tool_described_otherwise_does_not() -> None:
    convert, cache, message = Converter(), ConversionCache(), A(None, TC("c1"))
    for description in ("a", "b"):
        tools = context(function(description=description))
        convert_turns([message], convert, tools, "messages", cache)
    assert len(convert.seen) == 1


MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
words = st.sampled_from(["a", "b ", " ", "é\ud83d"])
parts = st.lists(
    st.builds(text, words) | st.builds(lambda said: text(said) | MARK, words) | st.just(IMAGE),
    max_size=4,
)
idents = st.sampled_from(["c1", "c2", "c 3", ""])
calls = st.lists(
    st.builds(
        TC, idents, st.sampled_from(["f", "g h"]), st.sampled_from(["{}", '{"a": [1]}', "no"])
    ),
    max_size=2,
)
chats = st.lists(
    st.builds(U, words | parts)
    | st.builds(S, words)
    | st.builds(T, idents, words | parts)
    | st.builds(lambda said, made: A(said, *made), words, calls),
    min_size=1,
    max_size=10,
)


def sent(translation: Translation) -> Any:
    """After all that comes behind the translation."""
    request = finished(translation)
    repair(request, CATALOGUE.get(OPUS))
    return for_subscription(place_breakpoints(request, CATALOGUE.get(OPUS), 100_000), "Be brief.")


@settings(max_examples=examples(150), deadline=None)
@given(chats, st.sampled_from([{}, {"tools": [function(), function("g h", **MARK)]}]))
def test_a_remembered_conversation_is_translated_to_the_same(messages: Any, fields: Any) -> None:
    """At each of its turns, and although what became of the one before was sent on its way."""
    cache = ConversionCache()
    for length in range(1, len(messages) + 1):
        body = {"model": OPUS, "messages": messages[:length], **fields}
        told = translate_chat(copy.deepcopy(body), CATALOGUE.get(OPUS), RequestOptions(), cache)
        assert told == translate_chat(body, CATALOGUE.get(OPUS), RequestOptions())
        before = copy.deepcopy(told.request)
        sent(told)
        assert told.request == before


def test_items_and_messages_are_not_taken_for_each_other() -> None:
    """A result of the Responses API is no message, whatever was said before."""
    cache = ConversionCache()
    item = {"type": "function_call_output", "call_id": "c1", "role": "user", "output": [text("x")]}
    model, options = CATALOGUE.get(OPUS), RequestOptions()
    translate_chat({"model": OPUS, "messages": [item]}, model, options, cache)
    given = {"model": OPUS, "input": [item]}
    remembered = translate_responses(given, model, options, cache)
    assert remembered == translate_responses(given, model, options)
