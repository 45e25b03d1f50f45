"""The fake, driven by the real SDK and by bare sockets."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest

from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.credential import API_KEY
from tests.fakes.script import fail

MODEL = "claude-opus-4-8"


@pytest.fixture
def fake() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as fake:
        yield fake


@pytest.fixture
def client(fake: FakeAnthropic) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=fake.url, api_key=API_KEY, max_retries=0) as client:
        yield client


def test_text_directive_is_streamed(fake: FakeAnthropic, client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=[{"role": "user", "content": "hi [[text Hello there, friend of mine]]"}],
    ) as stream:
        assert "".join(stream.text_stream) == "Hello there, friend of mine"
    assert fake.requests[0].outcome == "answered"


def test_scripted_429_reaches_the_client(fake: FakeAnthropic, client: anthropic.Anthropic) -> None:
    fake.script([fail(429, headers={"retry-after": "1"})])
    with pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(
            model=MODEL, max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )
    assert caught.value.response.headers["retry-after"] == "1"
