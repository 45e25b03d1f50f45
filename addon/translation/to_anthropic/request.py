"""Translates a request to either of OpenAI's APIs into an Anthropic Messages request.

Fields of both APIs and of Anthropic's are accepted in any mixture: Cursor sends Responses bodies to the Chat
Completions endpoint, and Anthropic tools and blocks in either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from addon.claude.model import Model
from addon.claude.thinking_request import ThinkingRequest
from addon.core.errors import BadRequest
from addon.core.frozen import frozen
from addon.core.types import JsonObject
from addon.translation.to_anthropic import parameters
from addon.translation.to_anthropic.cache_marks import limit_cache_marks, native_mark
from addon.translation.to_anthropic.content import (
    TEXT_PARTS,
    Blocks,
    Turn,
    content_blocks,
    text_block,
)
from addon.translation.to_anthropic.conversion_cache import ConversionCache
from addon.translation.to_anthropic.fields import Fields, expect_object, located, sanitized
from addon.translation.to_anthropic.messages import (
    AssembledMessages,
    assemble,
    convert_turns,
    message_turn,
)
from addon.translation.to_anthropic.parameters import ignored_fields, told
from addon.translation.to_anthropic.repair import normalize, repair
from addon.translation.to_anthropic.responses_input import (
    additional_tools,
    configured,
    echo,
    item_turn,
    reject_stored_state,
)
from addon.translation.to_anthropic.structured_outputs import OutputFormat, output_format
from addon.translation.to_anthropic.tool_fields import (
    ToolChoice,
    read_tool_choice,
    read_tools,
    tool_fields,
)
from addon.translation.to_anthropic.tools import Toolbox
from addon.translation.types import Reply, RequestOptions, Translation

__all__ = [
    "RequestOptions",
    "ThinkingRequest",
    "Translation",
    "repair",
    "translate_chat",
    "translate_responses",
]

FILES_BETA = "files-api-2025-04-14"
CONTEXT_MANAGEMENT_BETA = "context-management-2025-06-27"
MCP_BETA = "mcp-client-2025-11-20"
TOOL_BETAS: dict[Any, str] = {
    "mcp_toolset": MCP_BETA,
    "advisor_20260301": "advisor-tool-2026-03-01",
    "code_execution_20250522": "code-execution-2025-05-22",
    "computer_20251124": "computer-use-2025-11-24",
    "computer_20250124": "computer-use-2025-01-24",
    **dict.fromkeys(
        ("computer_20241022", "bash_20241022", "text_editor_20241022"), "computer-use-2024-10-22"
    ),
}
"""https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-reference, and the SDK's `AnthropicBetaParam` for
older ones."""

_LISTS = ("messages", "input", "tools", "functions")
"""Long fields, sanitized item by item when they are converted."""


@frozen
class _Source:
    """Where the body holds the conversation, and how its items are converted."""

    field: str
    items: list[Any]
    convert: Callable[[Any, Toolbox], Turn]


def translate_chat(
    body: JsonObject, model: Model, options: RequestOptions, cache: ConversionCache | None = None
) -> Translation:
    """Translates a Chat Completions body, or a Responses body at the same endpoint. `body` is decoded JSON and is not
    modified. Messages that `cache` has from earlier requests are shared with those: a caller must not modify an object
    in the result.

    Raises BadRequest, with `param` naming the field, for what can't be translated."""
    with _with_param_in_message():
        if not expect_object(body).get("messages"):
            body = configured(body)
        return _translate(body, _chat_source(body), model, options, cache)


def translate_responses(
    body: JsonObject, model: Model, options: RequestOptions, cache: ConversionCache | None = None
) -> Translation:
    """Translates a Responses body; otherwise as `translate_chat`."""
    with _with_param_in_message():
        reject_stored_state(Fields(expect_object(body)))
        body = configured(body)
        translation = _translate(body, _input_source(body.get("input")), model, options, cache)
        translation.reply = replace(translation.reply, echo=echo(body))
        return translation


@contextmanager
def _with_param_in_message() -> Iterator[None]:
    """Many clients show only the message of an error, not its `param`."""
    try:
        yield
    except BadRequest as error:
        named = not error.param or error.message.startswith(error.param)
        message = error.message if named else f"{error.param}: {error.message}"
        raise BadRequest(message, param=error.param, code=error.code) from None


def _chat_source(body: JsonObject) -> _Source:
    """Cursor sends `messages: []` with `input`; if both have content, `messages` is used."""
    messages = body.get("messages")
    if not messages and body.get("input") is not None:
        return _input_source(body["input"])
    if not isinstance(messages, list) or not messages:
        raise BadRequest("expected a list with at least one message", param="messages")
    return _Source("messages", messages, message_turn)


def _input_source(given: Any) -> _Source:
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise BadRequest("expected a string or a list with at least one item", param="input")
    return _Source("input", given, item_turn)


@frozen
class _ParsedBody:
    """A body that was read and validated, except its conversation."""

    fields: Fields
    source: _Source
    model: Model
    options: RequestOptions
    toolbox: Toolbox
    choice: ToolChoice | None
    legacy: bool
    form: OutputFormat
    thinking_request: ThinkingRequest


def _translate(
    body: JsonObject,
    source: _Source,
    model: Model,
    options: RequestOptions,
    cache: ConversionCache | None,
) -> Translation:
    cache = ConversionCache() if cache is None else cache
    parsed = _read(body, source, model, options, cache)
    fields = parsed.fields
    turns = convert_turns(source.items, source.convert, parsed.toolbox, source.field, cache)
    conversation = assemble(turns, source.field)
    request, max_tokens_given = _request(parsed, conversation)
    notes = [*parsed.toolbox.notes, *conversation.notes, *normalize(request, model)]
    limit_cache_marks(request)
    ignored = (
        *ignored_fields(fields, source.field, request),
        *parsed.form.ignored,
        *parsed.toolbox.ignored,
        *conversation.ignored,
    )
    return Translation(
        request=request,
        reply=_reply(parsed),
        thinking_request=parsed.thinking_request,
        ignored=told(ignored, options, conversation.left_out),
        notes=list(dict.fromkeys(notes)),
        conversation=fields.text("prompt_cache_key"),
        betas=_betas(request),
        max_tokens_given=max_tokens_given,
        cache_ttl=parameters.cache_ttl(fields),
        explicit_cache=fields.nested("prompt_cache_options").get("mode") == "explicit",
    )


def _read(
    body: JsonObject, source: _Source, model: Model, options: RequestOptions, cache: ConversionCache
) -> _ParsedBody:
    fields = Fields({name: _clean(name, value) for name, value in body.items()})
    parameters.reject_unsupported(fields)
    legacy = "functions" in fields and not fields.items("tools")
    added = additional_tools(source.items) if source.field == "input" else []
    try:
        toolbox = read_tools(fields, added, cache, legacy=legacy)
    except BadRequest:
        if not added:
            raise
        added = additional_tools(source.items, readable=True)
        toolbox = read_tools(fields, added, cache, legacy=legacy)
    return _ParsedBody(
        fields=fields,
        source=source,
        model=model,
        options=options,
        toolbox=toolbox,
        choice=read_tool_choice(fields, toolbox, legacy=legacy),
        legacy=legacy,
        form=output_format(fields, model),
        thinking_request=parameters.read_thinking_request(fields),
    )


def _request(parsed: _ParsedBody, conversation: AssembledMessages) -> tuple[JsonObject, bool]:
    """The Anthropic request before its messages are normalized, and whether the client set an output limit."""
    max_tokens, given = parameters.max_tokens(parsed.fields, parsed.model)
    system = _system(parsed, conversation.system)
    request = {
        "model": parsed.model.id,
        "max_tokens": max_tokens,
        **({"system": system} if system else {}),
        **tool_fields(parsed.toolbox, parsed.choice, conversation.messages),
        "messages": conversation.messages,
        **_options(parsed),
    }
    return request, given


def _clean(name: str, value: Any) -> Any:
    if name in _LISTS:
        return value
    with located(name):
        return sanitized(value)


def _system(parsed: _ParsedBody, leading: Blocks) -> Blocks:
    """`instructions`, a top-level `system`, leading system messages, and last the instruction for the output format."""
    instruction = parsed.form.instruction
    return [
        *content_blocks(parsed.fields.text("instructions"), TEXT_PARTS, parsed.toolbox),
        *content_blocks(parsed.fields.get("system"), TEXT_PARTS, parsed.toolbox, "system"),
        *leading,
        *([text_block(instruction)] if instruction else []),
    ]


def _options(parsed: _ParsedBody) -> JsonObject:
    """The remaining fields of the request, without those that have no value."""
    fields, form = parsed.fields, parsed.form.format
    user = parameters.user_id(fields)
    management = fields.get("context_management")
    found = {
        "stop_sequences": parameters.stop_sequences(fields) or None,
        "stream": fields.flag("stream"),
        "metadata": {"user_id": user} if user else None,
        "output_config": {"format": form} if form else None,
        "cache_control": native_mark(fields.get("cache_control")),
        # In the Responses API this name holds a list of another kind.
        "context_management": management if isinstance(management, dict) else None,
        "inference_geo": fields.get("inference_geo"),
        "mcp_servers": fields.get("mcp_servers"),
        **parameters.sampling(fields, parsed.model),
        **parameters.service(fields, parsed.model, parsed.options),
    }
    return {name: value for name, value in found.items() if value is not None}


def _reply(parsed: _ParsedBody) -> Reply:
    fields = parsed.fields
    name = fields.text("model")
    if name is not None and not name.strip():
        raise fields.error("model", "expected the name of a model")
    reply = Reply(
        # A client that has the model in the path may leave it out of the body.
        model=name or parsed.model.id,
        stream=fields.flag("stream") or False,
        include_usage=fields.nested("stream_options").flag("include_usage") or False,
        tools=parsed.toolbox.replies,
        legacy_functions=parsed.legacy,
        json_object=parsed.form.loose,
    )
    return (
        replace(reply, reasoning_fields=())
        if parsed.thinking_request.display == "omitted"
        else reply
    )


def _betas(request: JsonObject) -> set[str]:
    tools = {tool.get("type") for tool in request.get("tools") or ()}
    needed = {
        CONTEXT_MANAGEMENT_BETA: "context_management" in request,
        MCP_BETA: "mcp_servers" in request,
    }
    return {
        *_betas_within(request["messages"]),
        *(beta for beta, is_needed in needed.items() if is_needed),
        *(TOOL_BETAS[kind] for kind in tools & TOOL_BETAS.keys()),
    }


def _betas_within(items: list[Any]) -> Iterator[str]:
    """Those that blocks need."""
    for item in items:
        if not isinstance(item, dict):
            continue
        source, content = item.get("source"), item.get("content")
        if isinstance(source, dict) and source.get("type") == "file":
            yield FILES_BETA
        if item.get("type") in ("mcp_tool_use", "mcp_tool_result"):
            yield MCP_BETA
        if isinstance(content, list):
            yield from _betas_within(content)
