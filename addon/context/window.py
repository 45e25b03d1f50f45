"""Fits every request into the context window: counts its tokens, summarizes, trims.

A request below the limit is sent as it is, unless its conversation has been summarized or trimmed before: then the same
summary and the same cuts are applied while the whole conversation is near the limit, since a change of the prompt is a
miss in Anthropic's cache. Above the limit, a summary replaces older messages. If there is none (no API key, the call
failed) or it does not suffice, the request is trimmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal

from addon.claude.digest import Fingerprint, fingerprint_of, message_digest
from addon.claude.model import Model
from addon.context import trim
from addon.context.summarizer import Limits, Summarizer
from addon.context.tokens.count import Count, overflow, true_input
from addon.context.tokens.counter import TokenCounter
from addon.context.tokens.measure import MESSAGE_TOKENS, REQUEST_TOKENS
from addon.context.view import Conversation, Counted, SummarizedView, conversation_key
from addon.core.errors import BadRequest
from addon.core.frozen import frozen
from addon.core.lru import Lru
from addon.core.terminal import short_count
from addon.core.types import JsonObject

type Strategy = Literal["summarize", "trim", "none"]
type Action = Literal["none", "summarized", "reused", "trimmed"]

# The minimum for max_tokens when it must be reduced.
LEAST_OUTPUT = 4_096
# If the window is smaller than the target, the target becomes this share of the window.
_TARGET_SHARE = 0.9
# Of the limit: a request that may have more is counted.
SHORT_SHARE = 0.5


@frozen(kw_only=True)
class Fitted:
    """A request that fits, and what was changed for that."""

    request: JsonObject
    action: Action
    count: Count
    limit: int
    before: int
    """Tokens of the original request."""
    fingerprint: Fingerprint
    conversation: Conversation
    view: SummarizedView
    """The request before it was trimmed."""
    notes: tuple[str, ...] = ()
    """Lines for the log, with their 🔄 or ✂️."""
    cost: float = 0.0
    """USD spent on summaries for this request."""

    @property
    def summary(self) -> str | None:
        """Id of the summary in it (`/context/<id>`)."""
        return self.view.summary.id if self.view.summary else None

    @property
    def counted(self) -> Counted:
        """What `count` is of."""
        whole = self.conversation.counted
        if whole and self.request["messages"] is self.conversation.messages:
            return whole
        return Counted(self.request, self.fingerprint)


type KnownCuts = Lru[tuple[bytes, str | None, Limits], trim.Cuts]
"""The cuts of conversations, by `Conversation.key`, the id of its summary, and the limits."""
CUTS_KEPT = 256


@dataclass(eq=False, repr=False)
class ContextManager:
    """Fits requests to a limit.

    `limit`: tokens, or "auto" for the model's whole window; `target`: tokens to shorten to, or "auto" for the lowest
    cost (then trimming shortens to 0.9 of the limit). Raises ValueError if the target is not below the limit. `cuts`:
    shared with other managers, so that a changed setting doesn't change a prompt that Anthropic has cached. `strict`:
    whether a request beyond the limit costs what the user has forbidden. Else, text that was made to deceive a sample
    may be sent: beyond its window Anthropic refuses it, at no cost, and says how long it is.
    """

    counter: TokenCounter
    summarizer: Summarizer
    _: KW_ONLY
    strategy: Strategy = "summarize"
    limit: int | Literal["auto"] = 200_000
    target: int | Literal["auto"] = 180_000
    cuts: KnownCuts = field(default_factory=lambda: Lru(CUTS_KEPT))
    strict: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        limit, target = self.limit, self.target
        if limit != "auto" and target != "auto" and target >= limit:
            raise ValueError(f"CONTEXT_TARGET_TOKENS ({target}) must be below the limit ({limit})")

    def limit_of(self, model: Model, *, whole_window: bool) -> int:
        """`whole_window`: the limit is the model's own."""
        if whole_window or self.limit == "auto":
            return model.context
        return min(self.limit, model.context)

    async def fit(
        self,
        request: JsonObject,
        model: Model,
        messages: Sequence[bytes] | None = None,
        *,
        whole_window: bool = False,
        sent: JsonObject | None = None,
    ) -> Fitted:
        """The request as it can be sent to `model`; `messages`: the digests of its messages if they are known;
        `whole_window`: the limit is the model's own; `sent`: the same with the blocks that will be put back.

        From turn to turn, a conversation produces the same bytes, except for what is new. `request` is not changed; the
        result shares its messages. Content of an unknown shape is left as it is, for Anthropic to judge, and so is what
        even the largest cuts leave above the limit: a count made here is a guess.
        """
        fingerprint = fingerprint_of(request, messages)
        limits = self._limits(model, whole_window)
        counted = Counted(request, fingerprint)
        if sent is not None:
            counted = Counted(sent, _fingerprint_of_sent(sent, request, fingerprint))
        threshold = await self._threshold(fingerprint, limits)
        count = await self.counter.count_soon(
            counted.request,
            model,
            counted.fingerprint,
            threshold=threshold,
            room=_room(request, model),
            sure=threshold == limits.sticky or self.strict(),
        )
        conversation = Conversation(request, model, fingerprint, count, whole_window, counted)
        whole = SummarizedView(request=request, fingerprint=fingerprint, count=count)
        if self.strategy == "none" or count.total < limits.sticky:
            return self._fitted(conversation, whole, limits, "none")
        if self.strategy == "trim":
            return await self._trimmed(self._fitted(conversation, whole, limits, "none"), limits)
        return await self._summarized(conversation, limits)

    async def _threshold(self, fingerprint: Fingerprint, limits: Limits) -> int:
        """Up to how many tokens it doesn't matter how many a request has exactly."""
        if self.strategy == "none":
            return limits.limit
        # What is near the limit may have been cut or summarized before, and a summary be prepared for it.
        cut = self.cuts.get((conversation_key(fingerprint.prefix_digests), None, limits))
        if cut or await self.summarizer.knows(fingerprint):
            return limits.sticky
        return limits.quiet

    def may_prepare(self, fitted: Fitted) -> bool:
        """Whether `prepare_ahead` may have something to do."""
        conversation = fitted.conversation
        limits = self._limits_of(conversation)
        return self.strategy == "summarize" and self.summarizer.is_near_limit(
            conversation, limits, conversation.count.total
        )

    async def prepare_ahead(self, fitted: Fitted) -> str | None:
        """Make the summary that the next turns of this conversation will need. Call it after a response.

        Returns the line for the log if a summary was made.
        """
        if not self.may_prepare(fitted):
            return None
        made = await self.summarizer.prepare(
            fitted.conversation, self._limits_of(fitted.conversation)
        )
        return made.line if made else None

    def learn(self, fitted: Fitted, message: JsonObject) -> None:
        """Learn from the response to `fitted.request`."""
        if total := true_input(message.get("usage") or {}, message.get("content")):
            request, fingerprint = fitted.counted
            self.counter.learn(request, fitted.conversation.model, total, fingerprint)

    async def recounted(self, fitted: Fitted) -> Fitted:
        """`fitted` with its exact count, where it was estimated by a sample."""
        request, fingerprint = fitted.counted
        count = await self.counter.count_soon(
            request, fitted.conversation.model, fingerprint, factor=fitted.count.factor
        )
        return replace(fitted, count=count)

    async def after_refusal(self, fitted: Fitted, message: str) -> Fitted | None:
        """The request to send after Anthropic has rejected this one with a 400; None if that was not about its length.

        Learns the true count from the message. Raises BadRequest, in Anthropic's words, if the request can't be made to
        fit.
        """
        counted = overflow(message)
        if counted is None:
            return None
        request, fingerprint = fitted.counted
        model = fitted.conversation.model
        self.counter.learn(request, model, counted.tokens, fingerprint, sure=True)
        if counted.maximum - counted.tokens >= LEAST_OUTPUT:
            return replace(
                fitted, request=_clamped(fitted.request, counted.maximum - counted.tokens)
            )
        # The estimate was too low by this factor, so the limits of the estimate are lowered by it.
        off = min(1.0, fitted.count.total / counted.tokens)
        target = min(
            self._limits_of(fitted.conversation).target or counted.maximum,
            _below(counted.maximum),
        )
        limits = Limits(int(counted.maximum * off), int(target * off))
        cut = await self._cut_anew(fitted, limits)
        if cut.count.total > limits.limit:
            raise _too_large(message)
        return cut

    def _limits_of(self, conversation: Conversation) -> Limits:
        return self._limits(conversation.model, conversation.whole_window)

    def _limits(self, model: Model, whole_window: bool) -> Limits:
        limit = self.limit_of(model, whole_window=whole_window)
        if self.target == "auto" or whole_window:
            return Limits(limit, None)
        return Limits(limit, self.target if self.target < limit else _below(limit))

    async def _summarized(self, conversation: Conversation, limits: Limits) -> Fitted:
        view, made = await self.summarizer.fit(conversation, limits)
        action: Action = "summarized" if made else "reused" if view.summary else "none"
        fitted = replace(
            self._fitted(conversation, view, limits, action),
            notes=tuple(line for _, line in made),
            cost=sum(summary.cost for summary, _ in made),
        )
        return await self._trimmed(fitted, limits)

    def _fitted(
        self, conversation: Conversation, view: SummarizedView, limits: Limits, action: Action
    ) -> Fitted:
        return Fitted(
            request=_clamped(view.request, conversation.model.context - view.count.upper),
            action=action,
            count=view.count,
            limit=limits.limit,
            before=conversation.count.total,
            fingerprint=view.fingerprint,
            conversation=conversation,
            view=view,
        )

    async def _trimmed(self, fitted: Fitted, limits: Limits) -> Fitted:
        """`fitted` within the limit, with the cuts of the previous turn while they are enough."""
        cuts = self.cuts.get(self._cuts_key(fitted))
        if cuts and trim.fits(fitted.view.request, cuts):
            cut = await asyncio.to_thread(self._cut, fitted, cuts)
            if cut.count.total <= limits.limit:
                return cut
        elif fitted.count.total <= limits.limit:
            return fitted
        return await self._cut_anew(fitted, limits)

    async def _cut_anew(self, fitted: Fitted, limits: Limits) -> Fitted:
        """Plan new cuts, in a thread, since much of the request must be counted again."""
        cuts = await asyncio.to_thread(self._plan, fitted, limits)
        cut = await asyncio.to_thread(self._cut, fitted, cuts)
        self.cuts.put(self._cuts_key(fitted), cuts)
        return cut

    def _cuts_key(self, fitted: Fitted) -> tuple[bytes, str | None, Limits]:
        return fitted.conversation.key, fitted.summary, self._limits_of(fitted.conversation)

    def _plan(self, fitted: Fitted, limits: Limits) -> trim.Cuts:
        model = fitted.conversation.model

        def tokens(request: JsonObject) -> list[int]:
            count = self.counter.count(request, model, factor=fitted.count.factor)
            return [*count.per_message, count.total - count.messages]

        target = limits.target or _below(limits.limit)
        request = fitted.view.request
        return trim.plan(request, tokens, target, unthink=model.preserved_thinking)

    def _cut(self, fitted: Fitted, cuts: trim.Cuts) -> Fitted:
        model = fitted.conversation.model
        request = trim.apply(fitted.view.request, cuts)
        fingerprint = fingerprint_of(request)
        count = self.counter.count(request, model, fingerprint, factor=fitted.count.factor)
        note = f"✂️ trimmed: {short_count(fitted.before)} → {short_count(count.total)} tokens"
        return replace(
            fitted,
            request=_clamped(request, model.context - count.upper),
            action="trimmed",
            count=count,
            fingerprint=fingerprint,
            notes=(*fitted.notes, note),
        )


def _fingerprint_of_sent(
    sent: JsonObject, request: JsonObject, fingerprint: Fingerprint
) -> Fingerprint:
    """The fingerprint of `sent`, hashing only the messages that it does not share with `request`."""
    shared = zip(sent["messages"], request["messages"], fingerprint.messages, strict=True)
    digests = (known if a is b else message_digest(a) for a, b, known in shared)
    return replace(fingerprint, messages=tuple(digests))


def _room(request: JsonObject, model: Model) -> int | None:
    """The most tokens of a prompt for which `max_tokens` remains as it is."""
    asked = request.get("max_tokens")
    return model.context - asked if isinstance(asked, int) else None


def is_surely_short(request: JsonObject, model: Model, size: int, limit: int) -> bool:
    """Whether nothing depends on the tokens of a request that came as `size` bytes of JSON: it can't have more of
    them, so it is far below `limit`, leaves room for `max_tokens`, is too short for Anthropic's cache, and next to
    nothing can be learnt from it. What such bytes don't bound are tools, whose use Anthropic explains to the model,
    thinking that is put back, and what a URL or an id stands for."""
    messages = request["messages"]
    most = size + MESSAGE_TOKENS * len(messages) + REQUEST_TOKENS
    room = _room(request, model)
    return (
        most < model.min_cacheable
        and most <= SHORT_SHARE * limit
        and (room is None or most <= room)
        and not request.get("tools")
        and all(map(_is_users_text, messages))
    )


def _is_users_text(message: JsonObject) -> bool:
    content = message.get("content")
    blocks = content if isinstance(content, list) else ()
    text = isinstance(content, str) or all(_is_text(block) for block in blocks)
    return text and message.get("role") == "user"


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"


def _below(limit: int) -> int:
    return round(_TARGET_SHARE * limit)


def _clamped(request: JsonObject, room: int) -> JsonObject:
    """`max_tokens` reduced to the room in the window: older models reject more."""
    asked = request.get("max_tokens")
    budget = (request.get("thinking") or {}).get("budget_tokens") or 0
    most = max(room, LEAST_OUTPUT, budget + 1)
    return {**request, "max_tokens": most} if isinstance(asked, int) and asked > most else request


def _too_large(refusal: str) -> BadRequest:
    """Anthropic's sentence comes first: clients look for it to shorten the conversation themselves."""
    return BadRequest(
        f"{refusal.rstrip('.')}. It is too long even with everything left out that may be. Start a new chat, or remove "
        "large files or tool results from the newest messages.",
        param="messages",
        code="context_length_exceeded",
    )
