"""A mitmproxy script, loaded before the addon: breaks one step below the hooks, or lets hooks hang.

`steps.json` in the current directory says which, at that moment: `{"step": "addon.addons.upstream.decide", "how": "raise"}`.
`hangs.json` gives hooks by the port that the client calls from: `{"40001": ["Translate", "request"]}`.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.saboteur import break_down, breakable, hooks_of_addons

STEPS, HANGS = Path("steps.json"), Path("hangs.json")

BEFORE = [
    "addon.addons.access_control.find",
    "addon.addons.access_control.judge",
    "addon.addons.translate.read_object",
    "addon.addons.translate.translate_chat",
    "addon.claude.catalogue.Catalogue.resolve",
    "addon.addons.context_window.is_surely_short",
    "addon.context.window.ContextManager.fit",
    "addon.claude.digest.DigestMemory.of",
    "addon.addons.upstream.first",
    "addon.fallback.cooldowns.Cooldowns.admit",
    "addon.credentials.login.StaticLogin.access_token",
    "addon.addons.upstream_request.for_subscription",
    "addon.addons.upstream_request.with_betas",
    "addon.addons.upstream_request.dumps_to_keep",
    "addon.addons.thinking.Continuity.prepare",
    "addon.exchange.state.Exchange.approve",
    "addon.exchange.state.Exchange.take_approved",
    "addon.exchange.state.Exchanges.begin",
    "addon.exchange.attempt.Attempt.show_on",
]
"""Steps on the way to a request that is sent."""

PAYING = ["addon.usage.budget.PaidCalls.reserve", "addon.usage.journal.PaidJournal.note"]
"""Steps on the way to the API key."""

AFTER = [
    "addon.addons.upstream.read_windows",
    "addon.addons.translate.renderer_for",
    "addon.addons.translate.client_headers",
    "addon.exchange.answer.StreamedAnswer.feed",
    "addon.exchange.answer.StreamedAnswer.close",
    "addon.translation.message_stream.MessageStream.feed",
    "addon.translation.from_anthropic.chat.ChatStream.render",
    "addon.translation.from_anthropic.chat.ChatStream.finish",
    "addon.addons.thinking.Continuity.record",
    "addon.replay_layer.stream.ReplayStream.deliver",
    "addon.usage.ledger.UsageLedger.add",
    "addon.usage.metrics.Metrics.observe",
    "addon.addons.usage_recorder.comment",
    "addon.context.window.ContextManager.learn",
]
"""Steps on the way back."""


def place_of(step: str) -> tuple[Any, str]:
    """The module or class that holds it, and its name there."""
    path, _, name = step.rpartition(".")
    try:
        return importlib.import_module(path), name
    except ModuleNotFoundError:
        module, _, cls = path.rpartition(".")
        return getattr(importlib.import_module(module), cls), name


def strike(step: str) -> bool:
    """Do what the plan says for this step; True: it has to hang."""
    plan = json.loads(STEPS.read_text()) if STEPS.exists() else {}
    return plan.get("step") == step and break_down(plan["how"])


def planned(flow: Any) -> list[str] | None:
    """The hook that hangs for this client."""
    plan = json.loads(HANGS.read_text()) if HANGS.exists() else {}
    return plan.get(str(flow.client_conn.peername[1]))


def hanging(cls: type, name: str) -> Callable[..., Any]:
    hook = vars(cls)[name]

    @functools.wraps(hook)
    async def asynchronous(self: Any, flow: Any) -> None:
        if planned(flow) == [cls.__name__, name]:
            await asyncio.Event().wait()
        result = hook(self, flow)
        if inspect.isawaitable(result):
            await result

    return asynchronous


def load(loader: Any) -> None:
    for step in BEFORE + PAYING + AFTER:
        place, name = place_of(step)
        setattr(place, name, breakable(getattr(place, name), functools.partial(strike, step)))
    for cls, name in hooks_of_addons():
        if name in ("requestheaders", "request", "upstream_failed", "responseheaders", "response"):
            setattr(cls, name, hanging(cls, name))
