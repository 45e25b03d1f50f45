"""Runs the hooks of a flow at once.

mitmproxy starts a task for each hook, which asks every addon whether it has it, then whether it has `update`; the
task's end is another event of the connection. For a small request its four hooks were a quarter of the processor time,
and hardly any of them ever waits for something. So the layer runs them itself, right after the event that led to them:
the same addons in the same order, with the same treatment of their errors, in a task that starts here and now
(`asyncio.eager_task_factory`), so that `asyncio.timeout()` and the like work in it. A hook that has to wait is left to
mitmproxy, which waits for the rest of it (`UnfinishedHook`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from itertools import chain
from operator import attrgetter, is_
from typing import Any

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import safecall, traverse
from mitmproxy.hooks import UpdateHook
from mitmproxy.proxy import commands

type Begin = Callable[[commands.StartHook], asyncio.Task[None] | None]
"""Runs a hook of a flow up to its first wait: returns the task that goes on with it, or None if it is complete."""


class FlowHooks:
    """Knows who has which hook until mitmproxy's addons change."""

    def __init__(self) -> None:
        self.addons: list[object] = []
        """mitmproxy's, and those below `parents`."""
        self.parents: list[object] = []
        """Those that have others below themselves."""
        self.known: dict[str, list[list[Callable[..., Any]]]] = {}

    def begin(self, hook: commands.StartHook) -> asyncio.Task[None] | None:
        task = asyncio.eager_task_factory(asyncio.get_running_loop(), self.run(hook))
        # One that was cancelled is left to mitmproxy, which never completes it; the stream's deadline ends the request.
        failed = task.done() and (task.cancelled() or task.exception())
        return task if failed or not task.done() else None

    async def run(self, hook: commands.StartHook) -> None:
        """What `ProxyConnectionHandler.handle_hook` does, but for its watchdog: that looks at hooks that wait."""
        flow: http.HTTPFlow = hook.flow  # type: ignore[attr-defined]
        self.look()
        await self.call(hook.name, flow)
        if self.callables(UpdateHook.name):
            await self.call(UpdateHook.name, [flow])
        await flow.wait_for_resume()

    async def call(self, name: str, argument: Any) -> None:
        """As `AddonManager.trigger_event`: an addon's error is logged, and skips what it has below itself."""
        for callables in self.callables(name):
            try:
                with safecall():
                    for call in callables:
                        pending = call(argument)
                        if pending is not None and inspect.isawaitable(pending):
                            await pending
            except exceptions.AddonHalt:
                return

    def look(self) -> None:
        """Whether addons have come or gone."""
        top = ctx.master.addons.chain
        addons = [*top, *chain.from_iterable(map(_BELOW, self.parents))]
        if len(addons) != len(self.addons) or not all(map(is_, addons, self.addons)):
            self.parents = [addon for addon in traverse(top) if hasattr(addon, "addons")]
            self.addons = [*top, *chain.from_iterable(map(_BELOW, self.parents))]
            self.known = {}

    def callables(self, name: str) -> list[list[Callable[..., Any]]]:
        """Those that have the hook, by the addon of mitmproxy's list that they belong to."""
        if name not in self.known:
            entries = (_having(name, entry) for entry in ctx.master.addons.chain)
            self.known[name] = [entry for entry in entries if entry]
        return self.known[name]


_BELOW = attrgetter("addons")


def _having(name: str, entry: object) -> list[Callable[..., Any]]:
    found: Iterator[Any] = (getattr(addon, name, None) for addon in traverse([entry]))
    return [call for call in found if callable(call)]
