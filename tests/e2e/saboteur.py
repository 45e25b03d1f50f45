"""A mitmproxy script, loaded before the addon: breaks one hook of one addon class, as `sabotage.json` in the current
directory says at that moment: `{"addon": "Translate", "hook": "request", "how": "raise"}`."""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mitmproxy import hooks

import addon

PLAN = Path("sabotage.json")


def hooks_of_addons() -> list[tuple[type, str]]:
    """Every hook method of every class in `addon/` that mitmproxy may call."""
    modules = [
        importlib.import_module(m.name)
        for m in pkgutil.walk_packages(addon.__path__, "addon.")
        if m.name.startswith(("addon.addons.", "addon.api.", "addon.replay_layer."))
    ]
    classes = {
        cls
        for module in modules
        for cls in vars(module).values()
        if inspect.isclass(cls) and cls.__module__ == module.__name__
    }
    found = [
        (cls, name)
        for cls in classes
        for name, value in vars(cls).items()
        if name in hooks.all_hooks and inspect.isfunction(value)
    ]
    return sorted(found, key=lambda pair: (pair[0].__name__, pair[1]))


def strike(cls: type, name: str) -> bool:
    """Do what the plan says for this hook; True: it has to hang."""
    plan = json.loads(PLAN.read_text()) if PLAN.exists() else {}
    if (plan.get("addon"), plan.get("hook")) != (cls.__name__, name):
        return False
    return break_down(plan["how"])


def break_down(how: str) -> bool:
    """End in this way; True: hang, which only a coroutine can."""
    match how:
        case "raise":
            raise ZeroDivisionError("sabotage")
        case "cancel":
            raise asyncio.CancelledError
        case "exit":
            raise SystemExit
    return True


def breakable(function: Callable[..., Any], strikes: Callable[[], bool]) -> Callable[..., Any]:
    """`function`, which breaks when `strikes` raises, and hangs when it says so."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def asynchronous(*arguments: Any, **named: Any) -> Any:
            if strikes():
                await asyncio.Event().wait()
            return await function(*arguments, **named)

        return asynchronous

    @functools.wraps(function)
    def synchronous(*arguments: Any, **named: Any) -> Any:
        strikes()
        return function(*arguments, **named)

    return synchronous


def load(loader: Any) -> None:
    for cls, name in hooks_of_addons():
        setattr(cls, name, breakable(vars(cls)[name], functools.partial(strike, cls, name)))
