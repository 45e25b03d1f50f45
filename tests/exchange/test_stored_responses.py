"""What Responses clients may refer to later: for how long, how much of it, and whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from addon.core.content_encoding import MAX_BODY
from addon.core.errors import BadRequest, CCProxyError, NotFound, TooLarge
from addon.exchange.stored_responses import LIFETIME, MOST, ROOM, StoredResponses
from tests.clock import Clock

type JsonObject = dict[str, Any]
ME, SOMEBODY = "me", "somebody"


@pytest.fixture
def clock() -> Clock:
    return Clock(0.0)


@pytest.fixture
def stored(clock: Clock) -> StoredResponses:
    return StoredResponses(clock)


def said(name: str, text: str = "yes") -> JsonObject:
    part = {"type": "output_text", "text": text}
    return {"id": f"msg_{name}_1", "type": "message", "role": "assistant", "content": [part]}


def thought(name: str) -> JsonObject:
    return {"id": f"rs_{name}_0", "type": "reasoning", "summary": [], "encrypted_content": "ccp1:"}


def ask(
    stored: StoredResponses, name: str, given: Any, owner: str = ME, **fields: Any
) -> list[Any]:
    """Ask, answer with thinking and a word, and keep it. Returns the input as it was sent."""
    resolved = stored.resolve(owner, {"model": "m", "input": given, **fields})
    response = {"id": f"resp_{name}", "output": [thought(name), said(name)]}
    if resolved.store:
        stored.keep(owner, resolved, response)
    sent = resolved.body["input"]
    return list(sent) if isinstance(sent, list) else [sent]


def user(text: str) -> JsonObject:
    return {"role": "user", "content": text}


def texts(items: list[Any]) -> list[str]:
    """What each item says; the type for items without text."""
    return [item if isinstance(item, str) else _text(item) for item in items]


def _text(item: JsonObject) -> str:
    content = item.get("content") or item["type"]
    return content if isinstance(content, str) else str(content[0]["text"])


def reference(item_id: str) -> JsonObject:
    return {"type": "item_reference", "id": item_id}


def test_a_request_that_refers_to_nothing_stays_as_it_is(stored: StoredResponses) -> None:
    body = {"model": "m", "input": [user("a")], "x": 1}
    resolved = stored.resolve(ME, body)
    assert (resolved.body, resolved.added, resolved.store) == (body, 0, True)


def test_a_chain_is_the_whole_conversation(stored: StoredResponses) -> None:
    assert ask(stored, "1", "a") == ["a"]
    ask(stored, "2", [user("b")], previous_response_id="resp_1")
    sent = ask(stored, "3", "c", previous_response_id="resp_2")
    assert texts(sent) == ["a", "reasoning", "yes", "b", "reasoning", "yes", "c"]
    assert stored.resolve(ME, {"input": "d", "previous_response_id": "resp_3"}).added > 200


def test_each_response_keeps_only_what_is_new(stored: StoredResponses) -> None:
    ask(stored, "1", "long " * 1000)
    before = stored.held
    ask(stored, "2", "b", previous_response_id="resp_1")
    assert stored.held - before < 1000


def test_two_may_go_on_from_one(stored: StoredResponses) -> None:
    ask(stored, "1", "a")
    for name in ("2", "3"):
        sent = ask(stored, name, name, previous_response_id="resp_1")
        assert texts(sent) == ["a", "reasoning", "yes", name]


def test_references_are_followed(stored: StoredResponses) -> None:
    """As the AI SDK's default provider sends earlier turns."""
    ask(stored, "1", [user("a")])
    sent = ask(stored, "2", [user("a"), reference("rs_1_0"), reference("msg_1_1"), user("b")])
    assert sent == [user("a"), thought("1"), said("1"), user("b")]
    untyped = ask(stored, "3", [{"id": "msg_2_1"}, {"type": None, "id": "msg_1_in0"}])
    assert untyped == [said("2"), {"id": "msg_1_in0", **user("a")}]


def test_references_in_an_earlier_input_are_followed(stored: StoredResponses) -> None:
    ask(stored, "1", [user("a")])
    ask(stored, "2", [reference("msg_1_1")])
    assert texts(ask(stored, "3", "c", previous_response_id="resp_2"))[0] == "yes"
    assert stored.input_items(ME, "resp_2") == [said("1")]


def test_lost_reasoning_is_left_out(stored: StoredResponses) -> None:
    assert ask(stored, "2", [reference("rs_gone_0"), user("b")]) == [user("b")]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        (
            {"input": "b", "previous_response_id": "resp_gone"},
            "previous_response_id",
            "previous_response_not_found",
        ),
        ({"input": [user("b"), reference("msg_gone_1")]}, "input[1].id", "item_not_found"),
        ({"input": [reference("msg_1_7")]}, "input[0].id", "item_not_found"),
        ({"input": [reference("")]}, "input[0].id", "item_not_found"),
    ],
)
def test_what_is_not_kept_is_a_404_that_says_what_to_send(
    fields: JsonObject, param: str, code: str, stored: StoredResponses
) -> None:
    ask(stored, "1", "a")
    with pytest.raises(NotFound, match="send the whole input") as lost:
        stored.resolve(ME, fields)
    assert (lost.value.param, lost.value.code) == (param, code)


def test_a_lost_ancestor_is_a_404(stored: StoredResponses) -> None:
    ask(stored, "1", "a")
    ask(stored, "2", "b", previous_response_id="resp_1")
    stored.delete(ME, "resp_1")
    for read in (
        lambda: stored.resolve(ME, {"input": "c", "previous_response_id": "resp_2"}),
        lambda: stored.input_items(ME, "resp_2"),
    ):
        with pytest.raises(NotFound, match="resp_1"):
            read()
    assert stored.response(ME, "resp_2")["output"]


@pytest.mark.parametrize("fields", [{"previous_response_id": 5}, {"store": "yes"}, {"input": 5}])
def test_wrong_types_are_refused_by_name(fields: JsonObject, stored: StoredResponses) -> None:
    with pytest.raises(BadRequest) as refused:
        stored.resolve(ME, {"input": "a", **fields})
    assert refused.value.param == next(iter(fields))


def test_store_false_keeps_nothing(stored: StoredResponses) -> None:
    ask(stored, "1", "a", store=False)
    assert (len(stored), stored.held) == (0, 0)


def test_what_one_stores_another_does_not_find(stored: StoredResponses) -> None:
    ask(stored, "1", "a")
    for read in (
        lambda: stored.response(SOMEBODY, "resp_1"),
        lambda: stored.input_items(SOMEBODY, "resp_1"),
        lambda: stored.delete(SOMEBODY, "resp_1"),
        lambda: ask(stored, "2", "b", SOMEBODY, previous_response_id="resp_1"),
        lambda: ask(stored, "2", [reference("msg_1_1")], SOMEBODY),
    ):
        with pytest.raises(NotFound):
            read()
    assert stored.response(ME, "resp_1")


def test_the_oldest_go_first(stored: StoredResponses) -> None:
    for number in range(MOST + 5):
        ask(stored, str(number), "a")
    assert len(stored) == MOST
    with pytest.raises(NotFound):
        stored.response(ME, "resp_4")
    assert stored.response(ME, "resp_5")


def test_no_more_is_kept_than_the_room(stored: StoredResponses) -> None:
    for number in range(10):
        ask(stored, str(number), "a" * (ROOM // 4))
        assert stored.held <= ROOM
    assert len(stored) == 3
    ask(stored, "large", "a" * ROOM)
    assert len(stored) == 3, "one that is larger than the room drives nothing out"


def test_a_day_is_the_longest(clock: Clock, stored: StoredResponses) -> None:
    ask(stored, "1", "a")
    clock.now = LIFETIME
    ask(stored, "2", "b")
    assert stored.response(ME, "resp_1")
    clock.now += 1
    with pytest.raises(NotFound):
        stored.response(ME, "resp_1")
    assert len(stored) == 1


def test_references_are_not_a_bomb(stored: StoredResponses) -> None:
    ask(stored, "1", [user("a" * (ROOM // 2))])
    with pytest.raises(TooLarge, match=f"{MAX_BODY // 2**20} MB"):
        stored.resolve(ME, {"input": [reference("msg_1_in0")] * 1000})


def test_input_items_are_all_that_was_answered(stored: StoredResponses) -> None:
    ask(stored, "1", "a")
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    ask(stored, "2", [output, {"id": "mine", **user("b")}], previous_response_id="resp_1")
    items = stored.input_items(ME, "resp_2")
    assert [item["id"] for item in items] == ["msg_1_in0", "rs_1_0", "msg_1_1", "fco_2_in0", "mine"]


def test_an_id_that_comes_again_replaces_the_first(stored: StoredResponses) -> None:
    ask(stored, "1", "a")
    held = stored.held
    ask(stored, "1", "a")
    assert (len(stored), stored.held) == (1, held)


@pytest.mark.parametrize(
    "item_id",
    ["_", "msg__", "msg_1", "resp_1", "x" * 100_000, "msg_1_in99"],
    ids=["_", "msg__", "msg_1", "resp_1", "long", "msg_1_in99"],
)
def test_no_id_is_more_than_not_found(item_id: str, stored: StoredResponses) -> None:
    ask(stored, "1", "a")
    with pytest.raises(CCProxyError) as lost:
        stored.resolve(ME, {"input": [reference(item_id)]})
    assert lost.value.status == 404
    assert len(lost.value.message) < 300


def test_a_connection_keeps_for_itself_what_is_not_stored(stored: StoredResponses) -> None:
    mine = stored.resolve(ME, {"input": "a", "store": False}, "socket")
    stored.keep("socket", mine, {"id": "resp_1", "output": [said("1")]})
    going_on = {"input": "b", "previous_response_id": "resp_1"}
    assert texts(stored.resolve(ME, going_on, "socket").body["input"]) == ["a", "yes", "b"]
    for owners in ((ME,), (ME, "another"), (SOMEBODY,)):
        with pytest.raises(NotFound):
            stored.resolve(owners[0], going_on, *owners[1:])
    with pytest.raises(NotFound):
        stored.response(ME, "resp_1")
    stored.evict("another", "resp_1")
    assert len(stored) == 1
    stored.forget("socket")
    assert (len(stored), stored.held) == (0, 0)
