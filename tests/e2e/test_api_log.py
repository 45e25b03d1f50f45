"""VERBOSE_LOGGING with the real proxy."""

from __future__ import annotations

import gzip
import json
import stat
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import fail, say
from tests.budget import thorough_after
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import API_KEY, OAUTH_TOKEN, chat, rejected

CLIENT_KEY = "sk-ant-api03-of-a-client"


def test_the_log_tells_what_was_asked_sent_and_answered_and_no_secret(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(VERBOSE_LOGGING="true")
    fake.api_keys.add(CLIENT_KEY)
    fake.script(fail(429, headers=rejected()), when="oauth")
    fake.script(say("the answer"), when="api_key")
    body = chat(f"my key is {CLIENT_KEY}, keep it", stream=True)
    proxy.post("/v1/chat/completions", body, headers={"authorization": f"Bearer {CLIENT_KEY}"})
    proxy.stop()  # it is written by a thread
    log = proxy.home / ".ccproxy" / "api.log"
    text = log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "my key is [hidden], keep it" in text
    assert "the answer" in text and "claude_code http" in text and "api_key http" in text
    for secret in (CLIENT_KEY, API_KEY, OAUTH_TOKEN):
        assert secret not in text


def test_a_compressed_request_is_logged_as_it_was_meant(start_proxy: StartProxy) -> None:
    proxy = start_proxy(VERBOSE_LOGGING="true")
    packed = gzip.compress(json.dumps(chat(f"packed with {CLIENT_KEY}")).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    proxy.post("/v1/chat/completions", content=packed, headers=headers)
    proxy.stop()
    assert "packed with [hidden]" in (proxy.home / ".ccproxy" / "api.log").read_text()


def test_there_is_no_log_by_default(fake: FakeAnthropic, start_proxy: StartProxy) -> None:
    proxy = start_proxy()
    proxy.post("/v1/chat/completions", chat())
    assert not (proxy.home / ".ccproxy" / "api.log").exists()


def test_a_log_that_cannot_be_written_stops_nobody(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy(VERBOSE_LOGGING="true", CCPROXY_HOME="/proc/nowhere")
    assert proxy.post("/v1/chat/completions", chat()).status_code == 200
    assert "api.log can't be written" in proxy.output


def test_what_it_can_not_write_is_counted_and_shown_nowhere_else(
    tmp_path: Path, start_proxy: StartProxy
) -> None:
    (tmp_path / "api.log").symlink_to("/dev/full")
    proxy = start_proxy(VERBOSE_LOGGING="true", CCPROXY_HOME=str(tmp_path))
    for _ in range(5):  # more than is kept in a buffer
        text = "between you and me " * 1000
        assert proxy.post("/v1/chat/completions", chat(text)).status_code == 200
    health, until = proxy.get("/health").json(), time.monotonic() + 10
    while health["dropped"]["api.log"] <= 5 and time.monotonic() < until:  # it writes now and then
        health = proxy.get("/health").json()
    assert health["status"] == "degraded"
    assert any("api.log" in p and "No space left" in p for p in health["problems"])
    assert health["dropped"]["api.log"] > 5
    assert "between you and me" not in proxy.output


def test_half_a_surrogate_pair_is_written_as_json_has_it(start_proxy: StartProxy) -> None:
    proxy = start_proxy(VERBOSE_LOGGING="true")
    body = json.dumps(chat("between you and me \ud800")).encode()
    headers = {"content-type": "application/json"}
    assert proxy.post("/v1/chat/completions", content=body, headers=headers).status_code == 200
    proxy.stop()
    text = (proxy.home / ".ccproxy" / "api.log").read_text(encoding="utf-8")
    assert r"between you and me \ud800" in text
    assert "between you and me" not in proxy.output


@pytest.mark.parametrize(
    "secret", thorough_after(1, ['with "quotes"', r"with \ and \n", "naïve&co=1", "'single'"])
)
def test_the_proxys_secret_is_hidden_whatever_is_in_it(
    start_proxy: StartProxy, secret: str
) -> None:
    proxy = start_proxy(VERBOSE_LOGGING="true", PROXY_SECRET_KEY=secret)
    told = chat(f"my key is {secret}, keep it", tools=[tool(json.dumps({"key": secret}))])
    headers = {"x-elsewhere": quote(secret)}
    assert proxy.post("/v1/chat/completions", told, headers=headers).status_code == 200
    shown = proxy.get("/explain").json()["requests"][0]["id"]
    explained = proxy.get(f"/explain/{shown}").text
    proxy.stop()
    log = (proxy.home / ".ccproxy" / "api.log").read_text(encoding="utf-8")
    for text in (log, explained):
        assert "my key is [hidden], keep it" in text
        forms = (secret, json.dumps(secret)[1:-1], quote(secret), repr(secret)[1:-1])
        assert [form for form in forms if form in text] == []


def tool(description: str) -> dict[str, Any]:
    """One with an example in it, as JSON within JSON."""
    function = {"name": "look", "description": description, "parameters": {"type": "object"}}
    return {"type": "function", "function": function}
