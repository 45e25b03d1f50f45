"""The addons that a request meets, as one addon of mitmproxy's.

mitmproxy looks through all its addons at each of a request's eight hooks, which costs more than most of them do; this
knows beforehand who has something to do. And whatever breaks in a hook ends as an ordinary exception: mitmproxy logs
that and goes on, and without an approved attempt the replay layer then answers 500. A CancelledError or SystemExit
mitmproxy does not catch: the hook would never be completed, and the client would wait for ever.

An exception also keeps the addons behind from being called. On the way to upstream that is wanted; once a request has
ended it is not, since what is behind counts it and gives back what the budget has set aside.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from mitmproxy import hooks, http

type Hook = Callable[[http.HTTPFlow], Awaitable[None] | None]

logger = logging.getLogger(__name__)

ON_THE_WAY = ("requestheaders", "request", "upstream_failed", "responseheaders", "live_data")
AT_THE_END = ("response", "error")
"""Every addon is called at a request's end, whatever breaks in one."""


class Chain:
    """Has exactly the hooks that its members have, and calls them in their order."""

    def __init__(self, members: Iterable[object]) -> None:
        self.members = tuple(members)
        for name in (*hooks.all_hooks, *ON_THE_WAY):
            called = [getattr(member, name) for member in self.members if hasattr(member, name)]
            if called:
                setattr(self, name, partial(_runner(name), called))


def _runner(name: str) -> Callable[..., Any]:
    if name in AT_THE_END:
        return _run_all
    return _run if name in ON_THE_WAY else _tell


def _tell(called: list[Callable[..., None]], *arguments: Any) -> None:
    """Of connections and of the process: mitmproxy may ask from where nothing can be awaited."""
    for hook in called:
        hook(*arguments)


async def _run(called: list[Hook], flow: http.HTTPFlow) -> None:
    for hook in called:
        await _call(hook, flow)


async def _run_all(called: list[Hook], flow: http.HTTPFlow) -> None:
    for hook in called:
        try:
            await _call(hook, flow)
        except Exception:
            logger.exception("%s failed", _name(hook))


async def _call(hook: Hook, flow: http.HTTPFlow) -> None:
    try:
        pending = hook(flow)
        if pending is not None:
            await pending
    except (asyncio.CancelledError, SystemExit) as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # the proxy itself is being stopped
        raise RuntimeError(f"{_name(hook)} ended with {type(error).__name__}") from error


def _name(hook: Hook) -> str:
    return getattr(hook, "__qualname__", repr(hook))
