"""Models that came out after our file was written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addon.stand_in.access import kind_of
from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Delivery
from addon.stand_in.script import Answer, fail
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import chat

NEW = "claude-x-9"


@pytest.fixture
def fake(fake: FakeAnthropic) -> FakeAnthropic:
    newest = fake.models["claude-opus-5-5"]
    fake.models[NEW] = replace(newest, id=NEW, context=300_000, max_output=32_000)
    return fake


def test_anthropic_tells_what_a_new_model_takes(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    assert proxy.post("/v1/chat/completions", chat(model=NEW)).status_code == 200
    assert proxy.post("/v1/messages", {**chat(model=NEW), "max_tokens": 99}).status_code == 200
    asked, *answered = fake.requests
    assert (asked.path, kind_of(asked)) == ("/v1/models", "oauth")
    assert [request.path for request in answered] == ["/v1/messages"] * 2
    assert answered[0].json["max_tokens"] == 32_000
    listed = proxy.openai().models.list()
    assert NEW in [model.id for model in listed]


@pytest.mark.parametrize(
    "list_answer", [fail(500), Answer(how=Delivery(hold=30))], ids=["an error", "silence"]
)
def test_without_the_list_the_request_goes_on(
    list_answer: Answer, fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    proxy = start_proxy()
    fake.script(list_answer, when="/v1/models")
    first = proxy.post("/v1/chat/completions", chat(model=NEW, max_tokens=4000))
    second = proxy.post("/v1/chat/completions", chat(model=NEW, max_tokens=4000))
    assert (first.status_code, second.status_code) == (200, 200)
    assert [request.path for request in fake.requests].count("/v1/models") == 1


def test_known_models_cost_no_question(world: World) -> None:
    names = ("claude-opus-4-8", "claude-4.5-opus-high-thinking", "claude-haiku-4-5-20251001")
    for name in names:
        assert world.proxy.post("/v1/chat/completions", chat(model=name)).status_code == 200
    assert [request.path for request in world.fake.requests] == ["/v1/messages"] * 3
