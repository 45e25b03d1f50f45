"""A conversation, and how it is sent with a summary in place of its older messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from addon.claude.blocks import is_thinking
from addon.claude.digest import Fingerprint, message_digest
from addon.claude.model import Model
from addon.claude.turns import has_thinking
from addon.context.selection import (
    FIRST_PROTECTED,
    LAST_PROTECTED,
    Span,
    safe_cuts,
    verbatim,
)
from addon.context.summary_memory import Summary
from addon.context.tokens.count import Count
from addon.core.frozen import frozen
from addon.core.types import JsonObject


class Counted(NamedTuple):
    """A request as Anthropic will read it, with the blocks that are put back into it."""

    request: JsonObject
    fingerprint: Fingerprint


def conversation_key(prefix_digests: Sequence[bytes]) -> bytes:
    """Identifies a conversation by its first messages, which are never replaced."""
    return prefix_digests[: FIRST_PROTECTED + 1][-1]


@frozen(slots=False)
class Conversation:
    """A complete request, as the client sent it."""

    request: JsonObject
    model: Model
    fingerprint: Fingerprint
    count: Count
    whole_window: bool = False
    """Its client asks for the model's own window."""
    counted: Counted | None = None
    """What `count` is of; None: `request`."""

    @property
    def prefix_digests(self) -> Sequence[bytes]:
        """`prefix_digests[k]` identifies the first k messages, and the summary of them."""
        return self.fingerprint.prefix_digests

    @property
    def messages(self) -> list[JsonObject]:
        messages: list[JsonObject] = self.request["messages"]
        return messages

    @property
    def key(self) -> bytes:
        return conversation_key(self.prefix_digests)

    @property
    def turns(self) -> int:
        """How many responses the conversation has, at least 1."""
        return max(1, [message["role"] for message in self.messages].count("assistant"))

    @property
    def growth(self) -> int:
        """Average of the tokens that a turn has added."""
        return self.count.messages // self.turns

    @cached_property
    def cuts(self) -> set[int]:
        return safe_cuts(self.messages)

    def can_take(self, summary: Summary) -> bool:
        """Whether the summary fits this conversation, which may have been taken back to an earlier point: it must not
        cover the newest messages, nor split tool calls."""
        last = len(self.messages) - LAST_PROTECTED
        return summary.end <= last and {summary.start, summary.end} <= self.cuts


@frozen(kw_only=True)
class SummarizedView:
    """A conversation with a summary in place of its older messages, or as it is."""

    request: JsonObject
    fingerprint: Fingerprint
    count: Count
    summary: Summary | None = None
    covered: int = 0
    """Index after the messages with the summary."""
    shift: int = 0
    """What to add to an index from `covered` on, for the index of the same message in the conversation."""


def apply_summary(conversation: Conversation, summary: Summary) -> SummarizedView:
    """The conversation with `summary`; not counted yet.

    The same conversation and summary produce the same bytes. On models that bind thinking to the exact prefix, thinking
    from before the summary is left out; later thinking is bound to this view.
    """
    span = Span(summary.start, summary.end)
    text = summarized(span.end - span.start, summary.text)
    made = replacement(conversation.messages, span, text, summary.pins)
    messages = conversation.messages
    if conversation.model.preserved_thinking:
        fresh = len(messages) if summary.used_at is None else summary.used_at
        messages = [*without_thinking(messages[:fresh]), *messages[fresh:]]
    digests = conversation.fingerprint.messages
    return SummarizedView(
        request={
            **conversation.request,
            "messages": [*messages[: span.start], *made, *messages[span.end :]],
        },
        fingerprint=replace(
            conversation.fingerprint,
            messages=(*digests[: span.start], *map(message_digest, made), *digests[span.end :]),
        ),
        count=conversation.count,
        summary=summary,
        covered=span.start + len(made),
        shift=span.end - span.start - len(made),
    )


LEAD_IN = "I will first recall what was done so far."
ACKNOWLEDGEMENT = "Understood. I have the summarized context and will go on from there."

_SUMMARIZED = "[Context Summary - {count} messages summarized]\n\n{text}"
_DROPPED = "[Context Trimmed - {count} messages left out to fit the context window]"
_KEPT = "[Kept word for word: {role} message]"

# A system message inside a conversation is after a user message and before one of the assistant.
_AS_BEFORE = {"system": "user"}
_AS_AFTER = {"system": "assistant"}


def summarized(count: int, text: str) -> str:
    """The heading and the summary of `count` messages."""
    return _SUMMARIZED.format(count=count, text=text)


def dropped(count: int) -> str:
    return _DROPPED.format(count=count)


def replacement(
    messages: list[JsonObject], span: Span, text: str, pins: Iterable[int]
) -> list[JsonObject]:
    """The messages in place of `span`: a user message with `text` and the pinned messages, and others if necessary for
    the roles to alternate.

    After a message of the assistant, that is the user message and an acknowledgement. In a run of tool calls, the
    previous message is the user's (a result) and the next one the assistant's, so the assistant writes a lead-in.
    """
    before = messages[span.start - 1]["role"]
    after = messages[span.end]["role"] if span.end < len(messages) else "user"
    made = [{"role": "user", "content": _content(messages, text, pins)}]
    if _AS_BEFORE.get(before, before) == "user":
        made.insert(0, {"role": "assistant", "content": LEAD_IN})
    if _AS_AFTER.get(after, after) == "user":
        made.append({"role": "assistant", "content": ACKNOWLEDGEMENT})
    return made


def _content(messages: list[JsonObject], text: str, pins: Iterable[int]) -> str | list[JsonObject]:
    kept: list[JsonObject] = []
    for at in pins:
        kept.append({"type": "text", "text": _KEPT.format(role=messages[at]["role"])})
        kept.extend(verbatim(messages[at]))
    return [{"type": "text", "text": text}, *kept] if kept else text


def without_thinking(messages: list[JsonObject]) -> list[JsonObject]:
    """The messages without thinking blocks, for models that reject them after a changed prefix."""
    return [_unthinking(message) for message in messages]


def _unthinking(message: JsonObject) -> JsonObject:
    if not has_thinking(message):
        return message
    kept = [block for block in message["content"] if not is_thinking(block)]
    return {**message, "content": kept or "(thinking)"}
