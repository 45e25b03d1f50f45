"""Usage and budget, as clients see them: what is counted, and in which shape it is told."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from addon.stand_in.anthropic import FakeAnthropic
from addon.stand_in.delivery import Gate
from addon.stand_in.script import delivered, fail, say
from tests.api.test_analytics import SEED_FIELDS
from tests.e2e.accounts import settled, worth
from tests.e2e.conftest import StartProxy, World
from tests.e2e.proxy import Proxy, chat, message, rejected
from tests.e2e.talk import Talk, script_summary

PLAN_POLICY = "This credential is only authorized for use with Claude Code."
LONG = "The quick brown fox jumps over the lazy dog near the quiet river bank. " * 60


# --------------------------------------------------------------------------------------------- what is counted


def test_summaries_are_counted_and_cost_real_money(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    fake.log.keep_answers = True
    script_summary(fake)
    proxy = start_proxy(
        CONTEXT_MAX_TOKENS="9000", CONTEXT_TARGET_TOKENS="7000", CONTEXT_AHEAD="false"
    )
    talk = Talk("costs").grow(10)
    assert proxy.post("/v1/chat/completions", talk.body()).status_code == 200
    summaries = fake.messages("api_key")
    told = settled(proxy, 1 + len(summaries))
    assert told["bySource"]["summary"]["requests"] == len(summaries) > 0
    assert told["totalRequests"] == told["claudeCodeRequests"] == 1
    assert told["estimatedApiKeyCost"] == pytest.approx(worth(summaries), abs=1e-9)
    assert told["estimatedApiKeyCost"] == told["bySource"]["summary"]["estimatedCost"] > 0
    spent = proxy.get("/dashboard/data").json()["budget"]["spent"]["hour"]
    assert spent == told["estimatedApiKeyCost"]
    assert 'source="summary"' in proxy.get("/metrics").text


def test_a_record_tells_who_served_it_and_why(world: World) -> None:
    world.fake.script(fail(400, PLAN_POLICY), when="oauth")
    answer = world.proxy.post("/v1/chat/completions", chat(stream=True))
    record = newest(world.proxy, answer.headers["x-request-id"])
    assert (
        record
        | {
            "model": "claude-opus-4-8",
            "source": "api_key",
            "stream": True,
            "error": None,
            "status": 200,
            "reason": "plan_policy",
            "dialect": "chat",
        }
        == record
    )
    assert record["inputTokens"] > 0 and record["outputTokens"] > 0 and record["estimatedCost"] > 0
    assert 0 <= record["ttftMs"] <= record["latencyMs"]


def newest(proxy: Proxy, request_id: str, seconds: float = 5.0) -> dict[str, Any]:
    """The record of the answer with this id, which is counted a moment after it was sent."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for record in proxy.get("/analytics/requests?limit=5").json()["requests"]:
            if record["requestId"] == request_id:
                return dict(record)
    raise AssertionError(f"{request_id} was not recorded")


# ------------------------------------------------------------------------------------------ the seed's shapes

RECORD_KEYS = [
    "id",
    "timestamp",
    "model",
    "source",
    "inputTokens",
    "outputTokens",
    "estimatedCost",
    "stream",
    "latencyMs",
    "error",
]


def test_analytics_have_the_published_shape(world: World) -> None:
    assert world.proxy.post("/analytics/reset").json()["success"] is True
    empty = world.proxy.get("/analytics")
    assert list(empty.json())[: len(SEED_FIELDS)] == SEED_FIELDS
    assert empty.json()["period"] == "day"
    assert empty.json()["estimatedApiKeyCostFormatted"] == "$0.0000¢"
    assert "$0.0000¢".encode() in empty.content
    assert empty.json()["note"] == (
        "Costs are estimates. Actual costs may vary due to prompt caching."
    )
    assert empty.json()["periodEnd"] - empty.json()["periodStart"] == 86_400_000
    world.proxy.post("/v1/messages", message())
    told = settled(world.proxy, 1)
    assert told["claudeCodeRequests"] == 1 and told["periodStart"] == 0
    cents = told["estimatedSavings"] * 100
    assert told["estimatedSavingsFormatted"] == f"${cents:.4f}¢"


@pytest.mark.parametrize("period", ["hour", "day", "week", "month", "all"])
def test_every_period_is_told(world: World, period: str) -> None:
    assert world.proxy.get(f"/analytics?period={period}").json()["period"] == period


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/analytics?period=year", "period"),
        ("/analytics?period=", "period"),
        ("/analytics/requests?limit=many", "limit"),
        ("/analytics/requests?limit=1.5", "limit"),
    ],
)
def test_a_bad_query_is_refused_by_name(world: World, path: str, param: str) -> None:
    answer = world.proxy.get(path)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"{param}:")


def test_requests_are_listed_newest_first_within_the_limit(world: World) -> None:
    world.proxy.post("/analytics/reset")
    for _ in range(3):
        world.proxy.post("/v1/messages", message())
    settled(world.proxy, 3)
    for limit, ids in (
        ("", [3, 2, 1]),
        ("?limit=2", [3, 2]),
        ("?limit=0", [3]),
        ("?limit=-9", [3]),
    ):
        records = world.proxy.get(f"/analytics/requests{limit}").json()["requests"]
        assert [record["id"] for record in records] == ids
        assert list(records[0])[: len(RECORD_KEYS)] == RECORD_KEYS
    assert world.proxy.post("/analytics/reset").json() == {"success": True, "deletedCount": 3}
    assert world.proxy.get("/analytics/requests").json() == {"requests": []}


def test_the_budget_has_the_published_shape(world: World) -> None:
    nothing = {
        "hourlyLimit": None,
        "dailyLimit": None,
        "weeklyLimit": None,
        "monthlyLimit": None,
        "enabled": False,
    }
    assert world.proxy.get("/budget").json() == nothing
    changed = nothing | {"dailyLimit": 2.5, "enabled": True}
    answer = world.proxy.post("/budget", {"dailyLimit": 2.5, "enabled": True})
    assert answer.json() == {"success": True, "settings": changed}
    assert list(answer.json()["settings"]) == list(nothing)
    assert world.proxy.get("/budget").json() == changed
    assert world.proxy.post("/budget", {"dailyLimit": None, "enabled": False}).json() == {
        "success": True,
        "settings": nothing,
    }


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"dailyLimit": "5"}, "dailyLimit: must be a number"),
        ({"hourlyLimit": -1}, "hourlyLimit: must be a number"),
        ({"weeklyLimit": True}, "weeklyLimit: must be a number"),
        ({"enabled": "yes"}, "enabled: must be true or false"),
        ({"yearlyLimit": 5}, "yearlyLimit: unknown field"),
        ([], "JSON object"),
    ],
)
def test_a_bad_budget_is_refused_by_name_and_changes_nothing(
    world: World, body: Any, told: str
) -> None:
    before = world.proxy.get("/budget").json()
    answer = world.proxy.post("/budget", body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]
    assert world.proxy.get("/budget").json() == before


@pytest.mark.parametrize("first", ["true", "false"], ids=["fallback", "key-first"])
def test_of_a_hundred_parallel_requests_with_a_budget_for_one_one_is_paid(
    fake: FakeAnthropic, start_proxy: StartProxy, first: str
) -> None:
    gate = Gate()
    fake.script(fail(429, headers=rejected()), when="oauth")
    fake.script(delivered(say(LONG), hold=gate), when="api_key")
    proxy = start_proxy(CLAUDE_CODE_FIRST=first)
    proxy.post("/budget", {"hourlyLimit": 0.06, "enabled": True})  # 2,000 tokens may cost $0.05

    def pay(_: int) -> int:
        return proxy.post("/v1/messages", message(max_tokens=2000), timeout=60).status_code

    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(pay, number) for number in range(100)]
        assert fake.wait_until(lambda: sum(each.done() for each in asked) == 99, 60)
        gate.open()
        assert Counter(each.result() for each in asked) == {200: 1, 429: 99}
    assert len(fake.messages("api_key")) == 1


def test_parallel_paid_calls_do_not_cross_the_budget(
    fake: FakeAnthropic, start_proxy: StartProxy
) -> None:
    fake.log.keep_answers = True
    gate = Gate()
    fake.script(delivered(say(LONG), hold=gate))
    proxy = start_proxy(CLAUDE_CODE_FIRST="false")
    proxy.post("/budget", {"hourlyLimit": 0.2, "enabled": True})

    def pay(_: int) -> httpx.Response:
        return proxy.post("/v1/messages", message(max_tokens=2000))

    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(pay, number) for number in range(20)]
        assert fake.wait_until(
            lambda: len(fake.messages()) + sum(each.done() for each in asked) == 20, 20
        )
        gate.open()
        answers = [each.result() for each in asked]
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: len(fake.messages()), 429: 20 - len(fake.messages())}
    refusals = [answer.json()["error"] for answer in answers if answer.status_code == 429]
    assert {error["type"] for error in refusals} == {"rate_limit_error"}
    assert all(error["message"].startswith("Hourly budget exceeded: $") for error in refusals)
    told = settled(proxy, 20)
    assert 0 < told["estimatedApiKeyCost"] <= 0.2
    assert told["estimatedApiKeyCost"] == pytest.approx(worth(fake.messages()), abs=1e-9)
