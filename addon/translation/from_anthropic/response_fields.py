"""The fields of a Responses object that tell of its request: what was asked for, where it was heeded."""

from __future__ import annotations

from typing import Any

from addon.core.types import JsonObject
from addon.translation.to_anthropic.tools import legal_name

DEFAULTS: JsonObject = {
    "background": False,
    "completed_at": None,
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": False,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""As Open Responses (`ResponseResource`, 2026-04-24) and `openai.types.responses.Response` require them."""

_REPEATED = (
    "instructions", "metadata", "previous_response_id", "prompt_cache_key", "safety_identifier", "store", "user",
)  # fmt: skip
"""Repeated as they are: whether they are heeded is not decided at Anthropic."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_SUMMARIES = ("auto", "concise", "detailed")


def response_fields(asked: JsonObject, sent: JsonObject) -> JsonObject:
    """`asked`: fields of a request that was valid; `sent`: what went to Anthropic for it."""
    choice = sent.get("tool_choice") or {}
    return {
        **DEFAULTS,
        **{name: asked[name] for name in _REPEATED if name in asked},
        "max_output_tokens": sent.get("max_tokens") if "max_output_tokens" in asked else None,
        "parallel_tool_calls": not choice.get("disable_parallel_tool_use", False),
        "reasoning": _reasoning(_object(asked.get("reasoning")), sent),
        "temperature": sent.get("temperature", 1.0),
        "text": {"format": _format(_object(_object(asked.get("text")).get("format")), sent)},
        "tool_choice": _tool_choice(asked.get("tool_choice"), choice),
        "tools": _tools(asked.get("tools") or [], sent.get("tools") or []),
        "top_p": sent.get("top_p", 1.0),
    }


def _reasoning(asked: JsonObject, sent: JsonObject) -> JsonObject:
    thinks = _object(sent.get("thinking")).get("type") in ("adaptive", "enabled")
    summary = asked.get("summary") or asked.get("generate_summary")
    return {
        "effort": _effort(asked.get("effort"), sent, thinks=thinks),
        "summary": summary if thinks and summary in _SUMMARIES else None,
    }


def _effort(asked: Any, sent: JsonObject, *, thinks: bool) -> Any:
    used = _object(sent.get("output_config")).get("effort")
    if used is None and asked == "none":
        return None if thinks else "none"
    return used if used is not None or not thinks else asked


def _format(asked: JsonObject, sent: JsonObject) -> JsonObject:
    if asked.get("type") != "json_schema":
        return {"type": "json_object" if asked.get("type") == "json_object" else "text"}
    return {
        "type": "json_schema",
        "name": asked.get("name"),
        "description": asked.get("description"),
        "schema": asked.get("schema"),
        # otherwise it was asked for in words
        "strict": "format" in _object(sent.get("output_config")),
    }


def _tool_choice(asked: Any, sent: JsonObject) -> Any:
    if isinstance(asked, str):
        return asked
    if isinstance(asked, dict) and asked.get("type") in ("function", "custom", "allowed_tools"):
        nested = asked.get(asked["type"])
        return {"type": asked["type"], **nested} if isinstance(nested, dict) else asked
    if sent.get("type") == "tool":
        return {"type": "function", "name": sent.get("name")}
    return _CHOICES.get(sent.get("type") or "", "auto")


def _tools(asked: list[Any], sent: list[JsonObject]) -> list[JsonObject]:
    """Without those that Claude was not offered: tools that OpenAI runs, and those without a name."""
    strict = {tool.get("name") for tool in sent if tool.get("strict")}
    kinds = {tool.get("type") for tool in sent}
    return [
        _function(tool, strict) if _is_function(tool) else tool
        for tool in asked
        if _is_function(tool) or tool.get("type") in ("custom", "namespace", *kinds)
    ]


def _is_function(tool: JsonObject) -> bool:
    return tool.get("type") in (None, "function") or "input_schema" in tool


def _function(tool: JsonObject, strict: set[Any]) -> JsonObject:
    function = tool["function"] if isinstance(tool.get("function"), dict) else tool
    return {
        "type": "function",
        "name": function.get("name") or "",
        "description": function.get("description"),
        "parameters": function.get("parameters") or function.get("input_schema"),
        "strict": legal_name(str(function.get("name"))) in strict,
    }


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
