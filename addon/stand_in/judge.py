"""The fake's Messages endpoint without its sockets: what would Anthropic say to this request?"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from addon.stand_in.access import Access
from addon.stand_in.credential import credential_of
from addon.stand_in.messages import Accepted, Messages
from addon.stand_in.record import JsonObject, Received
from addon.stand_in.stream import Turn, message


@dataclass(slots=True)
class Judge:
    messages: Messages = field(default_factory=lambda: Messages(Access(), time.time))
    numbers: count[int] = field(default_factory=count)

    def accept(self, headers: Iterable[tuple[str, str]], body: bytes) -> Accepted:
        """Raises the `Refusal` that Anthropic would answer."""
        received = Received(
            number=next(self.numbers),
            connection=0,
            nth=1,
            peer_port=1,
            method="POST",
            target="/v1/messages",
            headers=list(headers),
            body=body,
            time=0,
            wall=0,
        )
        return self.messages.accept(received, credential_of(received))

    def answer(self, taken: Accepted, turn: Turn) -> JsonObject:
        """The Message that answers an accepted request, its thinking signed."""
        return message(self.messages.reply(taken, turn, next(self.numbers)))
