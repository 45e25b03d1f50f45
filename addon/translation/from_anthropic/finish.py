"""Why an answer ended: Anthropic's `stop_reason` in OpenAI's words."""

from __future__ import annotations

from addon.core.types import JsonObject

# stop_reason -> chat `finish_reason`; one that is missing here (new, null, pause_turn) is an ordinary end
FINISH_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}

# stop_reason -> Responses `incomplete_details.reason`; one that is missing here completes the response
INCOMPLETE_REASONS = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}

DEFAULT_REFUSAL = "The model declined to answer."


def finish_reason(stop_reason: str | None, *, called: bool, legacy: bool = False) -> str:
    """The chat `finish_reason`. `called`: the client was given a tool call; `legacy`: as `function_call`.

    Clients run tools only on exactly "tool_calls", and wait for a call for ever if there is none, so what they were
    given decides, not upstream's `tool_use`.
    """
    reason = FINISH_REASONS.get(stop_reason or "")
    if reason:
        return reason
    if called:
        return "function_call" if legacy else "tool_calls"
    return "stop"


def refusal(stop_reason: str | None, stop_details: JsonObject | None) -> str | None:
    """The text that tells the user of a refusal, or None when the answer is none."""
    if stop_reason != "refusal":
        return None
    return (stop_details or {}).get("explanation") or DEFAULT_REFUSAL
