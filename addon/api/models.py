"""The models as both APIs list them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from addon.api.endpoints import page_limit
from addon.claude.catalogue import EFFORTS, Catalogue
from addon.claude.model import Model
from addon.claude.names import parse
from addon.core.errors import BadRequest
from addon.core.types import JsonObject

CREATED = 1_700_000_000
"""`created` of a model whose release is unknown, and of all in OpenAI's form: its SDKs require a number."""
MOST_MODELS = 1000
"""The largest `limit` that Anthropic accepts."""


class Models(Protocol):
    """What is known of the models."""

    @property
    def catalogue(self) -> Catalogue: ...

    async def look_up(self, model_id: str) -> None:
        """Ask Anthropic for a model that is not known."""


def openai_list(names: list[str]) -> JsonObject:
    return {"object": "list", "data": [openai_model(name) for name in names]}


def openai_model(name: str) -> JsonObject:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "anthropic"}


def anthropic_list(
    catalogue: Catalogue, aliases: Mapping[str, str], query: Mapping[str, str]
) -> JsonObject:
    """A page of all models (https://docs.anthropic.com/en/api/models-list), by default of all there are. Raises
    BadRequest."""
    models: dict[str, Model | None] = {
        name: _target(catalogue, target) for name, target in aliases.items()
    }
    models |= {model_id: catalogue.get(model_id) for model_id in catalogue.ids}
    names = _page(list(models), query)
    return {
        "data": [anthropic_model(name, models[name]) for name in names.shown],
        "first_id": names.shown[0] if names.shown else None,
        "last_id": names.shown[-1] if names.shown else None,
        "has_more": names.more,
    }


def _target(catalogue: Catalogue, name: str) -> Model | None:
    """None for another API's model."""
    choice = parse(name)
    return catalogue.get(choice.id) if choice else None


class _Page(NamedTuple):
    shown: list[str]
    more: bool


def _page(names: list[str], query: Mapping[str, str]) -> _Page:
    limit = page_limit(query.get("limit"), MOST_MODELS, MOST_MODELS)
    start, end = 0, len(names)
    if "after_id" in query:
        start = _index(names, query, "after_id") + 1
    if "before_id" in query:
        end = _index(names, query, "before_id")
        return _Page(names[max(start, end - limit) : end], more=end - limit > start)
    return _Page(names[start : start + limit], more=start + limit < end)


def _index(names: list[str], query: Mapping[str, str], name: str) -> int:
    if query[name] not in names:
        raise BadRequest(f"{name}: no such model is listed", param=name)
    return names.index(query[name])


def anthropic_model(name: str, model: Model | None) -> JsonObject:
    """`anthropic.types.ModelInfo`, and a description, which Claude Code shows."""
    if model is None:
        return {**_UNKNOWN, "id": name, "display_name": name}
    own = display_name(model.id)
    return {
        "type": "model",
        "id": name,
        "display_name": own if parse(name) else f"{name} ({own})",
        "description": f"{_size(model.context)} context, {_size(model.max_output)} output",
        "created_at": _moment(model.released),
        "lifecycle": "deprecated" if model.retires else "active",
        "deprecated_at": None,
        "retires_at": _moment(model.retires) if model.retires else None,
        "line": model.family,
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": _capabilities(model),
    }


_UNKNOWN: JsonObject = {
    "type": "model",
    "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(CREATED)),
    "lifecycle": "active",
    **dict.fromkeys(("deprecated_at", "retires_at", "line", "max_input_tokens", "max_tokens")),
    "capabilities": None,
}


def display_name(model_id: str) -> str:
    """`claude-opus-4-8` → `Claude Opus 4.8`."""
    words: list[str] = []
    numbers: list[str] = []
    for word in model_id.split("-"):
        (numbers if word.isdecimal() else words).append(word)
    return " ".join([*(word.capitalize() for word in words), *filter(None, [".".join(numbers)])])


def _moment(day: str) -> str:
    return f"{day}T00:00:00Z" if day else str(_UNKNOWN["created_at"])


def _size(tokens: int) -> str:
    return f"{tokens / 1e6:g}M" if tokens >= 1_000_000 else f"{tokens // 1000}K"


def _capabilities(model: Model) -> JsonObject:
    """`anthropic.types.ModelCapabilities`; batches are not served here."""
    efforts: dict[str, Any] = {level: _supported(level in model.efforts) for level in EFFORTS}
    types = {
        "adaptive": model.thinking == "adaptive",
        "between_tools": model.thinking_off == "between_tools",
        "disabled": model.thinking_off in ("omit", "disabled"),
        "enabled": model.budget_tokens,
    }
    always = ("citations", "code_execution", "image_input", "pdf_input")
    edits = ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")
    return {
        "batch": _supported(False),
        **{name: _supported(True) for name in always},
        "context_management": {**_supported(True), **{name: _supported(True) for name in edits}},
        "effort": {**_supported(bool(model.efforts)), **efforts},
        "server_tools": {
            **_supported(True),
            "code_execution": _supported(True),
            "web_search": _supported(True),
        },
        "structured_outputs": _supported(model.structured_outputs),
        "thinking": {
            **_supported(True),
            "types": {name: _supported(value) for name, value in types.items()},
        },
    }


def _supported(value: bool) -> JsonObject:
    return {"supported": value}
