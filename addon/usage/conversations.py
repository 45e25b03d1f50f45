"""Remembers the most recent conversations for the dashboard."""

from __future__ import annotations

from addon.core.frozen import frozen
from addon.core.lru import Lru


@frozen(kw_only=True)
class RecentConversation:
    """A conversation, and how much of the model's context it fills."""

    id: str
    model: str
    tokens: int
    """Of its newest prompt."""
    limit: int
    """Tokens above which it is summarized or trimmed."""
    last_seen: float
    """Unix seconds."""
    summarized: bool = False


class RecentConversations:
    """The conversations with the newest requests."""

    def __init__(self) -> None:
        self._by_id: Lru[str, RecentConversation] = Lru(64)

    def note(self, conversation: RecentConversation) -> None:
        self._by_id.put(conversation.id, conversation)

    def newest(self) -> list[RecentConversation]:
        return [conversation for _, conversation in self._by_id.items()][::-1]
