"""What the request translation takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

from addon.core.types import JsonObject, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """Choices of the person who runs the proxy; the defaults are lenient and never spend more."""

    strict: bool = False
    """Refuse fields that would otherwise be ignored although they change the answer."""
    files: bool = False
    """Anthropic file ids (`file_…`) may be used; needs the files beta."""
    web_search: bool = False
    """`web_search_options` becomes Anthropic's (billed) server tool instead of being ignored."""
    fast: bool = False
    """`service_tier: fast` becomes `speed: fast` (dearer) on models that have it."""
    hour_cache: bool = False
    """OpenAI's 30-minute cache marks last an hour (a write costs twice the input price), not five minutes."""


@dataclass(slots=True, kw_only=True)
class ThinkingWish:
    """What a body says of thinking; what the model gets of it is decided elsewhere."""

    thinking: JsonObject | None = None
    """`thinking` in Anthropic's shape, as given."""
    effort: str | None = None
    """A level: none, minimal, low, medium, high, xhigh or max."""
    budget: int | None = None
    """`reasoning.max_tokens`, at least 1."""
    display: str | None = None
    """`summarized` or `omitted`."""
    enabled: bool | None = None
    """`reasoning.enabled`."""


@dataclass(slots=True, kw_only=True)
class Translation:
    """An Anthropic Messages request, and what is needed to answer in the client's dialect."""

    request: JsonObject
    """The body for `/v1/messages`, without thinking: that step comes later. It shares nothing with the client's."""
    reply: Reply
    wish: ThinkingWish
    ignored: list[str]
    """Client fields that were dropped, in the order of the body."""
    notes: list[str]
    """Each repair once: where and what."""
    conversation: str | None
    """The client's own key of the conversation (`prompt_cache_key`)."""
    betas: set[str]
    """`anthropic-beta` values without which Anthropic refuses this body."""
    max_tokens_given: bool
    cache_ttl: str | None = None
    """`1h` when the client asked for a longer prompt cache than Anthropic's default."""
