"""Keeps conversations within the limit, and says for each request how large it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence

from mitmproxy import http

from addon.claude.digest import DigestMemory, message_digest, prefix_digests_of
from addon.context.tokens.count import describe, overflow
from addon.context.view import conversation_key
from addon.context.window import ContextManager, Fitted, is_surely_short
from addon.core.errors import CCProxyError
from addon.core.settings import Settings
from addon.core.terminal import Terminal
from addon.core.types import JsonObject
from addon.exchange.claude_request import LARGE, ClaudeRequest, yield_if_large
from addon.exchange.state import Exchange, Exchanges

logger = logging.getLogger(__name__)

FULL = 0.5
"""The share of its limit from which on a conversation's parts are shown in the terminal."""


type PutBack = Callable[[Exchange, ClaudeRequest, Mapping[int, bytes]], JsonObject | None]
"""Gives the request with the blocks that will be put back, None if there are none, so that they are counted. Its last
argument: `message_digest`s by the `id` of the message."""


class ContextWindow:
    def __init__(
        self,
        settings: Settings,
        exchanges: Exchanges,
        manager: ContextManager,
        terminal: Terminal,
        with_blocks_put_back: PutBack | None = None,
    ) -> None:
        self.ahead = settings.context_ahead
        self.for_claude_code = settings.context_for_claude_code
        self.exchanges = exchanges
        self.manager = manager
        self.terminal = terminal
        self.with_blocks_put_back = with_blocks_put_back
        self.digests = DigestMemory()

    async def request(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.open(flow)
        claude = exchange.claude if exchange else None
        if exchange is None or claude is None or claude.counts_tokens or not self.manages(claude):
            return
        messages, whole = claude.request["messages"], claude.choice.whole_window
        claude.limit = limit = self.manager.limit_of(claude.model, whole_window=whole)
        if is_surely_short(claude.request, claude.model, claude.size, limit):
            # a bound: what a paid request reserves must not be too little
            claude.prompt_tokens = claude.size
            if not claude.conversation:
                claude.conversation = _named(prefix_digests_of(map(message_digest, messages)))
            return
        exchange.doing = "bringing the conversation within its limit"
        await yield_if_large(claude.size)
        digests = self.digests.of(messages, keep=claude.size <= LARGE)
        known = dict(zip(map(id, messages), digests, strict=True))
        put_back = self.with_blocks_put_back
        try:
            fitted = await self.manager.fit(
                claude.request,
                claude.model,
                digests,
                whole_window=whole,
                sent=put_back(exchange, claude, known) if put_back else None,
            )
        except CCProxyError as error:
            exchange.refuse(flow, error)
            return
        finally:
            exchange.doing = ""
        self.take(exchange, fitted)
        if fitted.count.total >= FULL * fitted.limit:
            told = describe(fitted.count, fitted.limit)
            self.terminal.line(f"{told} {self.exchanges.tag(exchange)}".rstrip(), "faint")

    def manages(self, claude: ClaudeRequest) -> bool:
        """Claude Code keeps its conversations within the window by itself."""
        native = claude.native
        if native is None:
            return True
        return not native.opaque and (self.for_claude_code or not native.passes)

    def take(self, exchange: Exchange, fitted: Fitted) -> None:
        claude = exchange.claude
        if claude is None:
            return
        claude.fitted = fitted
        if claude.native is None or fitted.action != "none":
            claude.request = fitted.request
        claude.prompt_tokens = fitted.count.total
        claude.conversation = claude.conversation or _named(fitted.conversation.prefix_digests)
        if fitted.action != "none":
            exchange.notes.append(f"context: {fitted.action}")
            claude.note_change("context")
        for note in fitted.notes:
            self.terminal.line(f"{note} {self.exchanges.tag(exchange)}".rstrip(), "odd")

    async def trim_again(self, exchange: Exchange, message: str) -> bool:
        """After "prompt is too long": a shorter request to send once more. False when there is none.

        Raises BadRequest when it can't be made to fit."""
        claude = exchange.claude
        counted = overflow(message)
        if claude is None or claude.fitted is None or counted is None:
            return False
        refused = await self.manager.recounted(claude.fitted)
        fitted = await self.manager.after_refusal(refused, message)
        if fitted is None:
            return False
        too_low = counted.tokens / max(1, refused.count.total)
        self.take(exchange, fitted)
        claude.prompt_tokens = round(claude.prompt_tokens * max(1.0, too_low))
        return True

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = self.exchanges.get(flow)
        answer = exchange.answer if exchange else None
        if exchange is None or exchange.claude is None or exchange.claude.fitted is None:
            return
        if answer is None or not answer.complete or exchange.error is not None:
            return
        fitted = exchange.claude.fitted
        if exchange.paused is None:  # else it has read more than what was counted
            self.manager.learn(fitted, answer.message)
        if self.ahead and self.manager.may_prepare(fitted):
            self.start(self.prepare(fitted))

    async def prepare(self, fitted: Fitted) -> None:
        try:
            line = await self.manager.prepare_ahead(fitted)
        except CCProxyError as error:
            logger.warning("No summary was prepared ahead: %s", error)
        else:
            if line:
                self.terminal.line(line)

    def start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.exchanges.background.add(task)
        task.add_done_callback(self.exchanges.background.discard)


def _named(prefix_digests: Sequence[bytes]) -> str:
    """The conversation's name in the records."""
    return conversation_key(prefix_digests).hex()[:16]
