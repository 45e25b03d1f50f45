"""Reads the parameters of a request besides messages and tools, under OpenAI's and Anthropic's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256

from addon.claude.model import Model
from addon.claude.thinking_request import FULL_OUTPUT, ThinkingRequest, check_level
from addon.core.errors import BadRequest
from addon.core.types import JsonObject
from addon.translation.decisions import FIELDS, NEUTRAL, ignored_names, is_harmless
from addon.translation.to_anthropic.fields import Fields
from addon.translation.types import RequestOptions

_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_STANDARD_TIERS = ("default", "flex", "standard_only")
_FAST_TIERS = ("fast", "priority", "ultrafast")
"""The first two are the same at OpenAI (`ResponseCreateParams.service_tier`)."""
_SILENT_SUMMARIES = ("none", "omitted")
_HOLD_CONVERSATION = ("messages", "input")
_LONG = (*_HOLD_CONVERSATION, "tools", "functions")
"""Read elsewhere, item by item."""


def max_tokens(fields: Fields, model: Model) -> tuple[int, bool]:
    """The output limit for this model, and whether the client set one."""
    asked = [fields.positive(name) for name in _LIMITS]
    limit = next((value for value in asked if value is not None), None)
    if limit is None:
        return min(model.max_output, FULL_OUTPUT), False
    return min(limit, model.max_output), True


def sampling(fields: Fields, model: Model) -> JsonObject:
    """Models after 4.6 reject all three; older ones reject `temperature` and `top_p` together."""
    temperature, top_p = fields.number("temperature"), fields.number("top_p")
    top_k = fields.number("top_k")
    if not model.sampling:
        return {}
    if temperature is not None:
        # OpenAI's range is 0 to 2, Anthropic's 0 to 1.
        chosen: JsonObject = {"temperature": min(max(temperature, 0), 1)}
    else:
        chosen = {} if top_p is None else {"top_p": min(max(top_p, 0), 1)}
    # For other vendors, 0 and -1 mean "all tokens".
    return {**chosen, "top_k": top_k} if isinstance(top_k, int) and top_k > 0 else chosen


def stop_sequences(fields: Fields) -> list[str]:
    """Without blank ones, which Anthropic rejects."""
    name = "stop" if "stop" in fields else "stop_sequences"
    given = fields.get(name)
    stops = [given] if isinstance(given, str) else fields.items(name) or []
    for index, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise fields.error(f"{name}[{index}]", "expected a string")
    return [stop for stop in dict.fromkeys(stops) if stop.strip()]


def user_id(fields: Fields) -> str | None:
    """A digest: Anthropic asks for an opaque id, and clients send e-mail addresses."""
    given = [fields.text("safety_identifier"), fields.text("user")]
    metadata = fields.get("metadata")
    if isinstance(metadata, dict):
        given.append(metadata.get("user_id"))
    identity = next((value for value in given if isinstance(value, str) and value), None)
    return None if identity is None else sha256(identity.encode()).hexdigest()


def service(fields: Fields, model: Model, options: RequestOptions) -> JsonObject:
    """`service_tier` or `speed`; {} for the default."""
    tier = fields.get("service_tier")
    if isinstance(tier, str) and tier in _STANDARD_TIERS:
        return {"service_tier": "standard_only"}
    wants_fast = tier in _FAST_TIERS or fields.get("speed") == "fast"
    return {"speed": "fast"} if wants_fast and options.fast and model.fast else {}


def cache_ttl(fields: Fields) -> str | None:
    """`1h` if the client asks for much longer than five minutes. OpenAI's 30 minutes stay five: a write to the cache of
    an hour costs twice the input price."""
    ttl = fields.nested("prompt_cache_options").get("ttl")
    return "1h" if fields.get("prompt_cache_retention") == "24h" or ttl == "12h" else None


def read_thinking_request(fields: Fields) -> ThinkingRequest:
    """Raises BadRequest for an unknown effort."""
    reasoning = fields.nested("reasoning")
    efforts = (
        _effort(reasoning, "effort"),
        _effort(fields, "reasoning_effort"),
        _effort(fields.nested("output_config"), "effort"),
    )
    return ThinkingRequest(
        thinking=fields.mapping("thinking"),
        effort=next((effort for effort in efforts if effort is not None), None),
        budget=reasoning.positive("max_tokens"),
        display=_display(reasoning),
        enabled=reasoning.flag("enabled"),
    )


def reject_unsupported(fields: Fields) -> None:
    """Rejects what can't be ignored without giving a different response than the client asked for."""
    count = fields.get("n")
    if count is not None and (type(count) is not int or count != 1):
        raise fields.error("n", "only one choice can be returned", "unsupported_value")
    modalities = fields.items("modalities")
    if modalities is not None and any(modality != "text" for modality in modalities):
        raise fields.error("modalities", "Claude returns text only", "unsupported_value")
    if "audio" in fields and modalities is None:
        raise fields.error("audio", "Claude returns text only", "unsupported_value")
    if fields.flag("generate") is False:
        raise fields.error("generate", "Claude can't be asked without a response")
    cache = fields.nested("prompt_cache_options")
    if cache.flag("prewarm"):
        raise cache.error("prewarm", "Claude can't be asked without a response")
    if fields.flag("background"):
        raise fields.error(
            "background", "ccproxy runs nothing in the background; send the request without it"
        )


def _effort(fields: Fields, name: str) -> str | None:
    effort = fields.text(name)
    return None if effort is None else check_level(effort, fields.path(name))


def _display(reasoning: Fields) -> str | None:
    if reasoning.flag("exclude"):
        return "omitted"
    summary = reasoning.text("summary") or reasoning.text("generate_summary")
    return None if summary is None or summary in _SILENT_SUMMARIES else "summarized"


_SENT_AS = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "service_tier": ("service_tier", "speed"),
    "speed": ("speed",),
    "cache_control": ("cache_control",),
    "context_management": ("context_management",),
}
"""Fields that are sent to some models only, or in another form: ignored unless one of these is in the request."""
_ALTERNATIVES = (
    _LIMITS,
    ("stop", "stop_sequences"),
    ("tools", "functions"),
    ("tool_choice", "function_call"),
    ("safety_identifier", "user"),
)
"""Names for the same: the first that is in a body counts."""
MAX_NAMED = 50
_PLAIN = re.compile(r"[^a-zA-Z0-9_.-]")
"""Field names come from the client: a line break in one must not inject a response header."""


def ignored_fields(fields: Fields, conversation: str, request: JsonObject) -> Iterator[str]:
    """The names of ignored fields, besides those within messages and tools. `conversation`: the field that holds the
    conversation; `request`: what is sent."""
    for name in fields:
        if name in _HOLD_CONVERSATION and name != conversation and fields.get(name):
            yield name
        elif name not in _LONG:
            yield from ignored_names("request", {name: fields.get(name)})
        if FIELDS["request"].get(name) == "sometimes" and _is_dropped(fields, name, request):
            yield name
    for names in _ALTERNATIVES:
        used, *others = [name for name in names if name in fields] or [""]
        yield from (name for name in others if fields.get(name) != fields.get(used))


def told(
    ignored: Iterable[str], options: RequestOptions, left_out: Iterable[str] = ()
) -> list[str]:
    """`ignored` and `left_out`, each name once, safe for a header: at most `MAX_NAMED`, in plain characters. In strict
    mode, raises BadRequest for the first of `ignored` that affects the response."""
    names = list(dict.fromkeys(ignored))
    for name in names if options.strict else ():
        if not is_harmless(name):
            message, code = "has no counterpart at Anthropic", "unsupported_parameter"
            raise BadRequest(message, param=name, code=code)
    named = list(dict.fromkeys([*names, *left_out]))
    return [_PLAIN.sub("_", name)[:64] for name in named[:MAX_NAMED]]


def _is_dropped(fields: Fields, name: str, request: JsonObject) -> bool:
    is_sent = any(sent in request for sent in _SENT_AS[name])
    return not is_sent and fields.get(name) not in NEUTRAL.get(name, ())
