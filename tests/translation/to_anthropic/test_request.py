"""What holds for every request: properties, and thousands of damaged bodies."""

from __future__ import annotations

import copy
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addon.core.errors import BadRequest
from addon.translation.to_anthropic.request import translate_chat, translate_responses
from addon.translation.types import RequestOptions, Translation
from tests.budget import examples, some
from tests.damaged import EVERYTHING, HOW, INPUT, JUNK, PNG, TOOLS, damaged, places
from tests.translation.asking import (
    CATALOGUE,
    MODELS,
    OPUS,
    TC,
    A,
    S,
    T,
    U,
    chat,
    finished,
    responses,
    text,
    tr,
    translated,
    tu,
)

ids = st.sampled_from(["c1", "c2", "c1", "a b", "a_b", "x" * 90, "", None])
words = st.sampled_from(["hi", "", " ", "\n", "a\ud83d", "\x00", "ü", "Begin."])
arguments = st.sampled_from(
    ["{}", '{"a":1}', "", None, "{", "[1]", '"x"', "NaN", "*** Begin Patch"]
)
names = st.sampled_from(["f", "g", "my tool!", "patch", "list"])
texts = st.builds(text, words)
images = st.just({"type": "image_url", "image_url": {"url": PNG}})
results = st.builds(tr, ids.filter(bool), words)
calls = st.builds(TC, ids, names, arguments)
contents = words | st.none() | st.lists(texts | images | results, max_size=4)
assistants = st.builds(
    lambda content, made: A(content, *made),
    words | st.none() | st.lists(texts | st.builds(tu, ids.filter(bool), names), max_size=3),
    st.lists(calls, max_size=3),
)
messages = st.lists(
    st.builds(U, contents)
    | st.builds(S, words | st.lists(texts, max_size=2))
    | assistants
    | st.builds(T, ids, words | st.none() | st.lists(texts | images, max_size=2))
    | st.builds(lambda content: {"role": "function", "name": "f", "content": content}, words),
    min_size=1,
    max_size=10,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.just(TOOLS),
        "max_tokens": st.integers(1, 300_000),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "stop": st.sampled_from(["a", " ", ["a", " "]]),
        "reasoning_effort": st.sampled_from(["none", "low", "high", "max"]),
        "parallel_tool_calls": st.booleans(),
        "response_format": st.just({"type": "json_object"}),
        "stream": st.booleans(),
        "user": words,
    },
)


@given(messages, options, st.sampled_from(MODELS))
@settings(max_examples=examples(300))
def test_every_chat_request_becomes_one_that_anthropic_takes(
    history: list, fields: dict, model: str
) -> None:
    translation = chat(*history, model=model, **fields)
    roles = [m["role"] for m in translation.request["messages"] if m["role"] != "system"]
    assert roles[0] == "user"
    assert all(one != other for one, other in itertools.pairwise(roles))
    finished(translation)


items = st.lists(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["user", "assistant"]), words)
    | st.builds(
        lambda call_id, name, given: {"type": "function_call", "call_id": call_id, "name": name, "arguments": given},
        ids, names, arguments,
    )
    | st.builds(lambda call_id, given: {"type": "function_call_output", "call_id": call_id, "output": given}, ids, words)
    | st.builds(lambda call_id: {"type": "custom_tool_call", "call_id": call_id, "name": "patch", "input": "p"}, ids)
    | st.just({"type": "reasoning", "summary": []}),
    min_size=1,
    max_size=10,
)  # fmt: skip


@given(items, st.sampled_from(MODELS))
def test_every_responses_request_too(given: list, model: str) -> None:
    finished(responses(given, model=model))


def test_the_result_shares_nothing_with_the_body() -> None:
    body = {
        "model": OPUS,
        "messages": EVERYTHING["messages"],
        "tools": TOOLS,
        "metadata": {"a": {}},
    }
    before = copy.deepcopy(body)
    _spoil(translated(body).request)
    assert body == before


def _spoil(value: Any) -> None:
    for item in list(value.values()) if isinstance(value, dict) else list(value):
        if isinstance(item, dict | list):
            _spoil(item)
    value.clear()


# ------------------------------------------------------------------------------------------ the longer history

spoken = st.sampled_from(["hi", "there", "ok"])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list, list[int]]:
    """A history as an agent makes it, and the places where the model was asked."""
    history: list[Any] = [S("s")] if draw(st.booleans()) else []
    asked_at = []
    for _ in range(draw(st.integers(1, 5))):
        history += draw(st.lists(st.builds(U, spoken), min_size=1, max_size=2))
        if draw(st.booleans()):
            history.append(S("late"))
        for _ in range(draw(st.integers(0, 3))):
            asked_at.append(len(history))
            made = draw(st.lists(st.builds(TC, ids, names, arguments), min_size=1, max_size=3))
            history.append(A(draw(spoken | st.none()), *made))
            answered = draw(st.permutations([T(call["id"], "r") for call in made]))
            history += answered[: draw(st.integers(1, 3))]
        asked_at.append(len(history))
        history.append(A(draw(spoken)))
    return history, asked_at


@given(conversations(), st.sampled_from([OPUS, "claude-sonnet-5", "claude-opus-5-5"]))
@settings(max_examples=examples(200))
def test_a_longer_history_begins_with_what_the_shorter_gave(
    conversation: tuple[list, list[int]], model: str
) -> None:
    history, asked_at = conversation
    whole = chat(*history, U("end"), model=model, tools=TOOLS).request
    for end in asked_at:
        shorter = chat(*history[:end], model=model, tools=TOOLS).request
        assert shorter["messages"] == whole["messages"][: len(shorter["messages"])]
        assert (shorter.get("system"), shorter["tools"]) == (whole.get("system"), whole["tools"])


def test_the_same_request_gives_the_same_bytes() -> None:
    first, second = (json.dumps(translated(copy.deepcopy(EVERYTHING)).request) for _ in range(2))
    assert first == second


# ------------------------------------------------------------------------------------------ damaged bodies


def outcome(translate: Any, body: dict, model: str) -> Translation | None:
    """None if refused by name; any other exception is a bug."""
    try:
        return translate(body, CATALOGUE.get(model), RequestOptions())  # type: ignore[no-any-return]
    except BadRequest as error:
        assert error.param, f"refused without naming the field: {error.message}"
        return None


SUBJECTS = {"chat": (translate_chat, EVERYTHING), "responses": (translate_responses, INPUT)}


@pytest.mark.parametrize(("translate", "body"), SUBJECTS.values(), ids=SUBJECTS)
def test_each_place_with_each_kind_of_junk(translate: Any, body: dict) -> None:
    """Some 5,000 bodies, or a part of them: refused by name, or translated into something that can be sent."""
    accepted = 0
    for path, junk in some([*itertools.product(places(body), JUNK)]):
        translation = outcome(translate, damaged(body, path, "replaced", junk), OPUS)
        if translation is not None:
            accepted += 1
            json.dumps(translation.request, ensure_ascii=False, allow_nan=False).encode()
    assert accepted > examples(500)


NEXT = {
    "messages": [A("b"), U("c")],
    "input": [{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
}


@pytest.mark.parametrize(("translate", "body"), SUBJECTS.values(), ids=SUBJECTS)
def test_a_conversation_is_never_stuck(translate: Any, body: dict) -> None:
    """Whatever stands in its history, the next turn goes out."""
    field = "messages" if "messages" in body else "input"
    spots = [(field, *path) for path in places(body[field])]
    for path, (how, junk) in some([*itertools.product(spots, [*_damage()])]):
        stuck = damaged(body, path, how, junk)
        stuck[field] = [*stuck[field], *NEXT[field]]
        translation = translate(stuck, CATALOGUE.get(OPUS), RequestOptions())
        sent = finished(translation)["messages"]
        assert sent[-1]["content"][-1] == text("c"), path
        new = [*stuck[field][:-1], {"role": "user", "content": [{"type": "audio"}]}]
        with pytest.raises(BadRequest) as refusal:
            translate({**stuck, field: new}, CATALOGUE.get(OPUS), RequestOptions())
        assert refusal.value.param == f"{field}[{len(new) - 1}].content[0]"


def _damage() -> Iterator[tuple[str, Any]]:
    yield from (("replaced", junk) for junk in JUNK)
    yield from ((how, None) for how in HOW if how != "replaced")


@pytest.mark.parametrize("seed", range(examples(4)))
def test_two_thousand_damaged_bodies_are_refused_or_valid(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    valid = 0
    for _ in range(600):
        translate, body = SUBJECTS[rng.choice(["chat", "responses"])]
        for _ in range(rng.randint(1, 3)):
            spots = list(places(body))
            body = (
                damaged(body, rng.choice(spots), rng.choice(HOW), rng.choice(JUNK))
                if spots
                else body
            )
        translation = outcome(translate, body, rng.choice(MODELS))
        if translation is not None and _is_ours_to_judge(body):
            finished(translation)
            valid += 1
    assert valid > 50


def _is_ours_to_judge(body: dict) -> bool:
    """`thinking` and `context_management` are passed on in Anthropic's own form; what is in them is not looked into
    here."""
    return body.get("thinking") in (None, EVERYTHING["thinking"])


@pytest.mark.parametrize("body", [None, [], "x", 5, {}], ids=repr)
@pytest.mark.parametrize("translate", [translate_chat, translate_responses])
def test_a_body_that_is_none(translate: Any, body: Any) -> None:
    with pytest.raises(BadRequest):
        translate(body, CATALOGUE.get(OPUS), RequestOptions())
