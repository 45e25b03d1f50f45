"""The request types of the installed anthropic SDK, beta ones included, as examples: what Anthropic's API takes."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Literal, Required, TypeAliasType, Union

import typing_extensions
from anthropic.types import message_create_params as stable
from anthropic.types.beta import message_create_params as beta

REQUESTS = (stable.MessageCreateParamsNonStreaming, beta.MessageCreateParamsNonStreaming)


def fields(kind: Any) -> dict[str, Any]:
    """The fields of a TypedDict by name, each with its type; required ones are wrapped in `Required`."""
    return typing_extensions.get_type_hints(kind, include_extras=True)


def bare(kind: Any) -> Any:
    """The type without `Required` and `Annotated`."""
    while typing_extensions.get_origin(kind) in (Required, typing_extensions.Annotated):
        kind = typing_extensions.get_args(kind)[0]
    return kind.__value__ if isinstance(kind, TypeAliasType) else kind


def choices(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type."""
    kind = bare(kind)
    if typing_extensions.get_origin(kind) in (Union, types.UnionType):
        return tuple(inner for each in typing_extensions.get_args(kind) for inner in choices(each))
    return (kind,)


def is_object(kind: Any) -> bool:
    return typing_extensions.is_typeddict(kind)


def example(kind: Any) -> Any:
    """The smallest value of a type: required fields alone, the first of several choices."""
    (kind, *_) = choices(kind)
    origin, arguments = typing_extensions.get_origin(kind), typing_extensions.get_args(kind)
    if is_object(kind):
        return {
            name: example(of)
            for name, of in fields(kind).items()
            if typing_extensions.get_origin(of) is Required
        }
    if origin is Literal:
        return arguments[0]
    if kind in (str, int, float, bool):
        return {str: "x", int: 1, float: 0.5, bool: True}[kind]
    if kind is type(None):
        return None
    if origin is dict or kind in (object, Any):
        return {}
    return [example(arguments[0])] if arguments else {}


def blocks() -> Iterator[tuple[str, Any]]:
    """Each role with each TypedDict that may stand in its message's content."""
    for request in REQUESTS:
        (messages,) = typing_extensions.get_args(bare(fields(request)["messages"]))
        for message in choices(messages):
            role = example(fields(message)["role"])
            for member in content_types(fields(message)["content"]):
                yield role, member


def content_types(kind: Any) -> Iterator[Any]:
    """The TypedDicts among what a list of content may hold."""
    for choice in choices(kind):
        for argument in typing_extensions.get_args(choice):
            yield from (member for member in choices(argument) if is_object(member))


def tools() -> Iterator[Any]:
    for request in REQUESTS:
        yield from content_types(fields(request)["tools"])


def result_parts() -> list[Any]:
    """The TypedDicts that the content of a tool result may hold."""
    results = [kind for _, kind in blocks() if type_of(kind) == "tool_result"]
    return [part for kind in results for part in content_types(fields(kind)["content"])]


def request_fields() -> list[tuple[str, Any]]:
    """Each field of a request with each kind of value that it takes."""
    found: list[tuple[str, Any]] = []
    for request in REQUESTS:
        for name, kind in fields(request).items():
            if name not in ("messages", "model", "betas"):
                found += [(name, example(choice)) for choice in choices(kind)]
    return [item for index, item in enumerate(found) if item not in found[:index]]


def type_of(kind: Any) -> str:
    """The `type` that names a TypedDict."""
    return str(example(fields(kind).get("type", str)))


def names(literal: Any) -> tuple[str, ...]:
    return typing_extensions.get_args(literal)
