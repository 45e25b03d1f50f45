"""The options of a request translation, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from addon.claude.thinking_request import ThinkingRequest
from addon.core.frozen import frozen
from addon.core.types import JsonObject


@frozen(kw_only=True)
class RequestOptions:
    """The operator's settings; the defaults are lenient and never cost more."""

    strict: bool = False
    """Reject fields that would otherwise be ignored although they affect the response."""
    fast: bool = False
    """`service_tier: fast` becomes `speed: fast` (more expensive) on models that support it."""


@dataclass(repr=False, slots=True, kw_only=True)
class Translation:
    """An Anthropic Messages request, and what is needed to respond in the client's dialect."""

    request: JsonObject
    """The body for `/v1/messages`, without thinking, which a later step adds. It shares no object with the client's."""
    reply: Reply
    thinking_request: ThinkingRequest
    ignored: list[str]
    """Client fields that were dropped, in the order of the body."""
    notes: list[str]
    """Each repair once: where it was made, and what was changed."""
    conversation: str | None
    """The client's own key for the conversation (`prompt_cache_key`)."""
    betas: set[str]
    """`anthropic-beta` values without which Anthropic rejects this body."""
    max_tokens_given: bool
    cache_ttl: str | None = None
    """`1h` if the client asked for a longer-lived prompt cache than Anthropic's default."""
    explicit_cache: bool = False
    """Nothing is to be cached but where the client has set a mark."""


@frozen(kw_only=True)
class Reply:
    """How the client wants its response; set by the request translation, used by the response translation."""

    model: str
    """The model name in the request, echoed back: Cursor and cost dashboards key on it."""
    stream: bool = False
    include_usage: bool = False
    tools: Mapping[str, ToolReply] = field(default_factory=dict)
    """By upstream tool name; calls of any other tool are returned under its own name, as function calls."""
    legacy_functions: bool = False
    """The request used `functions`: respond with `function_call`."""
    json_object: bool = False
    """The request asked for `response_format: json_object`: one code fence around the text is removed."""
    reasoning_fields: tuple[str, ...] = ("reasoning_content",)
    """Fields that carry thinking in chat responses; () shows none."""
    echo: JsonObject = field(default_factory=dict)
    """Responses only: request fields that the response object repeats (instructions, tools, ...)."""


@frozen(kw_only=True)
class ToolReply:
    """How calls of one upstream tool are returned to the client."""

    name: str
    """The client's own name for it; the upstream name may be a sanitized form."""
    custom: bool = False
    """Declared `type: custom`: the client wants the raw text of `input`, not JSON arguments."""
    wrapped: bool = False
    """The root schema was not an object, so the value is sent upstream under the key `input`."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Properties of the root whose name Anthropic rejects: the client's name, and the one that is sent upstream."""
    namespace: str | None = None
    """Responses only: the namespace the tool was declared in."""
