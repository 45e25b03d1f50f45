"""VERBOSE_LOGGING with the real proxy."""

from __future__ import annotations

import stat

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.script import fail, say
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
    log = proxy.home / ".ccproxy" / "api.log"
    text = log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "my key is [hidden], keep it" in text
    assert "the answer" in text and "claude_code http" in text and "api_key http" in text
    for secret in (CLIENT_KEY, API_KEY, OAUTH_TOKEN):
        assert secret not in text


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
