"""A conversation on its way upstream, and how it looks through a summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from addon.claude.digest import Fingerprint, message_digest
from addon.claude.model import Model
from addon.context.pairs import safe_cuts
from addon.context.replace import replacement, summarized, without_thinking
from addon.context.selection import FIRST_PROTECTED, LAST_PROTECTED, Span
from addon.context.summary_memory import Summary
from addon.context.tokens.count import Count
from addon.core.types import JsonObject


@dataclass(frozen=True)
class Chat:
    """A request as the client sent it, whole."""

    request: JsonObject
    model: Model
    prints: Fingerprint
    count: Count

    @property
    def names(self) -> Sequence[bytes]:
        """`names[k]` stands for the first k messages; the names of summaries."""
        return self.prints.names

    @property
    def messages(self) -> list[JsonObject]:
        messages: list[JsonObject] = self.request["messages"]
        return messages

    @property
    def key(self) -> bytes:
        """Names the conversation: by its first messages, which stay when everything else is replaced."""
        return self.names[min(FIRST_PROTECTED, len(self.messages))]

    @property
    def turns(self) -> int:
        """Answers in the conversation, at least 1."""
        return max(1, [message["role"] for message in self.messages].count("assistant"))

    @property
    def growth(self) -> int:
        """Tokens that a turn has added on the average."""
        return self.count.messages // self.turns

    @cached_property
    def cuts(self) -> set[int]:
        return safe_cuts(self.messages)

    def takes(self, summary: Summary) -> bool:
        """Whether the summary can stand in this conversation, which may have been taken back to an earlier point: it
        leaves the newest messages alone, and splits no tool call."""
        last = len(self.messages) - LAST_PROTECTED
        return summary.end <= last and {summary.start, summary.end} <= self.cuts


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A chat with a summary in the place of its beginning, or as it is."""

    request: JsonObject
    prints: Fingerprint
    count: Count
    summary: Summary | None = None
    covered: int = 0
    """Index behind the messages that stand for the summary."""
    shift: int = 0
    """What to add to an index from `covered` on, to have that of the same message in the chat."""


def through(chat: Chat, summary: Summary) -> View:
    """The chat with `summary` in its place; not counted yet.

    The same chat and summary give the same bytes. On models that bind thinking to the exact prefix, what was thought
    before the summary came is left out; what was thought since is bound to this view.
    """
    span = Span(summary.start, summary.end)
    text = summarized(span.end - span.start, summary.text)
    made = replacement(chat.messages, span, text, summary.pins)
    messages = chat.messages
    if chat.model.preserved_thinking:
        fresh = len(messages) if summary.used_at is None else summary.used_at
        messages = [*without_thinking(messages[:fresh]), *messages[fresh:]]
    digests = chat.prints.messages
    return View(
        request={
            **chat.request,
            "messages": [*messages[: span.start], *made, *messages[span.end :]],
        },
        prints=replace(
            chat.prints,
            messages=(*digests[: span.start], *map(message_digest, made), *digests[span.end :]),
        ),
        count=chat.count,
        summary=summary,
        covered=span.start + len(made),
        shift=span.end - span.start - len(made),
    )
