"""What is recorded of a request may wait, unless somebody looks at its flow."""

from __future__ import annotations

import time

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from addon.addons.usage_recorder import READERS, UsageRecorder
from addon.core.terminal import Terminal
from addon.exchange.state import Exchanges
from addon.usage.budget import Budget, Reservation
from addon.usage.ledger import UsageLedger
from addon.usage.live import LiveHub
from addon.usage.metrics import Metrics
from addon.usage.subscription import SubscriptionState
from tests.masters import addon_context


class Reader:
    def __init__(self, name: str) -> None:
        self.name = name


def recorder() -> UsageRecorder:
    ledger = UsageLedger(time.time)
    return UsageRecorder(
        Exchanges(),
        ledger,
        Budget(ledger),
        Terminal(quiet=True),
        metrics=Metrics(ledger),
        hub=LiveHub(),
        subscription=SubscriptionState(),
        find=lambda name: pytest.fail(name),
    )


def ended(recorder: UsageRecorder, **state: object) -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    exchange = recorder.exchanges.begin(flow)
    for name, value in state.items():
        setattr(exchange, name, value)
    recorder.response(flow)
    assert exchange.finished and exchange not in recorder.exchanges.running
    return flow


async def test_mitmdump_records_a_moment_later() -> None:
    made = recorder()
    with addon_context():
        made.running()
        flow = ended(made)
        assert not flow.comment
        made.done()
        assert flow.comment


@pytest.mark.parametrize("name", READERS)
async def test_who_looks_at_flows_has_their_comment_at_once(name: str) -> None:
    made = recorder()
    with addon_context(Reader(name)):
        made.running()
        assert ended(made).comment


async def test_money_that_was_set_aside_is_free_at_once() -> None:
    made = recorder()
    with addon_context():
        made.running()
        held = made.budget.reserve(7, "claude-opus-4-8")
        assert isinstance(held, Reservation) and made.budget.held
        assert ended(made, reservations=[held]).comment and not made.budget.held
