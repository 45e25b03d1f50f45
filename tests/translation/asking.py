"""The client's side of a request, for tests: short names for messages, and a judge of what is sent upstream."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from addon.claude.catalogue import Catalogue
from addon.claude.names import ModelChoice
from addon.claude.thinking import ThinkingOptions, apply_thinking
from addon.stand_in import rules
from addon.stand_in.models import table
from addon.stand_in.rules_shape import check_shape
from addon.translation.to_anthropic.request import translate_chat, translate_responses
from addon.translation.to_anthropic.tools import Toolbox, declare_tools
from addon.translation.types import RequestOptions, Translation

type JsonObject = dict[str, Any]

CATALOGUE = Catalogue.load(
    (Path(__file__).parents[2] / "addon" / "claude" / "models.toml").read_text()
)
MODELS = tuple(
    f"claude-{name}"
    for name in (
        "opus-4-8",
        "opus-4-5",
        "sonnet-4-5",
        "haiku-4-5",
        "sonnet-5",
        "opus-5",
        "opus-5-5",
        "sonnet-5-5",
        "fable-5-1",
        "haiku-5-5",
    )
)
OPUS = "claude-opus-4-8"


def U(content: Any, **fields: Any) -> JsonObject:
    return {"role": "user", "content": content, **fields}


def S(content: Any, **fields: Any) -> JsonObject:
    return {"role": "system", "content": content, **fields}


def D(content: Any) -> JsonObject:
    return {"role": "developer", "content": content}


def A(content: Any = None, *calls: JsonObject, **fields: Any) -> JsonObject:
    message = {"role": "assistant", "content": content, **fields}
    return message | {"tool_calls": list(calls)} if calls else message


def T(call_id: Any, content: Any) -> JsonObject:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def TC(call_id: Any, name: str = "f", arguments: Any = "{}") -> JsonObject:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def function(name: Any = "f", **fields: Any) -> JsonObject:
    return {"type": "function", "function": {"name": name, **fields}}


def text(words: str) -> JsonObject:
    return {"type": "text", "text": words}


def user(*blocks: Any) -> JsonObject:
    return _message("user", blocks)


def assistant(*blocks: Any) -> JsonObject:
    return _message("assistant", blocks)


def system(*blocks: Any) -> JsonObject:
    return _message("system", blocks)


def tu(call_id: str, name: str = "f", **arguments: Any) -> JsonObject:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def tr(call_id: str, content: Any = None, **fields: Any) -> JsonObject:
    block = {"type": "tool_result", "tool_use_id": call_id, **fields}
    return block if content is None else {**block, "content": content}


NO_RESULT: JsonObject = {"is_error": True, "content": "No result was returned for this call."}


def _message(role: str, blocks: tuple[Any, ...]) -> JsonObject:
    return {"role": role, "content": [text(b) if isinstance(b, str) else b for b in blocks]}


def chat(*messages: Any, model: str = OPUS, strict: bool = False, **fields: Any) -> Translation:
    """A Chat Completions request, translated; asserts that the body stays as it was."""
    return translated({"model": model, "messages": list(messages), **fields}, model, strict=strict)


def responses(given: Any, model: str = OPUS, **fields: Any) -> Translation:
    body = {"model": model, "input": given, **fields}
    before = copy.deepcopy(body)
    translation = translate_responses(body, CATALOGUE.get(model), RequestOptions())
    assert body == before, "the client's body was changed"
    return translation


def translated(body: JsonObject, model: str = OPUS, **options: bool) -> Translation:
    before = copy.deepcopy(body)
    translation = translate_chat(body, CATALOGUE.get(model), RequestOptions(**options))
    assert body == before, "the client's body was changed"
    return translation


def finished(translation: Translation) -> JsonObject:
    """The request after the thinking rules, which come next; asserts that Anthropic would accept it."""
    model = CATALOGUE.get(translation.request["model"])
    prepared = apply_thinking(
        translation.request,
        translation.thinking_request,
        model,
        ThinkingOptions(),
        max_tokens_given=translation.max_tokens_given,
        choice=ModelChoice(id=model.id),
    )
    judge(prepared.request, prepared.betas | translation.betas)
    return prepared.request


def judge(request: JsonObject, betas: frozenset[str] | set[str] = frozenset()) -> None:
    """Raises the refusal that Anthropic would answer."""
    request = json.loads(json.dumps(request, ensure_ascii=False, allow_nan=False).encode())
    check_shape(request)
    rules.check(rules.Asked(body=request, model=table()[request["model"]], betas=frozenset(betas)))


def context(*tools: JsonObject) -> Toolbox:
    return declare_tools(list(tools))
