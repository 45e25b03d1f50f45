"""Converts token counts, service tiers and stop reasons between Anthropic's forms and OpenAI's."""

from __future__ import annotations

from addon.claude.pricing import count
from addon.core.types import JsonObject

# `usage.service_tier` -> OpenAI's `service_tier`
SERVICE_TIERS = {"standard": "default", "priority": "priority", "batch": "flex"}
# stop_reason -> chat `finish_reason`; any other (new, null, pause_turn) is an ordinary end
FINISH_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
# stop_reason -> Responses `incomplete_details.reason`; any other completes the response
INCOMPLETE_REASONS = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}
DEFAULT_REFUSAL = "The model declined to answer."


def chat_usage(usage: JsonObject) -> JsonObject:
    """A chat completion's `usage`. Anthropic's `input_tokens` excludes cached tokens; OpenAI's counts all."""
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    prompt = (usage.get("input_tokens") or 0) + cached + written
    completion = usage.get("output_tokens") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": _thinking_tokens(usage)},
    }


def responses_usage(usage: JsonObject) -> JsonObject:
    """A response object's `usage`: the same counts under other names."""
    chat = chat_usage(usage)
    return {
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": chat["prompt_tokens_details"],
        "output_tokens": chat["completion_tokens"],
        "output_tokens_details": chat["completion_tokens_details"],
        "total_tokens": chat["total_tokens"],
    }


def anthropic_usage(usage: JsonObject) -> JsonObject:
    """The `usage` of either OpenAI API in Anthropic's form."""
    prompt = count(usage, "prompt_tokens") or count(usage, "input_tokens")
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached, written = count(details, "cached_tokens"), count(details, "cache_write_tokens")
    output = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    return {
        "input_tokens": max(0, prompt - cached - written),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": count(usage, "completion_tokens") or count(usage, "output_tokens"),
        "output_tokens_details": {"thinking_tokens": count(output, "reasoning_tokens")},
    }


def turn_usage(before: JsonObject, usage: JsonObject) -> JsonObject:
    """The `usage` that a client is told of a turn that took several requests: what Claude wrote in all of them, and
    what it read for the last, which is how full the context is."""
    written = (before.get("output_tokens") or 0) + (usage.get("output_tokens") or 0)
    thought = _thinking_tokens(before) + _thinking_tokens(usage)
    return {
        **before,
        **usage,
        "output_tokens": written,
        "output_tokens_details": {"thinking_tokens": thought},
    }


def service_tier(usage: JsonObject) -> JsonObject:
    """`{"service_tier": ...}` in OpenAI's words, or {} for a tier that OpenAI does not have."""
    tier = SERVICE_TIERS.get(usage.get("service_tier") or "")
    return {"service_tier": tier} if tier else {}


def finish_reason(stop_reason: str | None, *, called: bool, legacy: bool = False) -> str:
    """The chat `finish_reason`. `called`: the client received a tool call; `legacy`: as `function_call`.

    Clients run tools only on exactly "tool_calls", and wait forever if no call came, so what they received decides,
    not upstream's `tool_use`.
    """
    reason = FINISH_REASONS.get(stop_reason or "")
    if reason:
        return reason
    if called:
        return "function_call" if legacy else "tool_calls"
    return "stop"


def refusal(stop_reason: str | None, stop_details: JsonObject | None) -> str | None:
    """The text that tells the user of a refusal, or None if the response is not a refusal."""
    if stop_reason != "refusal":
        return None
    return (stop_details or {}).get("explanation") or DEFAULT_REFUSAL


def _thinking_tokens(usage: JsonObject) -> int:
    return (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
