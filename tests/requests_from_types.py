"""Random requests, built from the types of the openai SDK, and where in them each piece of text stands."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Literal, NamedTuple, Required, Union, get_args, get_origin

from anthropic.types.beta import message_create_params
from hypothesis import strategies as st
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from typing_extensions import is_typeddict

from addon.translation.decisions import FIELDS, place_of, section_within
from tests.sdk_names import CHAT, MESSAGES, RESPONSES, fields_of, kinds_of, plain, section_of

ROOTS = {
    CHAT: completion_create_params.CompletionCreateParamsNonStreaming,
    RESPONSES: response_create_params.ResponseCreateParamsNonStreaming,
    MESSAGES: message_create_params.MessageCreateParamsNonStreaming,
}
FIXED: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "n": 1,
    "modalities": ["text"],
    "audio": None,
    "background": False,
    "max_tokens": 500,
    "max_completion_tokens": 500,
    "max_output_tokens": 500,
    "functions": None,  # `tools` goes before
    "function_call": None,
    "tool_choice": None,
    "prompt_cache_options.prewarm": False,
}
"""Fields whose other values are rejected or depend on other fields."""
SCHEMAS = ("parameters", "schema", "input_schema")
LEFT_OUT = ("refused",)
NEEDS_MORE = ("item_reference", "compaction", "reasoning", "messages.function")
"""Kinds that stand for something which was made before, or that have no id: they have tests of their own."""


class At(NamedTuple):
    """A place in a request."""

    names: tuple[str, ...] = ()
    """Of the fields and kinds around it, from the outside: as `x-ccproxy-ignored` would name them."""
    path: str = ""
    """`messages.0.content`."""

    def within(self, step: object, *names: str) -> At:
        return At((*self.names, *names), f"{self.path}.{step}".lstrip("."))


@dataclass(slots=True)
class Leaf:
    text: str
    """Occurs nowhere else in the request."""
    at: At


@dataclass(slots=True)
class Built:
    body: dict[str, Any]
    leaves: list[Leaf] = field(default_factory=list)


@st.composite
def requests(draw: st.DrawFn, api: str) -> Built:
    built = Built({})
    builder = _Builder(draw, built.leaves)
    built.body = builder.fields(ROOTS[api], "request", At())
    return built


class _Builder:
    def __init__(self, draw: st.DrawFn, leaves: list[Leaf]) -> None:
        self.draw = draw
        self.leaves = leaves

    def fields(self, kind: Any, section: str, at: At) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, hint in fields_of(kind).items():
            decision = FIELDS.get(section, {}).get(name)
            path = name if section == "request" else f"{section}.{name}"
            wanted = get_origin(hint) is Required or path in ("messages", "input")
            if decision in LEFT_OUT or not (wanted or self.draw(st.integers(0, 3)) == 3):
                continue
            value = (
                FIXED[path]
                if path in FIXED
                else self.value(hint, section, name, at.within(name, path))
            )
            if value is not None:
                found[name] = value
        return found

    def value(self, hint: Any, section: str, name: str, at: At) -> Any:
        hint = plain(hint)
        if name in SCHEMAS:
            return self.mapping(name, at)
        if get_origin(hint) is Literal:
            return self.draw(st.sampled_from(get_args(hint)))
        if is_typeddict(hint):
            return self.object(hint, section, name, at)
        if hint in (bool, int, float):
            return self.draw(
                {bool: st.booleans(), int: st.integers(1, 9), float: st.just(0.5)}[hint]
            )
        if hint is str:
            return self.text(name, at)
        return self.composed(hint, section, name, at)

    def composed(self, hint: Any, section: str, name: str, at: At) -> Any:
        if get_origin(hint) is dict:
            return self.mapping(name, at)
        members = [plain(member) for member in get_args(hint) if plain(member) is not NoneType]
        if get_origin(hint) is Union or str(type(hint)) == "<class 'types.UnionType'>":
            usable = [member for member in members if self.is_usable(member, section, name)]
            chosen = self.draw(st.sampled_from(usable)) if usable else None
            return None if chosen is None else self.value(chosen, section, name, at)
        if not members:
            return self.text(name, at)
        count = self.draw(st.integers(1, 3))
        items = [self.value(members[0], section, name, at.within(n)) for n in range(count)]
        return [item for item in items if item is not None] or None

    def is_usable(self, member: Any, section: str, name: str) -> bool:
        place = place_of(section, name)
        if not place or not is_typeddict(member):
            return True
        decisions = {FIELDS.get(place, {}).get(kind) for kind in kinds_of(member, place)}
        # Anthropic's own blocks of its tools, and its thinking, belong together in ways of their own.
        unusable = (*LEFT_OUT, "passed") if place == "content" else LEFT_OUT
        return decisions.isdisjoint(unusable) and not any(
            kind in NEEDS_MORE for kind in kinds_of(member, place)
        )

    def object(self, kind: Any, section: str, name: str, at: At) -> Any:
        place = place_of(section, name)
        kinds = kinds_of(kind, place) if place else ()
        if not kinds:
            return self.fields(kind, section_within(section, name), at)
        chosen = self.draw(st.sampled_from(kinds))
        inner = section_of(place, chosen)
        value = self.fields(kind, inner, At((*at.names, inner), at.path))
        if inner.startswith("messages."):
            return {**value, "role": inner.partition(".")[2]}
        return {**value, "type": chosen}

    def leaf(self, at: At) -> str:
        text = f"w{len(self.leaves)}w"
        self.leaves.append(Leaf(text, at))
        return text

    def text(self, name: str, at: At) -> str:
        text = self.leaf(at)
        if name in ("image_url", "url", "file_url"):
            return f"https://example.com/{text}"
        if name == "file_data":
            return base64.b64encode(text.encode()).decode()
        return json.dumps({"a": text}) if name == "arguments" else text

    def mapping(self, name: str, at: At) -> dict[str, Any]:
        text = self.leaf(at)
        if name not in SCHEMAS:
            return {"key": text}
        return {"type": "object", "properties": {text: {"type": "string"}}, "required": [text]}
