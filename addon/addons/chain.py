"""Combines the addons on a request's path into one mitmproxy addon.

mitmproxy searches all its addons at each of a request's eight hooks, which costs more than most hooks do; a chain knows
in advance which members have the hook.

Errors: whatever fails in a hook ends as an ordinary exception. mitmproxy logs it and continues, and without an approved
attempt the replay layer returns 500. mitmproxy does not catch CancelledError and SystemExit: the hook would never
complete, and the client would wait forever. An exception also skips the later members. That is right before a request
is sent upstream, but not at its end, where later members record it and release its budget reservation.
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

STOPPING_AT_ERRORS = (
    "requestheaders",
    "request",
    "upstream_failed",
    "upstream_paused",
    "responseheaders",
    "live_data",
)
CALLING_ALL = ("response", "error")
"""Hooks in which every member is called, even if one raises."""


class Chain:
    """Has exactly the hooks of its members, and calls them in order."""

    def __init__(self, members: Iterable[object]) -> None:
        self.members = tuple(members)
        for name in (*hooks.all_hooks, *STOPPING_AT_ERRORS):
            called = [getattr(member, name) for member in self.members if hasattr(member, name)]
            if called:
                setattr(self, name, partial(_runner(name), called))


def _runner(name: str) -> Callable[..., Any]:
    if name in CALLING_ALL:
        return _run_all
    return _run if name in STOPPING_AT_ERRORS else _tell


def _tell(called: list[Callable[..., None]], *arguments: Any) -> None:
    """For hooks of connections and the process: mitmproxy may call them where nothing can be awaited."""
    for hook in called:
        hook(*arguments)


async def _run(called: list[Hook], flow: http.HTTPFlow) -> None:
    for hook in called:
        try:
            pending = hook(flow)
            if pending is not None:
                await pending
        except (asyncio.CancelledError, SystemExit) as error:
            raise _failure(hook, error) from error


async def _run_all(called: list[Hook], flow: http.HTTPFlow) -> None:
    for hook in called:
        try:
            await _run([hook], flow)
        except Exception:
            logger.exception("%s failed", _name(hook))


def _failure(hook: Hook, error: BaseException) -> Exception:
    """In place of what mitmproxy does not catch. Raises `error` itself if the proxy is being stopped."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise error
    return RuntimeError(f"{_name(hook)} ended with {type(error).__name__}")


def _name(hook: Hook) -> str:
    return getattr(hook, "__qualname__", repr(hook))
