"""The conversations that are going on, and how much of the model's context each fills."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentConversation:
    """A conversation that is going on, and how much of the model's context it fills."""

    id: str
    model: str
    tokens: int
    """Of its newest prompt."""
    limit: int
    """Tokens at which it is summarized or trimmed."""
    last_seen: float
    """Unix seconds."""
    summarized: bool = False


MOST_CONVERSATIONS = 64


@dataclass(slots=True)
class RecentConversations:
    """The newest conversations."""

    by_id: OrderedDict[str, RecentConversation] = field(default_factory=OrderedDict)

    def note(self, conversation: RecentConversation) -> None:
        self.by_id.pop(conversation.id, None)
        self.by_id[conversation.id] = conversation
        if len(self.by_id) > MOST_CONVERSATIONS:
            self.by_id.popitem(last=False)

    def newest(self) -> list[RecentConversation]:
        return list(reversed(self.by_id.values()))
