"""Hooks that can't hang a request: whatever breaks in one ends as an ordinary exception.

mitmproxy logs an exception from a hook and goes on; without an approved attempt the replay layer then answers 500.
A CancelledError or SystemExit it does not catch: the hook would never be completed, and the client would wait for ever.

An exception also keeps the addons behind from being called. On the way to upstream that is wanted; once a request has
ended it is not, since what is behind counts it and gives back what the budget has set aside.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

LAST = ("response", "error")
"""All addons are called at a request's end, whatever breaks in one."""
HOOKS = (
    "requestheaders",
    "request",
    "upstream_failed",
    "responseheaders",
    "response",
    "error",
    "live_data",
)


def fail_closed[T](addon: T) -> T:
    """The same addon, its flow hooks wrapped."""
    for name in HOOKS:
        hook = getattr(addon, name, None)
        if hook is not None:
            wrap = _asynchronous if inspect.iscoroutinefunction(hook) else _synchronous
            guarded = wrap(hook)
            setattr(addon, name, _logging(guarded) if name in LAST else guarded)
    return addon


def _asynchronous(hook: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(hook)
    async def guarded(*arguments: Any) -> None:
        try:
            await hook(*arguments)
        except (asyncio.CancelledError, SystemExit) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the proxy itself is being stopped
            raise RuntimeError(f"{hook.__qualname__} ended with {type(error).__name__}") from error

    return guarded


def _synchronous(hook: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(hook)
    def guarded(*arguments: Any) -> None:
        try:
            hook(*arguments)
        except (asyncio.CancelledError, SystemExit) as error:
            raise RuntimeError(f"{hook.__qualname__} ended with {type(error).__name__}") from error

    return guarded


def _logging(hook: Callable[..., Any]) -> Callable[..., Any]:
    """For hooks that nothing waits for."""
    if inspect.iscoroutinefunction(hook):

        @functools.wraps(hook)
        async def asynchronous(*arguments: Any) -> None:
            try:
                await hook(*arguments)
            except Exception:
                logger.exception("%s failed", hook.__qualname__)

        return asynchronous

    @functools.wraps(hook)
    def synchronous(*arguments: Any) -> None:
        try:
            hook(*arguments)
        except Exception:
            logger.exception("%s failed", hook.__qualname__)

    return synchronous
