"""mitmweb's list stays short."""

from __future__ import annotations

import asyncio

from mitmproxy.addons.view import View
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from addon.addons.mitmproxy_tuning import DROP_AT_ONCE, FlowLimit
from tests.masters import addon_context


def flow_at(second: int, *, live: bool = False, marked: str = "") -> HTTPFlow:
    made = tflow.tflow(resp=True)
    made.timestamp_created = second
    made.request.timestamp_start = second
    made.live = live
    made.marked = marked
    return made


async def test_only_finished_unmarked_and_old_flows_are_dropped() -> None:
    view, limit = View(), FlowLimit(most=10)
    with addon_context(view):
        live, marked = flow_at(0, live=True), flow_at(1, marked=":star:")
        flows = [live, marked, *(flow_at(2 + n) for n in range(8 + DROP_AT_ONCE))]
        view.add(flows)
        limit.response(flows[-1])
        await asyncio.sleep(0)
        left = {f.id for f in view}
        assert left == {live.id, marked.id, *(f.id for f in flows[-8:])}


def test_nothing_is_dropped_below_the_limit_or_without_a_list() -> None:
    view, limit = View(), FlowLimit(most=10)
    with addon_context(view):
        view.add([flow_at(n) for n in range(10 + DROP_AT_ONCE - 1)])
        limit.error(flow_at(99))
        assert len(view) == 10 + DROP_AT_ONCE - 1
    with addon_context():
        limit.response(flow_at(1))
