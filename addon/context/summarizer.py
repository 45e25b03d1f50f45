"""Shortens conversations by summaries: one call at a time for each conversation, and none for a known prefix."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, NamedTuple

from addon.claude.digest import Fingerprint
from addon.claude.model import Model
from addon.context.depth import Depth, Outlook, cheapest
from addon.context.selection import (
    FIRST_PROTECTED,
    LAST_PROTECTED,
    SUMMARY_TOKENS,
    Span,
    choose,
    expected_tokens,
    needed,
    pinned,
)
from addon.context.summary_memory import Summary, SummaryMemory
from addon.context.tokens.counter import TokenCounter
from addon.context.transcript import summary_request
from addon.context.view import Conversation, SummarizedView, apply_summary
from addon.core.errors import CCProxyError
from addon.core.frozen import frozen
from addon.core.lru import Lru
from addon.core.terminal import cents, short_count
from addon.core.types import JsonObject

log = logging.getLogger(__name__)

ROUNDS = 2
TIMEOUT_SECONDS = 120
# After a failure, requests are trimmed for a while, rather than waiting for the next failure.
PAUSE_SECONDS = 300
MOST_MERGES = 5

# A shorter "summary" is a refusal or an apology.
_LEAST_CHARS = 200
_LEAST_SHARE = 0.005

# A summary that was sent remains in use while the estimate of the whole conversation is near the limit. Estimates
# change, and to send the original messages again would be a miss in the prompt cache.
STICKY_SHARE = 0.75

# Up to here a conversation that was never shortened needs no exact count: no summary is made or prepared for it.
QUIET_SHARE = 0.9

# How long before the limit a summary is made: the call takes about as long as a few turns. It is used as soon as it is
# there, since every turn until then reads more.
_AHEAD_TURNS = 3
_AHEAD_SHARE = 0.05

# Of the limit, from where a summary is made if it may be as deep as is cheapest: every turn at the limit reads all of
# it, and the later the summary, the less is left of the conversation when it ends.
_CHEAPEST_SHARE = 0.85


@frozen(kw_only=True)
class SummaryResponse:
    """The result of a call."""

    text: str
    cost: float
    """USD, 0.0 if unknown."""
    complete: bool = True
    """False if it stopped at max_tokens."""
    usage: JsonObject = field(default_factory=dict)
    """As Anthropic reports it."""


type Call = Callable[[JsonObject], Awaitable[SummaryResponse]]
"""POSTs the body to `/v1/messages` with the API key. Raises CCProxyError (budget exceeded, upstream failed)."""


@frozen
class Limits:
    limit: int
    target: int | None
    """None: the target with the lowest cost."""

    @property
    def early(self) -> int:
        """Tokens that a conversation should not have for long."""
        return self.limit if self.target is not None else round(_CHEAPEST_SHARE * self.limit)

    @property
    def sticky(self) -> int:
        """Tokens of a whole conversation from which its summary remains in use."""
        return round(STICKY_SHARE * self.early)

    @property
    def quiet(self) -> int:
        """Tokens up to which nothing is done with a conversation that was not shortened before."""
        return round(QUIET_SHARE * self.early)


@frozen
class _Plan:
    call: Call
    span: Span
    base: Summary | None
    """The summary to merge with; None: the whole span is summarized from its messages."""
    depth: Depth | None


class Made(NamedTuple):
    summary: Summary
    line: str
    """For the log: what it replaced, what it cost, and where it can be viewed."""


class SummaryTasks:
    """The running calls, and the conversations that are paused after a failure. A new summarizer gets them from the
    last one, so that nobody pays twice after a setting was changed."""

    def __init__(self, background: set[asyncio.Task[Any]] | None = None) -> None:
        """`background`: also contains the running calls. The process should not end before them, since they are
        paid."""
        self.background = set() if background is None else background
        self.running: dict[bytes, asyncio.Task[Made | None]] = {}
        """By `Conversation.key`."""
        self.paused: Lru[tuple[bytes, str], float] = Lru(256)
        """The end of the pause, by `Conversation.key` and the id of the model whose call failed."""


@dataclass(eq=False, repr=False)
class Summarizer:
    """Finds or makes the summary that a conversation needs.

    `call`: makes the paid request (None: no key, so no summaries are made); `model`: the summarizing model; `clock`:
    seconds. Use from one event loop.
    """

    call: Call | None
    memory: SummaryMemory
    counter: TokenCounter
    _: KW_ONLY
    model: Model
    clock: Callable[[], float]
    tasks: SummaryTasks

    async def fit(
        self, conversation: Conversation, limits: Limits
    ) -> tuple[SummarizedView, list[Made]]:
        """The conversation, with a summary if it needs one, and the summaries that were made for it now.

        The result may still be over the limit, without an exception: if there is nothing to summarize, there is no key,
        or the call failed.
        """
        made: list[Made] = []
        goal = limits.limit
        view = await self.remembered(conversation, limits)
        while view.count.total > goal and len(made) < ROUNDS:
            if running := self.tasks.running.get(conversation.key):
                await asyncio.wait({running})
            elif plan := self._plan(conversation, view, limits, view.count.total):
                now = await self._share(conversation, plan)
                if now is None:
                    break
                made.append(now)
                goal = self._target(conversation, limits).target
            else:
                break
            view = await self.remembered(conversation, limits)
        if view.summary and view.summary.used_at is None:
            await self.memory.mark_used(view.summary, len(conversation.messages))
        return view, made

    def is_near_limit(self, conversation: Conversation, limits: Limits, total: int) -> bool:
        """Whether the next turns of a conversation with `total` tokens may need a summary."""
        margin = max(_AHEAD_TURNS * conversation.growth, round(_AHEAD_SHARE * limits.limit))
        return total + margin > limits.early

    async def prepare(self, conversation: Conversation, limits: Limits) -> Made | None:
        """Make the summary that the next turns will need, if the conversation is near the limit and has none yet."""
        view = await self.remembered(conversation, limits)
        ready = next(iter(await self._known(conversation)), None)
        # No await from here on until the call is registered: two tasks would both make, and pay, the same summary.
        if (
            not self.is_near_limit(conversation, limits, view.count.total)
            or conversation.key in self.tasks.running
        ):
            return None
        if ready and (view.summary is None or ready.end > view.summary.end):
            return None
        plan = self._plan(
            conversation, view, limits, max(view.count.total, limits.early + conversation.growth)
        )
        return await self._share(conversation, plan) if plan else None

    async def remembered(self, conversation: Conversation, limits: Limits) -> SummarizedView:
        """The conversation as it was last sent, or with the longest known summary if that is near the limit."""
        view = SummarizedView(
            request=conversation.request,
            fingerprint=conversation.fingerprint,
            count=conversation.count,
        )
        known = await self._known(conversation)
        used = next((summary for summary in known if summary.used_at is not None), None)
        if used and conversation.count.total >= limits.sticky:
            view = await self._counted(conversation, used)
        near = self.is_near_limit(conversation, limits, view.count.total)
        if near and known and known[0] != view.summary:
            view = await self._counted(conversation, known[0])
        return view

    async def knows(self, fingerprint: Fingerprint) -> bool:
        """Whether there is a summary that the conversation may be sent with."""
        return bool(await self.memory.for_prefixes(fingerprint.prefix_digests))

    async def _known(self, conversation: Conversation) -> list[Summary]:
        return [
            s
            for s in await self.memory.for_prefixes(conversation.prefix_digests)
            if conversation.can_take(s)
        ]

    async def _counted(self, conversation: Conversation, summary: Summary) -> SummarizedView:
        view = apply_summary(conversation, summary)
        count = await self.counter.count_soon(
            view.request, conversation.model, view.fingerprint, factor=conversation.count.factor
        )
        return replace(view, count=count)

    def _target(self, conversation: Conversation, limits: Limits) -> Depth:
        if limits.target is not None:
            return Depth(limits.target, 0.0, 0)
        count = conversation.count
        prefix = count.system + count.tools + sum(count.per_message[:FIRST_PROTECTED])
        return cheapest(
            Outlook(
                limit=limits.early,
                prefix=prefix,
                floor=prefix + sum(count.per_message[-LAST_PROTECTED:]) + SUMMARY_TOKENS[0],
                growth=conversation.growth,
                turns=conversation.turns,
                prices=conversation.model.prices,
                summarizer=self.model.prices,
            )
        )

    def _plan(
        self, conversation: Conversation, view: SummarizedView, limits: Limits, total: int
    ) -> _Plan | None:
        """What to summarize to get from `total` tokens to the target; None if that is not possible."""
        if self.call is None or self._is_paused(conversation):
            return None
        depth = self._target(conversation, limits)
        need = needed(total - depth.target)
        # As many turns are expected as there were. If they need a second summary, this one replaces what both would:
        # the cache is written anew once instead of twice, and in the end as much is left.
        if limits.target and total - need + conversation.growth * conversation.turns > limits.limit:
            need = min(2 * need, total // 2)
        span = choose(view.request["messages"], view.count.per_message, need, after=view.covered)
        if span is None:
            return None
        replaced = sum(view.count.per_message[slice(*span)])
        if total - replaced + expected_tokens(replaced) > limits.limit:
            return None  # the other messages alone are too long, so it must be trimmed anyway
        whole = Span(span.start, span.end + view.shift)
        base = view.summary if view.summary and self._good(conversation, view.summary) else None
        return _Plan(self.call, whole, base, None if limits.target else depth)

    def _is_paused(self, conversation: Conversation) -> bool:
        until = self.tasks.paused.get((conversation.key, self.model.id))
        return until is not None and until > self.clock()

    def _good(self, conversation: Conversation, summary: Summary) -> bool:
        """Whether to merge a summary into the next one. Each merge loses details; a very short summary has lost too
        many."""
        replaced = sum(conversation.count.per_message[summary.start : summary.end])
        thin = summary.tokens_after < _LEAST_SHARE * replaced
        return summary.complete and summary.merges < MOST_MERGES and not thin

    async def _share(self, conversation: Conversation, plan: _Plan) -> Made | None:
        """Run the call in a task, so that it continues if the client disconnects: it is paid, and the next turn needs
        it."""
        task = asyncio.create_task(self._make(conversation, plan))
        self.tasks.running[conversation.key] = task
        task.add_done_callback(lambda _: self.tasks.running.pop(conversation.key, None))
        self.tasks.background.add(task)
        task.add_done_callback(self.tasks.background.discard)
        await asyncio.wait({task})
        return task.result()

    async def _make(self, conversation: Conversation, plan: _Plan) -> Made | None:
        """Make a summary and store it; None, and a pause, if that fails."""
        added = conversation.messages[
            plan.base.end if plan.base else plan.span.start : plan.span.end
        ]
        tokens = sum(conversation.count.per_message[slice(*plan.span)])
        previous = plan.base.text if plan.base else None
        body = summary_request(added, tokens, self.model, previous)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                response = await plan.call(body)
            _check(response, body)
        except (CCProxyError, TimeoutError) as error:
            until = self.clock() + PAUSE_SECONDS
            self.tasks.paused.put((conversation.key, self.model.id), until)
            log.warning(
                "🔄 No summary was made, trimming instead: %s", str(error) or "it took too long"
            )
            return None
        summary = self._summary(conversation, plan, response, tokens)
        await self.memory.put(summary, added)
        return Made(summary, _log_line(summary, plan.depth))

    def _summary(
        self, conversation: Conversation, plan: _Plan, response: SummaryResponse, tokens: int
    ) -> Summary:
        summary = Summary(
            id=conversation.prefix_digests[plan.span.end].hex(),
            start=plan.span.start,
            end=plan.span.end,
            text=response.text.strip(),
            pins=tuple(pinned(conversation.messages, plan.span)),
            merges=plan.base.merges + 1 if plan.base else 0,
            complete=response.complete,
            previous=plan.base.id if plan.base else None,
            model=self.model.id,
            created=self.clock(),
            tokens_before=tokens,
            cost=response.cost,
        )
        view = apply_summary(conversation, summary)
        count = self.counter.count(
            view.request, conversation.model, view.fingerprint, factor=conversation.count.factor
        )
        return replace(summary, tokens_after=sum(count.per_message[summary.start : view.covered]))


def _check(response: SummaryResponse, body: JsonObject) -> None:
    """Raises CCProxyError if it can't be a summary."""
    asked = len(body["messages"][0]["content"])
    if len(response.text.strip()) < max(_LEAST_CHARS, _LEAST_SHARE * asked):
        raise CCProxyError(f"the summary of {asked} characters has only {len(response.text)}")


def _log_line(summary: Summary, depth: Depth | None) -> str:
    line = (
        f"🔄 {summary.end - summary.start} messages summarized: {short_count(summary.tokens_before)} → "
        f"{short_count(summary.tokens_after)} tokens for {cents(summary.cost)} · /context/{summary.id}"
    )
    if depth is None:
        return line
    return f"{line} · down to {short_count(depth.target)}: the next turns should cost ${depth.cost:.2f}"
