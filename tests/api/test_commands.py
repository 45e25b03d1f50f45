"""The commands, through mitmproxy's own command manager."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy import exceptions
from mitmproxy.test import taddons

from addon.api.commands import Commands
from addon.cli.doctor import examine
from addon.core.settings import Settings
from addon.stand_in.anthropic import FakeAnthropic
from addon.usage.budget import Budget
from addon.usage.ledger import UsageLedger
from addon.usage.subscription import SubscriptionState
from tests.masters import addon_context


@pytest.fixture
def mitm(tmp_path: Path) -> Iterator[taddons.context]:
    with FakeAnthropic() as fake, addon_context() as context:
        settings = Settings.from_env(
            {"CCPROXY_HOME": str(tmp_path), "ANTHROPIC_UPSTREAM_URL": fake.url}
        )
        ledger = UsageLedger(lambda: 1_800_000_000.0)
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
    assert json.loads(call(mitm, "ccproxy.analytics", *arguments))["period"] == period


def test_an_unknown_period_is_told_as_mitmproxy_tells_errors(mitm: taddons.context) -> None:
    with pytest.raises(exceptions.CommandError, match="period"):
        call(mitm, "ccproxy.analytics", "decade")


def test_budget(mitm: taddons.context) -> None:
    assert "hourly" in call(mitm, "ccproxy.budget")


async def test_the_doctor_reports_to_the_log(
    mitm: taddons.context, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "addon.api.commands")
    assert "event log" in call(mitm, "ccproxy.doctor")
    examining = mitm.master.addons.get("commands").examining
    await asyncio.wait_for(examining, 60)
    assert "ok Python: 3." in caplog.text
    assert "ok round trip: a streamed tool call" in caplog.text
