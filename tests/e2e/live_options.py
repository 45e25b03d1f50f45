"""A mitmproxy script, loaded before the addon: `GET /set/<option>/<value>` changes an option while the proxy runs, and
`lost.json` then names what the addons remembered before and not after."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from mitmproxy import ctx, http

from addon.core.background_writer import BackgroundWriter

LOST = Path("lost.json")
REMEMBERING = (OrderedDict, deque, WeakKeyDictionary, logging.Handler, BackgroundWriter)
"""What state is held in; plain dictionaries are also tables that never change. A writer takes its queue with it, and has
a new one."""


def requestheaders(flow: http.HTTPFlow) -> None:
    match flow.request.path.split("/"):
        case ["", "set", option, value]:
            before = memory()
            ctx.options.update(**{option: unquote(value)})
            kept = {id(found) for found in memory().values()}
            lost = [path for path, found in before.items() if id(found) not in kept]
            LOST.write_text(json.dumps(lost))


def memory() -> dict[str, Any]:
    """By its path from the addons that a request meets."""
    seen: set[int] = set()
    addons = ctx.master.addons.get("ccproxy_options").addons
    return dict(found for addon in addons for found in walk(addon, "", seen))


def walk(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, REMEMBERING):
        yield path, value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from walk(item, f"{path}.{type(item).__name__}", seen)
    elif type(value).__module__.startswith("addon.") or isinstance(value, logging.Logger):
        slots = [n for cls in type(value).__mro__ for n in getattr(cls, "__slots__", ())]
        names = [*getattr(value, "__dict__", ()), *slots]
        for name in names:
            yield from walk(getattr(value, name, None), f"{path}.{name}", seen)
