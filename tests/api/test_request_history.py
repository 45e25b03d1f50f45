"""What is kept of requests: so many, so much, and as text."""

from __future__ import annotations

from typing import Any

from addon.api.request_history import RequestHistory, as_text


def entry(ident: str, size: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": ident, "flow": f"flow-{ident}", "time": 1, "model": "m", "status": 200, "error": None, "notes": [], "ignored": [],
        "client": {"method": "POST", "path": "/v1/messages", "headers": [], "body": {"messages": [{"role": "user", "content": "x" * size}]}},
        "upstream": [], "answer": {}, **more,
    }  # fmt: skip


def test_the_newest_are_kept() -> None:
    explained = RequestHistory(kept=3)
    for number in range(5):
        explained.put(entry(str(number)))
    assert [row["id"] for row in explained.newest()] == ["4", "3", "2"]
    assert explained.get("1") is None


def test_large_ones_push_older_ones_out() -> None:
    explained = RequestHistory(most_bytes=5_000)
    for number in range(5):
        explained.put(entry(str(number), size=2_000))
    assert [row["id"] for row in explained.newest()] == ["4", "3"]


def test_one_that_is_too_large_by_itself_is_kept_until_the_next() -> None:
    explained = RequestHistory(most_bytes=100)
    explained.put(entry("a", size=1_000))
    assert explained.get("a") is not None


def test_a_flow_finds_its_request() -> None:
    explained = RequestHistory()
    explained.put(entry("a"))
    assert (explained.of_flow("flow-a") or {})["id"] == "a"
    assert explained.of_flow("flow-b") is None


def test_the_text_has_all_three_sides() -> None:
    attempt = {
        "source": "api_key", "credential": "ANTHROPIC_API_KEY", "url": "https://api.anthropic.com:443/v1/messages",
        "headers": [["anthropic-version", "2023-06-01"]], "body": {"messages": [{"role": "user", "content": "sent"}]},
        "outcome": "200", "reason": "rate_limited",
    }  # fmt: skip
    answer = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "back"}]}
    text = as_text(
        entry("a", 3, upstream=[attempt], answer=answer, notes=["an empty block was left out"])
    )
    places = [
        text.index(part)
        for part in (
            "THE CLIENT SENT  POST /v1/messages", "xxx", "SENT UPSTREAM  https://api.anthropic.com", "because of rate_limited: 200",
            "anthropic-version: 2023-06-01", "sent", "NOTES  an empty block was left out", "CAME BACK  200", "back",
        )
    ]  # fmt: skip
    assert places == sorted(places)


def test_a_body_that_is_no_conversation_is_shown_as_it_is() -> None:
    client = {"method": "POST", "path": "/v1/messages", "headers": [], "body": "not JSON"}
    assert '"not JSON"' in as_text(entry("a", client=client))
