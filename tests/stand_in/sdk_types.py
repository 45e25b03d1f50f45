"""The request types of the installed anthropic SDK, beta ones included, as examples: what Anthropic's API takes."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Sequence
from functools import cache
from typing import IO, Any, Literal, Required, TypeAliasType, Union

import typing_extensions
from anthropic.types import message_create_params as stable
from anthropic.types.beta import message_create_params as beta
from hypothesis import strategies as st
from pydantic import BaseModel

from addon.stand_in.record import JsonObject

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


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(0, 10**6),
    float: st.floats(0, 1),
    bool: st.booleans(),
    type(None): st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type."""
    return st.one_of([_values(choice) for choice in choices(kind) if _is_json(choice)])


@cache
def _values(kind: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing_extensions.get_origin(kind), typing_extensions.get_args(kind)
    if is_object(kind):
        return st.deferred(lambda: _objects(kind))
    if origin is Literal:
        return st.sampled_from(arguments)
    if kind in PLAIN:
        return PLAIN[kind]
    if origin is dict or kind in (object, Any, dict) or not arguments:
        return st.dictionaries(TEXT, JSON, max_size=2)
    return st.lists(values(arguments[0]), max_size=2)


@cache
def _objects(kind: Any) -> st.SearchStrategy[JsonObject]:
    every = fields(kind)
    needed = {
        n: values(of) for n, of in every.items() if typing_extensions.get_origin(of) is Required
    }
    return st.fixed_dictionaries(
        needed, optional={n: values(of) for n, of in every.items() if n not in needed}
    )


def _is_json(kind: Any) -> bool:
    """Not one of the SDK's classes for what comes back, nor a file."""
    return not (isinstance(kind, type) and issubclass(kind, BaseModel | os.PathLike | IO))


def requests(models: Sequence[str]) -> st.SearchStrategy[JsonObject]:
    """Bodies of requests to /v1/messages that do not say whether they want a stream."""
    return st.one_of([_requests(kind, models) for kind in REQUESTS])


def _requests(kind: Any, models: Sequence[str]) -> st.SearchStrategy[JsonObject]:
    every = {n: of for n, of in fields(kind).items() if n not in ("betas", "stream")}
    (message,) = typing_extensions.get_args(bare(every.pop("messages")))
    needed = {
        "model": st.sampled_from(models),
        "max_tokens": st.integers(1, 4096),
        "messages": st.lists(values(message), min_size=1, max_size=3),
    }
    optional = {name: values(of) for name, of in every.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=optional)


def any_bodies(models: Sequence[str]) -> st.SearchStrategy[JsonObject]:
    """Bodies whose fields hold anything."""
    named = sorted({name for kind in REQUESTS for name in fields(kind)} - {"model", "stream"})
    odd = st.sampled_from([*named, "content", "role", "type"])
    nested = st.recursive(JSON, lambda inner: st.dictionaries(odd, inner, max_size=3), max_leaves=6)
    return st.builds(
        lambda rest, model, messages: rest | {"model": model, "messages": messages},
        st.dictionaries(st.sampled_from(named), nested | st.lists(nested, max_size=2), max_size=4),
        st.sampled_from(models),
        nested | st.lists(nested, max_size=3),
    )
