"""Every name in the types of the installed SDKs: fields, kinds of messages, parts, items, tools, events and errors.

A name belongs to a section of `addon.translation.decisions`, and is walked into only where the table has a section for
what is inside it: a decision about a whole covers its parts.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeAliasType,
    get_args,
    get_origin,
)

import anthropic.types as anthropic_types
import openai.types.responses as responses_types
import pydantic
from anthropic.types import beta as beta_types
from anthropic.types import message_create_params, shared
from anthropic.types.beta import message_create_params as beta_create_params
from anthropic.types.shared.error_type import ErrorType
from openai.types import chat as chat_types
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from typing_extensions import get_type_hints, is_typeddict

from addon.translation.decisions import FIELDS, place_of, section_within

type Name = tuple[str, str]
"""A section of the table, and a name in it."""

CHAT, RESPONSES, MESSAGES = "Chat Completions", "Responses", "Messages"
APIS = (CHAT, RESPONSES, MESSAGES)


def names(api: str) -> set[Name]:
    """All names of an API, of its requests and of its responses."""
    return {*_requests(api), *_responses(api)}


def _requests(api: str) -> set[Name]:
    roots = {
        CHAT: (completion_create_params.CompletionCreateParamsStreaming,),
        RESPONSES: (response_create_params.ResponseCreateParamsStreaming,),
        MESSAGES: (
            message_create_params.MessageCreateParamsStreaming,
            beta_create_params.MessageCreateParamsStreaming,
        ),
    }[api]
    return {name for root in roots for name in _walked(root, "request", set())}


def _walked(kind: Any, section: str, seen: set[Any]) -> Iterator[Name]:
    if (kind, section) in seen:
        return
    seen.add((kind, section))
    for field, hint in fields_of(kind).items():
        yield section, field
        for member in objects_in(hint):
            yield from _within(member, section, field, seen)


def _within(member: Any, section: str, field: str, seen: set[Any]) -> Iterator[Name]:
    place = place_of(section, field)
    kinds = kinds_of(member, place) if place else ()
    for kind in kinds:
        inner = section_of(place, kind)
        if inner == "hosted":
            yield place, kind
        if inner in FIELDS:
            yield from _walked(member, inner, seen)
        else:
            yield place, kind
    if kinds:
        return
    within = section_within(section, field)
    if within in FIELDS:
        yield from _walked(member, within, seen)


def section_of(place: str, kind: str) -> str:
    """`kind`: as `kinds_of` says."""
    inner = kind if "." in kind else f"{place}.{kind}"
    is_hosted = place == "input" and FIELDS["input"].get(kind) == "translated"
    return inner if inner in FIELDS or not is_hosted else "hosted"


def kinds_of(member: Any, place: str) -> tuple[str, ...]:
    """What tells this member of a union from the others."""
    fields = fields_of(member)
    types = literals(fields["type"]) if "type" in fields else ()
    if place == "tools" and "input_schema" in fields:
        return ("function",)  # Anthropic's own tools of a client
    if place in ("messages", "input") and "role" in fields and types in ((), ("message",)):
        return tuple(f"messages.{role}" for role in literals(fields["role"]))
    return types


def fields_of(kind: Any) -> dict[str, Any]:
    if is_typeddict(kind):
        return get_type_hints(kind, include_extras=True)
    return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}


def objects_in(hint: Any) -> list[Any]:
    """The object types in a hint, within lists and unions."""
    hint = plain(hint)
    if is_typeddict(hint) or (inspect.isclass(hint) and issubclass(hint, pydantic.BaseModel)):
        return [hint]
    if get_origin(hint) is Literal:
        return []
    return [found for inner in get_args(hint) for found in objects_in(inner)]


def literals(hint: Any) -> tuple[str, ...]:
    """The values of a Literal, also of an optional one."""
    hint = plain(hint)
    if get_origin(hint) is Literal:
        return tuple(str(value) for value in get_args(hint))
    return tuple(value for inner in get_args(hint) for value in literals(inner))


def plain(hint: Any) -> Any:
    """Without the marks around a type."""
    while True:
        if isinstance(hint, TypeAliasType):
            hint = hint.__value__
        elif get_origin(hint) in (Required, NotRequired, Annotated):
            hint = get_args(hint)[0]
        else:
            return hint


# ---- responses


def _responses(api: str) -> set[Name]:
    match api:
        case "Chat Completions":
            return {
                *_fields("chat.completion", chat_types.ChatCompletion),
                *_fields("chat.choice", chat_types.chat_completion.Choice),
                *_fields("chat.message", chat_types.ChatCompletionMessage),
                *_fields("chat.chunk", chat_types.ChatCompletionChunk),
                *_fields("chat.delta", chat_types.chat_completion_chunk.ChoiceDelta),
            }
        case "Responses":
            return {
                *_fields("responses.response", responses_types.Response),
                *_kinds("responses.events", responses_types.ResponseStreamEvent),
                *_kinds("responses.output", responses_types.ResponseOutputItem),
            }
    message = (anthropic_types.Message, beta_types.BetaMessage)
    events = (anthropic_types.RawMessageStreamEvent, beta_types.BetaRawMessageStreamEvent)
    blocks = (anthropic_types.ContentBlock, beta_types.BetaContentBlock)
    deltas = (anthropic_types.RawContentBlockDelta, beta_types.BetaRawContentBlockDelta)
    reasons = (anthropic_types.StopReason, beta_types.BetaStopReason)
    return {
        *(name for kind in message for name in _fields("anthropic.message", kind)),
        *(name for kind in events for name in _kinds("anthropic.events", kind)),
        *(name for kind in blocks for name in _kinds("anthropic.blocks", kind)),
        *(name for kind in deltas for name in _kinds("anthropic.deltas", kind)),
        *(("anthropic.stop_reasons", value) for kind in reasons for value in literals(kind)),
        *_kinds("anthropic.errors", shared.ErrorObject),
        *_kinds("anthropic.errors", anthropic_types.BetaErrorObject),
        *(("anthropic.errors", value) for value in literals(ErrorType)),
    }


def _fields(section: str, kind: Any) -> Iterator[Name]:
    return ((section, name) for name in fields_of(kind))


def _kinds(section: str, union: Any) -> Iterator[Name]:
    for member in objects_in(union):
        for value in literals(fields_of(member)["type"]):
            yield section, value
