"""Forced tool use where a model or its thinking refuses it."""

from __future__ import annotations

from addon.core.types import JsonObject

NUDGE_ANY = "You must call one of the tools."
NUDGE_NAMED = "You must call the tool `{name}`."


def relax_tool_choice(request: JsonObject) -> JsonObject:
    """`request` with a forced tool_choice (`any`, `tool`) made `auto`, and the demand put in words at the end of the
    last user turn; itself when nothing is forced."""
    choice = request.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") not in ("any", "tool"):
        return request
    kept = {k: v for k, v in choice.items() if k == "disable_parallel_tool_use"}
    name = choice.get("name")
    nudge = NUDGE_NAMED.format(name=name) if choice["type"] == "tool" and name else NUDGE_ANY
    return {
        **request,
        "tool_choice": {"type": "auto", **kept},
        "messages": _with_nudge(request.get("messages") or [], nudge),
    }


def _with_nudge(messages: list[JsonObject], text: str) -> list[JsonObject]:
    block = {"type": "text", "text": text}
    for index in range(len(messages) - 1, -1, -1):
        if messages[index].get("role") == "user":
            content = messages[index].get("content") or []
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            nudged = {**messages[index], "content": [*blocks, block]}
            return [*messages[:index], nudged, *messages[index + 1 :]]
    return [*messages, {"role": "user", "content": [block]}]
