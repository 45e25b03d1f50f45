"""Connections to upstream are used again."""

from __future__ import annotations

import httpx

from addon.stand_in.anthropic import FakeAnthropic
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import chat, message


def test_one_client_connection_needs_one_upstream_connection(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    with httpx.Client(base_url=proxy.url, timeout=20) as client:
        for stream in (False, True, False, True):
            client.post("/v1/chat/completions", json=chat(stream=stream))
            client.post("/v1/messages", json=message(stream=stream))
    assert len(fake.messages()) == 8
    assert {request.connection for request in fake.messages()} == {0}
