"""Removes betas, cache lifetimes and fields that Anthropic has rejected by name.

What an account may use changes without notice, and reports about `ttl` on a subscription contradict each other
(anthropics/claude-code#84253). So a request is sent as it is; what is rejected is left out of later requests.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from addon.core.lru import Lru
from addon.core.types import JsonObject

REMEMBERED = 512
"""How many pairs of login and model."""
MOST_FEATURES = 32
"""How many features for each login and model."""

# The message begins with the path of the field: "tools.0.custom.strict: Extra inputs are not permitted"
_EXTRA = re.compile(r"(?<![\w.])(\w[\w.-]{0,300}): Extra inputs are not permitted")
_WORD = re.compile(r"[\w.-]+")
# "The long context beta is not yet available for this subscription." (anthropics/claude-code#27944)
_LONG_CONTEXT = re.compile(r"long context beta", re.IGNORECASE)
_LONG_CONTEXT_BETA = "context-1m-"
_TOO_COMPLEX = re.compile(
    r"compiled grammar is too large|too complex for compilation"
    r"|too many (strict tools|optional parameters|parameters with union types)",
    re.IGNORECASE,
)
"""Anthropic compiles all strict tools to one grammar, whose limits are only partly documented
(anthropics/anthropic-sdk-typescript#885, anthropics/anthropic-sdk-python#1185)."""
_NEEDED = [[name] for name in ("model", "messages", "max_tokens", "stream", "system", "tools")]
"""Fields that are never removed, as the request would then have another meaning."""
_JUDGED_BY_CLIENT = ("messages", "thinking")
"""Claude Code reads Anthropic's errors about these and removes the rejected part itself (its gateway guide)."""


class Feature(NamedTuple):
    kind: Literal["beta", "ttl", "field"]
    name: str
    """The path of a field, with `*` for any index. Clients are shown this."""


TTL = Feature("ttl", "ttl")
STRICT_TOOLS = Feature("field", "tools.*.strict")


class RefusedFeatures:
    """The features that were rejected for a login and a model, since the start of the process."""

    def __init__(self) -> None:
        self._known: Lru[tuple[str, str], tuple[Feature, ...]] = Lru(REMEMBERED)

    def note(self, login: str, model: str, features: Iterable[Feature]) -> None:
        known = dict.fromkeys((*self.of(login, model), *features))
        self._known.put((login, model), tuple(known)[-MOST_FEATURES:])

    def of(self, login: str, model: str) -> tuple[Feature, ...]:
        return self._known.get((login, model)) or ()


def refused_features(
    message: str, request: JsonObject, betas: Collection[str], *, passes: bool = False
) -> tuple[Feature, ...]:
    """The features that an error names, if the request has them and they can be left out. `passes`: the client is
    Claude Code."""
    words = {word.strip(".") for word in _WORD.findall(message)}
    found = [Feature("beta", beta) for beta in betas if _is_refused(beta, message, words)]
    for named in _EXTRA.finditer(message):
        path = _located(request, named[1].split("."))
        if path[-2:] == ["cache_control", "ttl"]:
            found.append(TTL)
        elif path and not (passes and path[0] in _JUDGED_BY_CLIENT) and path not in _NEEDED:
            found.append(Feature("field", ".".join(path)))
    if _TOO_COMPLEX.search(message) and not passes and without(request, [STRICT_TOOLS]) != request:
        found.append(STRICT_TOOLS)
    return tuple(dict.fromkeys(found))


def _is_refused(beta: str, message: str, words: Collection[str]) -> bool:
    if beta.startswith(_LONG_CONTEXT_BETA) and _LONG_CONTEXT.search(message):
        return True
    return beta in words and "beta" in message


def _located(value: Any, tokens: Sequence[str]) -> list[str]:
    """The path of a field that an error names, with `*` for indices; [] if the request doesn't have it. Anthropic adds
    the names of a union's members (`tools.0.custom.strict`, `cache_control.ephemeral.ttl`)."""
    path: list[str] = []
    for at, token in enumerate(tokens):
        is_last = at + 1 == len(tokens)
        if isinstance(value, list):
            if not token.isdecimal() or len(token) > 9 or int(token) >= len(value):
                return []
            value = value[int(token)]
            path.append("*")
        elif isinstance(value, dict) and (is_last or isinstance(value.get(token), dict | list)):
            if token not in value:
                return []
            value = value[token]
            path.append(token)
    return path if path and path[-1] == tokens[-1] else []


def without(request: JsonObject, features: Iterable[Feature]) -> JsonObject:
    """`request` without the fields and lifetimes among `features`; unchanged parts are shared, not copied."""
    for feature in features:
        if feature == TTL:
            request = without_ttl(request)
        elif feature.kind == "field":
            request = _without(request, feature.name.split("."))
    return request


def _without(value: Any, path: Sequence[str]) -> Any:
    name, *rest = path
    if isinstance(value, list) and name == "*":
        items = [_without(item, rest) for item in value] if rest else value
        return _if_changed(items, value)
    if not isinstance(value, dict) or name not in value:
        return value
    if not rest:
        return {key: item for key, item in value.items() if key != name}
    inner = _without(value[name], rest)
    return value if inner is value[name] else {**value, name: inner}


def _if_changed(items: list[Any], before: list[Any]) -> list[Any]:
    return items if any(new is not old for new, old in zip(items, before, strict=True)) else before


_HOLDERS = ("system", "tools", "messages", "content")
"""The fields whose items may have cache marks."""


def without_ttl(value: Any) -> Any:
    """`value` without `ttl` in any `cache_control`; parts without it are shared, not copied."""
    return _without_ttl(value) if _holds_ttl(value) else value


def _holds_ttl(value: JsonObject) -> bool:
    """Most requests have none, and searching is much cheaper than copying."""
    mark = value.get("cache_control")
    if mark is not None and isinstance(mark, dict) and "ttl" in mark:
        return True
    for name in _HOLDERS if "messages" in value else ("content",):
        items = value.get(name)
        if isinstance(items, list):
            for item in items:
                if isinstance(item, dict) and _holds_ttl(item):
                    return True
    return False


def _without_ttl(value: Any) -> Any:
    if isinstance(value, list):
        return _if_changed([_without_ttl(item) for item in value], value)
    if not isinstance(value, dict):
        return value
    mark = value.get("cache_control")
    changed = {
        key: _without_ttl(value[key]) for key in _HOLDERS if isinstance(value.get(key), list)
    }
    if isinstance(mark, dict) and "ttl" in mark:
        changed["cache_control"] = {key: item for key, item in mark.items() if key != "ttl"}
    if any(changed[key] is not value[key] for key in changed):
        return {**value, **changed}
    return value
