"""What is kept of requests: so many, so much, and as text."""

from __future__ import annotations

import cProfile
import json
import random
from typing import Any

import pytest

from addon.api.request_history import LARGE, SMALL, Body, Entry, RequestHistory, Sent, as_text
from addon.claude.catalogue import Catalogue
from tests.documents import text

HEAD = {
    "time": 1, "dialect": "messages", "model": "m", "status": 200, "error": None, "notes": [], "ignored": [], "conversation": None, "title": "", "name": "",
    "client": {"method": "POST", "path": "/v1/messages", "headers": []},
}  # fmt: skip


def noise(size: int) -> bytes:
    """Text that can't be compressed much."""
    text = random.Random(size).randbytes(size).hex()[:size]  # noqa: S311
    return json.dumps({"messages": [{"role": "user", "content": text}]}).encode()


def entry(ident: str, body: bytes = b"{}", **more: Any) -> Entry:
    return Entry(head={**HEAD, "id": ident, "flow": f"flow-{ident}", **more}, client=Body(body))


def ids(history: RequestHistory) -> list[str]:
    return [row["id"] for row in history.newest()]


def test_the_newest_are_kept() -> None:
    history = RequestHistory(kept=3)
    for number in range(5):
        history.put(entry(str(number)))
    assert ids(history) == ["4", "3", "2"]
    assert history.get("1") is None


def test_large_ones_push_older_ones_out() -> None:
    history = RequestHistory(most_bytes=11_000)
    for number in range(5):
        history.put(entry(str(number), noise(4_000)))
    assert ids(history) == ["4", "3"]


@pytest.mark.parametrize("size", [SMALL // 2, SMALL * 2, LARGE * 10])
def test_what_is_kept_is_what_was_sent(size: int) -> None:
    history = RequestHistory(waiting=0)
    body = json.dumps({"messages": [{"role": "user", "content": "word " * (size // 5)}]}).encode()
    history.put(entry("a", body))
    history.close()
    found = history.get("a")
    assert found is not None and found.client.read() == body
    assert len(found.client) < max(SMALL, size / 10)
    assert found.shown()["client"]["body"] == json.loads(body)


def test_a_body_that_is_passed_on_is_kept_once() -> None:
    kept = entry("a", noise(1_000))
    alone = len(kept)
    kept.upstream.append(Sent(head={"source": "api_key"}, body=kept.client))
    assert len(kept) == alone


def test_the_newest_is_kept_and_cut_if_it_must_be() -> None:
    history = RequestHistory(most_bytes=5_000)
    history.put(entry("a"))
    history.put(entry("b", noise(40_000)))
    history.close()
    assert ids(history) == ["b"]
    newest = history.get("b")
    assert newest is not None and len(newest) <= 5_000
    assert newest.shown()["client"]["body"].startswith('{"messages"')


def grown(turns: int, tail: bytes = b"]") -> bytes:
    return b"[" + b",".join(noise(5_000 + turn) for turn in range(turns)) + tail


def test_of_a_turn_only_what_the_next_one_lacks_is_kept() -> None:
    history = RequestHistory()
    bodies = {f"{turn}": grown(turn, b'], "tools": []') for turn in range(10, 40)}
    bodies["branch"] = grown(20, b', "again"]')
    for ident, body in bodies.items():
        turn = entry(ident, body, conversation="x")
        turn.upstream = [Sent(head={}, body=Body(b"first try")), Sent(head={}, body=Body(b"{" + body))]  # fmt: skip
        history.put(turn)
    history.close()
    for ident, body in bodies.items():
        found = history.get(ident)
        assert found is not None and found.client.read() == body
        assert [sent.body.read() for sent in found.upstream] == [b"first try", b"{" + body]
        if ident not in ("39", "branch"):  # the branch has too little of the one before
            assert len(found.client) < 100


def test_other_conversations_between_two_turns_change_nothing() -> None:
    history = RequestHistory(waiting=300_000)
    bodies = {}
    for turn in range(10, 20):
        for name in "abcd":
            ident = f"{name}{turn}"
            bodies[ident] = name.encode() + grown(turn)
            history.put(entry(ident, bodies[ident], conversation=name))
    history.close()
    assert {i: found.client.read() for i in ids(history) if (found := history.get(i))} == bodies
    assert all(len(history.get(ident) or b"") < 60_000 for ident in list(bodies)[:-4])


def test_memory_is_bounded_whatever_is_put_in() -> None:
    history, rng = RequestHistory(most_bytes=200_000), random.Random(3)  # noqa: S311
    for number in range(400):
        history.put(entry(str(number), noise(rng.choice((50, 3_000, 60_000)))))
        held = sum(len(history.get(ident) or b"") for ident in ids(history))
        assert held <= 200_000
    history.close()


@pytest.mark.parametrize("size", [SMALL // 2, SMALL * 2])
def test_a_request_costs_no_more_once_the_history_is_full(size: int) -> None:
    body = noise(size)
    history, calls = RequestHistory(kept=300, most_bytes=700_000), []
    for number in range(1_000):
        with cProfile.Profile() as profile:
            history.put(entry(str(number), body))
        calls.append(sum(each.callcount for each in profile.getstats()))
    assert max(calls[900:]) <= max(calls[:100]) + 10


def test_a_flow_finds_its_request_and_a_turn_the_one_before() -> None:
    history = RequestHistory()
    turns = [entry(ident, conversation=name) for ident, name in (("a", "x"), ("b", "y"), ("c", "x"), ("d", None), ("e", None))]  # fmt: skip
    for turn in turns:
        history.put(turn)
    assert history.of_flow("flow-b") is turns[1]
    assert history.of_flow("flow-z") is None
    assert [history.before(turn) for turn in turns] == [None, None, turns[0], None, None]


def test_secrets_are_hidden_when_it_is_shown() -> None:
    key = "sk-ant-api03-canary-canary"
    kept = entry(
        "a",
        json.dumps({"messages": key}).encode(),
        error=f"bad {key}",
        client={"path": f"/v1?x={key}"},
    )
    kept.upstream.append(Sent(head={"url": key}, body=Body(key.encode())))
    kept.answer = Body(json.dumps([key]).encode())
    assert key in repr(kept.client.read())
    assert key not in json.dumps(kept.shown())


def test_the_list_hides_secrets_too() -> None:
    history = RequestHistory()
    key = "sk-ant-api03-canary-canary"
    history.put(entry("a", title=f"My key is {key}", error=f"bad {key}"))
    assert key not in json.dumps(history.newest())


def test_a_cut_answer_has_no_usage() -> None:
    kept = entry("a", model="claude-opus-4-8")
    kept.upstream.append(Sent(head={"changed": []}, body=Body(noise(100))))
    kept.answer = Body(b'{"usage": {"inp')
    found = kept.anatomy(Catalogue.load(text("addon/claude/models.toml")).get)
    assert found["tokens"] > 0 and not found["exact"]


def test_the_text_has_all_three_sides() -> None:
    attempt = {
        "source": "api_key", "credential": "ANTHROPIC_API_KEY", "url": "https://api.anthropic.com:443/v1/messages",
        "headers": [["anthropic-version", "2023-06-01"]], "outcome": "200", "reason": "rate_limited",
    }  # fmt: skip
    kept = entry("a", noise(30), notes=["an empty block was left out"])
    kept.upstream.append(
        Sent(head=attempt, body=Body(b'{"messages": [{"role": "user", "content": "sent"}]}'))
    )
    kept.answer = Body(
        b'{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "back"}]}'
    )
    text = as_text(kept.shown())
    places = [
        text.index(part)
        for part in (
            "THE CLIENT SENT  POST /v1/messages", "SENT UPSTREAM  https://api.anthropic.com", "because of rate_limited: 200",
            "anthropic-version: 2023-06-01", "sent", "NOTES  an empty block was left out", "CAME BACK  200", "back",
        )
    ]  # fmt: skip
    assert places == sorted(places)


def test_a_body_that_is_no_conversation_is_shown_as_it_is() -> None:
    assert "not JSON" in as_text(entry("a", b"not JSON").shown())


def test_conversations_are_called_by_their_first_words() -> None:
    history = RequestHistory()
    for turn in (
        entry("a", conversation="x", title="one"),
        entry("b", conversation="x", title="two"),
        entry("c"),
    ):
        history.put(turn)
    assert history.titles({"x"}, str.upper) == {"x": "TWO"}
