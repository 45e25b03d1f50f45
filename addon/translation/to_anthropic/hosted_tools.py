"""Tells Claude what OpenAI's hosted tools did earlier in a conversation: their items as text and images.

Claude does not have those tools, so a tool_use would name one that nobody declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.decisions import FIELDS
from addon.translation.to_anthropic.content import Blocks, Turn, text_block
from addon.translation.to_anthropic.media import image_block

HOSTED_CALLS = frozenset({
    "apply_patch_call", "code_interpreter_call", "computer_call", "file_search_call", "local_shell_call",
    "mcp_approval_request", "mcp_call", "mcp_list_tools", "program", "shell_call", "tool_search_call",
    "web_search_call",
})  # fmt: skip
"""Items that the model wrote; some hold their result, too."""
HOSTED_OUTPUTS = frozenset({
    "apply_patch_call_output", "computer_call_output", "image_generation_call", "local_shell_call_output",
    "mcp_approval_response", "program_output", "shell_call_output", "tool_search_output",
})  # fmt: skip
"""Items that are told in the user's turn: outputs, and images, which no assistant turn may hold."""

_UNTOLD = [name for name, decision in FIELDS["hosted"].items() if decision == "label"]
_GOOD = ("completed", "in_progress")
_IMAGES = ("computer_screenshot", "image", "input_image")


def hosted_turn(item: JsonObject) -> Turn:
    """`item`: one of the kinds above, sanitized."""
    kind = item["type"]
    fields = {name: value for name, value in item.items() if name != "type"}
    images: Blocks = []
    if kind == "image_generation_call":
        images += _image(f"data:image/png;base64,{fields.pop('result', None) or ''}")
    lines = [f"[{kind} of a hosted tool]", *_lines("", fields, images)]
    told = [text_block("\n".join(lines)), *images]
    return Turn("assistant" if kind in HOSTED_CALLS and not images else "user", told)


def _lines(name: str, value: Any, images: Blocks) -> Iterator[str]:
    """`value` in lines of `name: text`. Text stays as it was written, as JSON it would be full of escapes."""
    if isinstance(value, dict):
        url = value.get("image_url") or value.get("url")
        if value.get("type") in _IMAGES and isinstance(url, str):
            shown = _image(url)
            images += shown
            # Claude would otherwise miss it without knowing.
            yield from () if shown else (f"{name}: an image that can't be shown",)
            return
        for key, inner in value.items():
            if key not in _UNTOLD and not (key == "status" and inner in _GOOD):
                yield from _lines(key, inner, images)
    elif isinstance(value, list) and name == "tools":  # their schemas say nothing that happened
        names = [str(tool.get("name")) for tool in value if isinstance(tool, dict)]
        yield f"tools: {', '.join(names)}"
    elif isinstance(value, list):
        for inner in value:
            yield from _lines(name, inner, images)
    elif value is not None and value != "":
        yield f"{name}: {str(value).lower() if isinstance(value, bool) else value}"


def _image(url: str) -> Blocks:
    try:
        return [image_block({"image_url": url}, None)]
    except BadRequest:
        return []
