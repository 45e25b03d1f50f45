"""Commands for a flow, at mitmproxy's prompt: send it again, and take its conversation elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mitmproxy import ctx, exceptions, flow, types
from mitmproxy.addonmanager import Loader

from addon.api.readable import readable
from addon.api.request_history import KEPT_HEADERS, Entry, RequestHistory
from addon.core.errors import BadRequest
from addon.core.json_codec import dumps, read_object
from addon.core.own_http import HttpError, own_http
from addon.core.redaction import decoded
from addon.core.settings import Settings
from addon.core.types import JsonObject

logger = logging.getLogger(__name__)

SECONDS = 600.0


class FlowCommands:
    def __init__(
        self,
        settings: Settings,
        history: RequestHistory,
        against_stand_in: Callable[[JsonObject], JsonObject],
    ) -> None:
        """`against_stand_in`: sends a saved request to a stand-in for Anthropic and returns what became of it."""
        self.settings = settings
        self.history = history
        self.against_stand_in = against_stand_in
        self.running: set[asyncio.Task[None]] = set()
        self.numbers = itertools.count(1)

    def load(self, loader: Loader) -> None:
        loader.add_command("ccproxy.export", self.export)
        loader.add_command("ccproxy.resend", self.resend)

    def done(self) -> None:
        for task in self.running:
            task.cancel()

    def export(self, flows: Sequence[flow.Flow], path: types.Path) -> str:
        """Save its whole conversation: as HAR (.har), or each request as a line of JSON, keys hidden (.jsonl)."""
        turns = self.history.conversation(self._kept(flows))
        match Path(path).suffix:
            case ".har":
                ids = {turn.head["flow"] for turn in turns}
                view = ctx.master.addons.get("view") or flows
                chosen = [each for each in view if each.id in ids]
                ctx.master.commands.call("save.har", chosen, path)
                return f"{_many(chosen, 'flow')} of this conversation in {path}."
            case ".jsonl":
                lines = [json.dumps(turn.shown(self.history.hide)) + "\n" for turn in turns]
                try:
                    Path(path).expanduser().write_text("".join(lines), encoding="utf-8")
                except OSError as error:
                    raise exceptions.CommandError(f"{path}: {error.strerror}") from None
                return f"{_many(lines, 'request')} of this conversation in {path}."
        raise exceptions.CommandError("Name the file .har or .jsonl.")

    def resend(self, flows: Sequence[flow.Flow], *changes: str) -> str:
        """Send the request once more through all steps, with `model=…`, or to a stand-in with `against=stand_in`. Both
        responses go to the event log."""
        entry = self._kept(flows)
        given = dict(change.partition("=")[::2] for change in changes)
        unknown = given.keys() - {"model", "against"}
        if unknown or given.get("against", "stand_in") != "stand_in":
            raise exceptions.CommandError("Changes are model=… and against=stand_in.")
        try:
            body = read_object(entry.asked())
        except BadRequest:
            raise exceptions.CommandError("This request had no JSON body, or was cut.") from None
        if "model" in given:
            body["model"] = given["model"]
        task = asyncio.get_running_loop().create_task(
            self._again(entry, body, stand_in="against" in given)
        )
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return "It is on its way; both responses will be in the event log."

    def _kept(self, flows: Sequence[flow.Flow]) -> Entry:
        if len(flows) != 1:
            raise exceptions.CommandError("Choose one flow, for example @focus.")
        entry = self.history.of_flow(flows[0].id)
        if entry is None:
            raise exceptions.CommandError(
                "This request is still running, too long ago, or not kept (EXPLAIN=false)."
            )
        return entry

    async def _again(self, entry: Entry, body: JsonObject, *, stand_in: bool) -> None:
        try:
            if stand_in:
                saved = entry.shown(self.history.hide)
                saved["client"]["body"] = body
                told = (await asyncio.to_thread(self.against_stand_in, saved))["answer"]
            else:
                told = await self._through_here(entry, body)
        except (HttpError, OSError, RuntimeError) as error:
            logger.error("It could not be sent again: %s", error)
            return
        before = decoded(entry.answer.read()) if entry.answer else {}
        logger.info("BEFORE\n%s\nNOW\n%s", _text(before), _text(told))

    async def _through_here(self, entry: Entry, body: JsonObject) -> Any:
        """Claude's message, or what of it was kept. Found by a name of its own."""
        name = f"resend-{next(self.numbers)}"
        head = entry.head["client"]
        headers = {n: v for n, v in head["headers"] if n.lower() in KEPT_HEADERS}
        headers |= {"content-type": "application/json"}
        headers |= (
            {"authorization": f"Bearer {self.settings.secret}"} if self.settings.secret else {}
        )
        url = f"http://127.0.0.1:{self.settings.port}/@{name}{head['path']}"
        async with contextlib.aclosing(own_http(trust_env=False, timeout=SECONDS)) as client:
            response = await client.request("POST", url, content=dumps(body), headers=headers)
        again = self.history.named(name)
        if again is None or not again.answer:
            return {"error": {"message": response.body.decode(errors="replace")}}
        return decoded(again.answer.read())


def _many(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'s' * (len(things) != 1)}"


def _text(message: Any) -> str:
    if isinstance(message, str):
        return f"(This response was cut when it was kept.)\n{message}"
    try:
        return readable(message).rstrip()
    except (ValueError, AttributeError, TypeError):  # an error, or nothing
        return json.dumps(message, ensure_ascii=False)
