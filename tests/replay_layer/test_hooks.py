"""Hooks that the layer runs, beside the same hooks run by mitmproxy: the same addons, in the same order, with the same
errors. What a hook that waits comes to is in the tests of whole proxies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from mitmproxy import exceptions, flow, http
from mitmproxy.addonmanager import AddonManager
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook, HttpResponseHook
from mitmproxy.test import tflow

from addon.replay_layer.hooks import FlowHooks
from tests.masters import addon_context

type Run = Callable[[commands.StartHook], Awaitable[None]]
FLOW = tflow.tflow()


class Listener:
    """Notes each call; its `addons` are below it."""

    def __init__(self, name: str, calls: list[str], *addons: object) -> None:
        self.name = name
        self.calls = calls
        self.addons = list(addons)

    def request(self, flow: http.HTTPFlow) -> None:
        self.calls.append(f"{self.name} request")


class Late(Listener):
    async def request(self, flow: http.HTTPFlow) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.calls.append(f"{self.name} request, late")


class Broken(Listener):
    def request(self, flow: http.HTTPFlow) -> None:
        super().request(flow)
        raise ValueError(f"{self.name} is broken")


class Halting(Listener):
    def request(self, flow: http.HTTPFlow) -> None:
        super().request(flow)
        raise exceptions.AddonHalt


class Looking(Listener):
    def update(self, flows: list[flow.Flow]) -> None:
        assert flows == [FLOW]
        self.calls.append(f"{self.name} update")


class Unrelated:
    request = "no hook"


def tree(calls: list[str]) -> list[object]:
    def of(kind: type[Listener], name: str, *below: object) -> Listener:
        return kind(name, calls, *below)

    return [
        of(Listener, "first", of(Late, "below"), of(Broken, "broken below", of(Listener, "beyond"))),
        of(Looking, "looking"),
        of(Broken, "broken", of(Listener, "below broken")),
        of(Late, "late"),
    ]  # fmt: skip


@pytest.fixture
def addons() -> Iterator[AddonManager]:
    with addon_context() as context:
        yield context.master.addons


def ways(addons: AddonManager) -> dict[str, Run]:
    return {"ours": FlowHooks().run, "mitmproxy's": addons.handle_lifecycle}


def both(addons: AddonManager, hook: commands.StartHook, caplog: pytest.LogCaptureFixture) -> Any:
    found: dict[str, Any] = {}
    for name, run in ways(addons).items():
        calls: list[str] = []
        addons.clear()
        addons.add(*tree(calls))
        caplog.clear()
        asyncio.run(run(hook))  # type: ignore[arg-type]
        errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        found[name] = (calls, errors)
    assert found["ours"] == found["mitmproxy's"]
    return found["ours"]


def test_the_same_addons_in_the_same_order_with_the_same_errors(
    addons: AddonManager, caplog: pytest.LogCaptureFixture
) -> None:
    calls, errors = both(addons, HttpRequestHook(FLOW), caplog)
    assert calls == [
        "first request", "below request, late", "broken below request", "looking request",
        "broken request", "late request, late", "looking update",
    ]  # fmt: skip
    assert errors == ["Addon error: broken below is broken", "Addon error: broken is broken"]


def test_nobody_has_the_hook_but_one_that_looks(
    addons: AddonManager, caplog: pytest.LogCaptureFixture
) -> None:
    assert both(addons, HttpResponseHook(FLOW), caplog) == (["looking update"], [])


@pytest.mark.parametrize("way", ["ours", "mitmproxy's"])
def test_an_addon_can_end_the_hook(way: str, addons: AddonManager) -> None:
    calls: list[str] = []
    addons.clear()
    addons.add(Halting("halting", calls), Listener("never", calls))
    asyncio.run(ways(addons)[way](HttpRequestHook(FLOW)))  # type: ignore[arg-type]
    assert calls == ["halting request"]


@pytest.mark.parametrize("way", ["ours", "mitmproxy's"])
def test_addons_come_and_go(way: str, addons: AddonManager) -> None:
    calls: list[str] = []
    parent, other = Listener("parent", calls), Listener("other", calls)
    addons.clear()
    addons.add(parent, Unrelated())
    run = ways(addons)[way]
    for change in (
        lambda: None,
        lambda: addons.add(other),
        lambda: setattr(parent, "addons", [Listener("child", calls)]),
        lambda: setattr(parent, "addons", [Listener("another", calls)]),
        lambda: addons.remove(other),
    ):
        change()
        asyncio.run(run(HttpRequestHook(FLOW)))  # type: ignore[arg-type]
        calls.append("-")
    assert " ".join(calls).replace(" request", "").split(" - ") == [
        "parent", "parent other", "parent child other", "parent another other", "parent another -",
    ]  # fmt: skip


def test_a_hook_is_run_at_once_up_to_its_first_wait(addons: AddonManager) -> None:
    calls: list[str] = []
    hooks = FlowHooks()

    async def begin() -> None:
        addons.clear()
        addons.add(Listener("prompt", calls))
        assert hooks.begin(HttpRequestHook(FLOW)) is None and calls == ["prompt request"]
        addons.add(Late("late", calls))
        task = hooks.begin(HttpRequestHook(FLOW))
        assert task and calls == ["prompt request"] * 2
        await task
        assert calls[2:] == ["late request, late"]

    asyncio.run(begin())


def test_a_hook_runs_in_a_task_of_its_own(addons: AddonManager) -> None:
    """`asyncio.timeout()` needs one."""
    seen: list[asyncio.Task[Any] | None] = []

    class Asking:
        async def request(self, flow: http.HTTPFlow) -> None:
            seen.append(asyncio.current_task())

    async def begin() -> None:
        addons.clear()
        addons.add(Asking())
        assert FlowHooks().begin(HttpRequestHook(FLOW)) is None
        seen.append(asyncio.current_task())

    asyncio.run(begin())
    assert seen[0] is not seen[1]


def test_one_that_was_cancelled_is_not_complete(addons: AddonManager) -> None:
    class Cancelled:
        async def request(self, flow: http.HTTPFlow) -> None:
            raise asyncio.CancelledError

    async def begin() -> None:
        addons.clear()
        addons.add(Cancelled())
        task = FlowHooks().begin(HttpRequestHook(FLOW))
        assert task and task.cancelled()

    asyncio.run(begin())


def test_a_flow_that_is_held_in_mitmweb_is_not_complete(addons: AddonManager) -> None:
    held = tflow.tflow()

    async def begin() -> None:
        addons.clear()
        held.intercept()
        task = FlowHooks().begin(HttpRequestHook(held))
        assert task
        held.resume()
        await task

    asyncio.run(begin())
