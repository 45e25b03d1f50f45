"""Who asks is told in `/analytics`, and the name that a user gives is off the request before it goes on."""

from __future__ import annotations

from typing import Any

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e.conftest import StartProxy

SECRET = "p@ss-of-a-good-length-1234"
BODY = {
    "model": "claude-haiku-5-5",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "hi"}],
}


def rows(proxy: Any, by: str) -> dict[str | None, Any]:
    headers = {"authorization": f"Bearer {SECRET}"}
    told = proxy.get(f"/analytics?by={by}", headers=headers).json()
    assert (told["by"], told["period"]) == (by, "day")
    return {row[by]: row for row in told["rows"]}


def test_by_client_name_session_model_and_day(start_proxy: StartProxy, fake: FakeAnthropic) -> None:
    proxy = start_proxy(PROXY_SECRET_KEY=SECRET, REQUIRE_SECRET_LOCALLY="true")
    sent = [
        ("/v1/chat/completions", SECRET, "claude-cli/2.1.0"),
        ("/@work/v1/chat/completions", SECRET, "claude-cli/2.1.0"),
        ("/v1/chat/completions", f"{SECRET}@home", "OpenAI/Python 3.57.0"),
    ]
    for path, key, agent in sent:
        headers = {"x-api-key": key, "user-agent": agent}
        body = {**BODY, "prompt_cache_key": f"s-{key[-4:]}"}
        answer = proxy.post(path, body, headers=headers)
        assert answer.status_code == 200, answer.text
    metadata = {"cursorConversationId": "cursor-1"}
    chat = {"model": "claude-haiku-5-5", "messages": BODY["messages"], "metadata": metadata}
    headers = {"authorization": f"Bearer {SECRET}", "user-agent": "Go-http-client/2.0"}
    assert proxy.post("/v1/chat/completions", chat, headers=headers).status_code == 200

    assert {name: row["requests"] for name, row in rows(proxy, "client").items()} == {
        "claude-code": 2, "openai-python": 1, "cursor": 1,
    }  # fmt: skip
    assert {name: row["requests"] for name, row in rows(proxy, "name").items()} == {
        None: 2, "work": 1, "home": 1,
    }  # fmt: skip
    assert set(rows(proxy, "session")) == {"s-1234", "s-home", "cursor-1"}
    assert rows(proxy, "model")["claude-haiku-5-5"]["requests"] == 4
    (day,) = rows(proxy, "day").values()
    total = proxy.get("/analytics", headers=headers).json()
    assert day["savings"] == total["estimatedSavings"] > 0
    wrong = proxy.get("/analytics?by=colour", headers=headers)
    assert (wrong.status_code, "by: must be one of client, name, model" in wrong.text) == (
        400,
        True,
    )
    assert {request.path for request in fake.messages()} == {"/v1/messages"}
    assert "@" not in repr([request.headers for request in fake.messages()])


@pytest.mark.parametrize("key", ["wrong@home", f"{SECRET}x@home", "@home"])
def test_a_name_is_no_way_around_the_secret(start_proxy: StartProxy, key: str) -> None:
    proxy = start_proxy(PROXY_SECRET_KEY=SECRET, REQUIRE_SECRET_LOCALLY="true")
    for path in ("/v1/messages", "/@work/v1/messages"):
        assert proxy.post(path, BODY, headers={"x-api-key": key}).status_code == 401
