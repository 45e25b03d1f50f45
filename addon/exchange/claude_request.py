"""What is asked of Claude, from the client's words to what fits: one object that the addons shape in turn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from addon.claude.cache_lifetime import HourMark, Lifetime
from addon.claude.model import Model
from addon.claude.names import ModelChoice
from addon.claude.subscription_request import Headers
from addon.claude.thinking_request import ThinkingRequest
from addon.context.window import Fitted
from addon.core.frozen import frozen
from addon.core.types import JsonObject
from addon.translation.types import Reply

ANTHROPIC_VERSION = "2023-06-01"
"""For translated requests: under the version of 2026-10-21 Anthropic refuses sampling parameters on every model."""

LARGE = 1 << 20
"""Bytes of a body that takes some milliseconds to read, to translate, to fit and to write."""
PAUSE = 0.002
"""Seconds: in a single turn of the event loop a small request gets no further than its own next hook, and would wait
for each of these steps."""


async def yield_if_large(size: int) -> None:
    """Between two such steps: others go first. `size`: of the client's body, in bytes."""
    if size > LARGE:
        await asyncio.sleep(PAUSE)


@frozen(kw_only=True)
class NativeRequest:
    """A request of an Anthropic client, as it came."""

    body: JsonObject = field(repr=False)
    raw: bytes = field(repr=False)
    """The same as bytes, without a content encoding."""
    passes: bool
    """It is Claude Code's: its body, its betas and its errors are between Anthropic and it."""
    opaque: bool
    """Its body has a shape that only Anthropic can judge: nothing here looks into it."""


@dataclass(eq=False, repr=False, slots=True, kw_only=True)
class ClaudeRequest:
    """What is asked of Claude, as the addons have shaped it so far."""

    asked: str
    """The model's name as the client gave it."""
    choice: ModelChoice
    """What that name says, and with it how hard to think."""
    model: Model
    request: JsonObject = field(repr=False)
    """The Anthropic request."""
    reply: Reply
    thinking_request: ThinkingRequest
    max_tokens_given: bool
    betas: set[str]
    """`anthropic-beta` values that the request needs besides those in `headers`."""
    headers: Headers = field(default_factory=list)
    """The client's own headers that go on: of an Anthropic client's all `anthropic-…` ones."""
    query: str = ""
    """With its `?`."""
    native: NativeRequest | None = None
    changed: list[str] = field(default_factory=list)
    """What of an Anthropic client's body was changed, header `x-ccproxy-changed`."""
    repaired: list[str] = field(default_factory=list)
    """What was mended after Anthropic refused it, header `x-ccproxy-repaired`."""
    conversation: str | None = None
    size: int = 0
    """Bytes of the client's body."""
    prompt_tokens: int = 0
    """The prompt's tokens as counted here, or a bound where nothing depends on the count; 0: neither."""
    limit: int = 0
    """Tokens that its conversation may have; 0: it is not brought within a limit here."""
    cache_ttl: Literal["5m", "1h"] | None = None
    """How long the client wants its prompt cached; None: it doesn't say."""
    explicit_cache: bool = False
    """As in `Translation`."""
    marked: tuple[Lifetime, HourMark] | None = None
    """How the prompt was marked for the cache, and where it ends; None: not here."""
    fitted: Fitted | None = field(default=None, repr=False)
    """How the conversation was brought within the limit."""
    thinking_change: str = ""
    """As in `Attempt`, before there is one."""
    counts_tokens: bool = False
    """It is `/v1/messages/count_tokens`: free, and answered in one piece."""

    @property
    def passes(self) -> bool:
        """It goes to Anthropic as it came."""
        return self.native is not None and self.native.passes

    @property
    def opaque(self) -> bool:
        """Nothing here may look into it."""
        return self.native is not None and (self.native.passes or self.native.opaque)

    def note_change(self, what: str) -> None:
        if self.native is not None and what not in self.changed:
            self.changed.append(what)

    @property
    def digests(self) -> dict[int, bytes]:
        """The `message_digest`s that counting has made, by the `id` of the message: hashing a long conversation is
        most of what a turn costs here, so nobody does it twice."""
        if self.fitted is None:
            return {}
        messages = self.fitted.request["messages"]
        return dict(zip(map(id, messages), self.fitted.fingerprint.messages, strict=True))
