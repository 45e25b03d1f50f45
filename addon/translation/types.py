"""What the request translation takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from addon.claude.thinking_request import ThinkingRequest
from addon.core.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """Choices of the person who runs the proxy; the defaults are lenient and never spend more."""

    strict: bool = False
    """Refuse fields that would otherwise be ignored although they change the answer."""
    fast: bool = False
    """`service_tier: fast` becomes `speed: fast` (dearer) on models that have it."""


@dataclass(slots=True, kw_only=True)
class Translation:
    """An Anthropic Messages request, and what is needed to answer in the client's dialect."""

    request: JsonObject
    """The body for `/v1/messages`, without thinking: that step comes later. It shares nothing with the client's."""
    reply: Reply
    thinking_request: ThinkingRequest
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a client asked of the shape of its answer; made by the request translation, used by the answer's."""

    model: str
    """The name the client asked for, echoed back (Cursor and cost dashboards key on it)."""
    stream: bool = False
    include_usage: bool = False
    tools: Mapping[str, ToolReply] = field(default_factory=dict)
    """By upstream tool name; a tool that is missing here goes back under its own name, as a function."""
    legacy_functions: bool = False
    """The request used `functions`: answer with `function_call`."""
    json_object: bool = False
    """The request asked for `response_format: json_object`: one code fence around the answer is taken off."""
    reasoning_fields: tuple[str, ...] = ("reasoning_content",)
    """Fields that carry thinking in chat answers; () shows none."""
    echo: JsonObject = field(default_factory=dict)
    """Responses only: request fields that the response object repeats (instructions, tools, ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReply:
    """How a call of one upstream tool is given back to the client."""

    name: str
    """The client's own name for it (upstream's may be a sanitised one)."""
    custom: bool = False
    """Declared `type: custom`: the client wants the raw text of `input`, not JSON arguments."""
    wrapped: bool = False
    """The root schema was no object, so its value travels under the key `input`."""
    namespace: str | None = None
    """Responses only: the namespace the tool was declared in."""
