"""Which fields of a client have no counterpart at Anthropic, and which of those change the answer."""

from __future__ import annotations

import re
from typing import Any

from addon.core.types import JsonObject
from addon.translation.to_anthropic.fields import Fields
from addon.translation.types import RequestOptions

_READ = frozenset(
    {
        "background",
        "function_call",
        "functions",
        "instructions",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "modalities",
        "model",
        "n",
        "output_config",
        "parallel_tool_calls",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "stop",
        "stop_sequences",
        "stream",
        "stream_options",
        "system",
        "text",
        "thinking",
        "tool_choice",
        "tools",
        "user",
    }
)
_SENT_AS = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "service_tier": ("service_tier", "speed"),
    "speed": ("speed",),
    "cache_control": ("cache_control",),
    "context_management": ("context_management",),
}
"""Fields that are sent only to some models, or in some forms: ignored unless one of these is in the request."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "messages": ([],),
    "presence_penalty": (0,),
    "service_tier": ("auto", "priority", "scale"),
    "speed": ("standard",),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
}
"""Values that say no more than leaving the field out."""
_HARMLESS = frozenset(
    {
        "audio",
        "betas",
        "include",
        "metadata",
        "moderation",
        "prompt_cache_key",
        "store",
        "truncation",
    }
)
"""Ignored even in strict mode: they do not change the answer."""
MAX_NAMED = 50
_PLAIN = re.compile(r"[^a-zA-Z0-9_.-]")
"""Field names are the client's: a line break in one must not become a header of ours."""


def ignored_fields(
    fields: Fields, conversation: str, request: JsonObject, options: RequestOptions
) -> list[str]:
    """Names in the order of the body, fit for a header: at most `MAX_NAMED`, of plain characters.

    `conversation`: the field that was read as one; `request`: what is sent. In strict mode, raises BadRequest for the
    first that changes the answer."""
    ignored = [
        name
        for name in fields
        if name not in _READ
        and name != conversation
        and not any(sent in request for sent in _SENT_AS.get(name, ()))
        and fields.get(name) not in _NEUTRAL.get(name, ())
        and not (name == "web_search_options" and options.web_search)
    ]
    for name in ignored if options.strict else ():
        if name not in _HARMLESS:
            raise fields.error(name, "has no counterpart at Anthropic", "unsupported_parameter")
    return [_PLAIN.sub("_", name)[:64] for name in ignored[:MAX_NAMED]]
