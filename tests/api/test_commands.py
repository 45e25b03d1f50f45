"""The commands, through mitmproxy's own command manager."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy import exceptions
from mitmproxy.test import taddons

from addon.api.commands import Commands
from addon.api.flow_commands import FlowCommands
from addon.api.request_history import Body, Entry, RequestHistory
from addon.cli.doctor import examine
from addon.core.settings import Settings
from addon.stand_in.anthropic import FakeAnthropic
from addon.usage.budget import Budget
from addon.usage.ledger import UsageLedger
from addon.usage.subscription import SubscriptionState
from tests.masters import addon_context
from tests.usage.records import record


@pytest.fixture
def mitm(tmp_path: Path) -> Iterator[taddons.context]:
    with FakeAnthropic() as fake, addon_context() as context:
        settings = Settings.from_env(
            {"CCPROXY_HOME": str(tmp_path), "ANTHROPIC_UPSTREAM_URL": fake.url}
        )
        ledger = UsageLedger(lambda: 1_800_000_000.0)
        for age in (60, 200_000):
            ledger.add(record(dollars=1, time=1_800_000_000.0 - age))
        context.master.addons.add(
            Commands(
                ledger, Budget(ledger), SubscriptionState(), functools.partial(examine, settings)
            )
        )
        yield context


def call(mitm: taddons.context, name: str, *arguments: str) -> str:
    answer = mitm.master.commands.call_strings(name, list(arguments))
    assert isinstance(answer, str)
    return answer


@pytest.mark.parametrize(
    ("arguments", "period"), [((), "day"), (("week",), "week")], ids=["default", "week"]
)
def test_analytics(mitm: taddons.context, arguments: tuple[str, ...], period: str) -> None:
    told = call(mitm, "ccproxy.analytics", *arguments)
    requests = "2" if period == "week" else "1"
    assert told.splitlines()[:2] == [
        f"{requests} requests: 0 by subscription, {requests} by API key, 0 not served",
        f"${requests}.00 paid, $0.00 saved, 0% of the prompts from the cache",
    ]


def test_an_unknown_period_is_told_as_mitmproxy_tells_errors(mitm: taddons.context) -> None:
    with pytest.raises(exceptions.CommandError, match="period"):
        call(mitm, "ccproxy.analytics", "decade")


def test_budget(mitm: taddons.context) -> None:
    told = call(mitm, "ccproxy.budget").splitlines()
    assert told[0] == "There is no budget." and "last day: $1.00 spent" in told


async def test_the_doctor_reports_to_the_log(
    mitm: taddons.context, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "addon.api.commands")
    assert "event log" in call(mitm, "ccproxy.doctor")
    examining = mitm.master.addons.get("commands").examining
    await asyncio.wait_for(examining, 60)
    assert "ok Python: 3." in caplog.text
    assert "ok round trip: a streamed tool call" in caplog.text


async def test_a_response_that_was_cut_is_compared_as_what_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = Entry(head={"client": {"headers": []}}, client=Body(b"{}"), answer=Body(b'{"id": "m'))
    again = FlowCommands(
        Settings.from_env({}), RequestHistory(), lambda _: {"answer": {"id": "msg_2"}}
    )
    with caplog.at_level("INFO"):
        await again._again(entry, {}, stand_in=True)
    assert "cut when it was kept" in caplog.text and "msg_2" in caplog.text
