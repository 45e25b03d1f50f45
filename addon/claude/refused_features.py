"""Betas, cache lifetimes and fields that Anthropic refused by name: left out from then on, and nothing before.

What an account may use is Anthropic's to say and changes without notice: reports about `ttl` on a subscription
contradict each other (anthropics/claude-code#84253). So a request is sent as it is, and a refusal teaches.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from addon.core.lru import Lru
from addon.core.types import JsonObject

REMEMBERED = 512
"""Logins and models."""
MOST_FEATURES = 32
"""Of one login and model."""

# In "tools.0.custom.strict: Extra inputs are not permitted" the field's path stands in front.
_EXTRA = re.compile(r"(?<![\w.])(\w[\w.-]{0,300}): Extra inputs are not permitted")
# "The long context beta is not yet available for this subscription." (anthropics/claude-code#27944)
_LONG_CONTEXT = re.compile(r"long context beta", re.IGNORECASE)
_LONG_CONTEXT_BETA = "context-1m-"
_NEEDED = [[name] for name in ("model", "messages", "max_tokens", "stream", "system", "tools")]
"""Fields without which a request would ask something else."""
_JUDGED_BY_CLIENT = ("messages", "thinking")
"""Claude Code reads Anthropic's words about these and leaves out by itself what was refused (its gateway guide)."""


class Feature(NamedTuple):
    kind: Literal["beta", "ttl", "field"]
    name: str
    """Of a field: its path, `*` for any index. This is what a client is told."""


TTL = Feature("ttl", "ttl")


class RefusedFeatures:
    """What was refused to a login for a model, until the process ends."""

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
    """What a refusal names, as far as the request has it and goes without it. `passes`: the client
    is Claude Code."""
    found = [Feature("beta", beta) for beta in betas if _is_refused(beta, message)]
    for named in _EXTRA.finditer(message):
        path = _located(request, named[1].split("."))
        if path[-2:] == ["cache_control", "ttl"]:
            found.append(TTL)
        elif path and not (passes and path[0] in _JUDGED_BY_CLIENT) and path not in _NEEDED:
            found.append(Feature("field", ".".join(path)))
    return tuple(dict.fromkeys(found))


def _is_refused(beta: str, message: str) -> bool:
    if beta.startswith(_LONG_CONTEXT_BETA) and _LONG_CONTEXT.search(message):
        return True
    return (
        "beta" in message
        and re.search(rf"(?<![\w-]){re.escape(beta)}(?![\w-])", message) is not None
    )


def _located(value: Any, tokens: Sequence[str]) -> list[str]:
    """The path of a field that a refusal names, with `*` for indices; [] if there is none. Anthropic puts the names of
    a union's members between (`tools.0.custom.strict`, `cache_control.ephemeral.ttl`)."""
    path: list[str] = []
    for at, token in enumerate(tokens):
        is_last = at + 1 == len(tokens)
        if isinstance(value, list):
            if not token.isdecimal() or int(token) >= len(value):
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
    """`request` without the fields and lifetimes among `features`; what doesn't change is shared."""
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
"""The fields in which something may carry a cache mark."""


def without_ttl(value: Any) -> Any:
    """`value` without `ttl` in any `cache_control`; what holds none is shared, not copied."""
    return _without_ttl(value) if _holds_ttl(value) else value


def _holds_ttl(value: JsonObject) -> bool:
    """Most requests hold none, and looking is much cheaper than walking through with a copy in hand."""
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
