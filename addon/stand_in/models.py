"""What each model accepts: the judge's own table, kept by hand and apart from the catalogue that it judges.

From Anthropic's model overview, migration guides and "what's new" pages, as of November 2026.
"""

from __future__ import annotations

from typing import Literal

from addon.core.frozen import frozen
from addon.stand_in.record import JsonObject

ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")


@frozen(kw_only=True)
class FakeModel:
    id: str
    context: int = 1_000_000
    max_output: int = 128_000
    types: tuple[str, ...] = ("adaptive",)
    """Accepted `thinking.type` values."""
    thinks_by_default: bool = True
    efforts: tuple[str, ...] = ALL_EFFORTS
    sampling: Literal["refused", "default_only", "accepted"] = "refused"
    forced_tools: bool = True
    prefill: bool = False
    mid_system: bool = True
    preserved: bool = False
    """Thinking is bound to the exact conversation before it."""
    account_bound: bool = False
    keeps_thinking: bool = True
    """Thinking of earlier turns stays in the prompt."""
    interleaved: Literal["always", "beta", "never"] = "always"
    display: Literal["summarized", "omitted"] = "omitted"
    tokenizer: Literal["old", "new"] = "new"
    min_cacheable: int = 512
    fast: Literal["yes", "beta", "no"] = "no"
    """Whether it takes `speed: fast`, and whether that needs the beta flag."""

    @property
    def max_images(self) -> int:
        return 600 if self.context > 200_000 else 100


def _line(id: str, **facts: object) -> FakeModel:
    return FakeModel(id=id, **facts)  # type: ignore[arg-type]


_V46 = {
    "types": ("adaptive", "enabled", "disabled"),
    "thinks_by_default": False,
    "efforts": ("low", "medium", "high", "max"),
    "sampling": "accepted",
    "mid_system": False,
    "display": "summarized",
    "tokenizer": "old",
}
_V45 = _V46 | {
    "context": 200_000,
    "max_output": 64_000,
    "types": ("enabled", "disabled"),
    "efforts": (),
    "prefill": True,
    "interleaved": "beta",
}
_V47 = {
    "types": ("adaptive", "disabled"),
    "thinks_by_default": False,
    "sampling": "default_only",
}
_OPUS_45 = _V45 | {"efforts": ("low", "medium", "high"), "min_cacheable": 4096}
_SONNET_45 = _V45 | {"keeps_thinking": False, "min_cacheable": 1024}
_HAIKU_45 = _V45 | {"keeps_thinking": False, "min_cacheable": 4096, "interleaved": "never"}
_SWITCHABLE = {"types": ("adaptive", "disabled")}
# Since 5.1 a forced tool and a changed conversation are refused.
_V51 = {"forced_tools": False, "preserved": True}

TABLE = (
    _line("claude-fable-5-2", fast="yes", **_V51),
    _line("claude-mythos-5-2", fast="yes", **_V51),
    _line("claude-fable-5-1", **_V51),
    _line("claude-mythos-5-1", **_V51),
    _line("claude-fable-5"),
    _line("claude-mythos-5"),
    _line("claude-opus-5-5", fast="yes", **_V51),
    _line("claude-opus-5", fast="beta", **_SWITCHABLE),
    _line("claude-sonnet-5-5", types=("adaptive", "between_tools"), account_bound=True, **_V51),
    _line("claude-haiku-5-5", account_bound=True, preserved=True, **_SWITCHABLE),
    _line("claude-sonnet-5", mid_system=False, min_cacheable=1024, **_SWITCHABLE),
    _line("claude-opus-4-8", fast="beta", min_cacheable=1024, **_V47),
    _line("claude-opus-4-7", mid_system=False, min_cacheable=2048, **_V47),
    _line("claude-opus-4-6", min_cacheable=4096, **_V46),
    _line("claude-sonnet-4-6", min_cacheable=1024, **_V46),
    _line("claude-opus-4-5", **_OPUS_45),
    _line("claude-opus-4-5-20251101", **_OPUS_45),
    _line("claude-sonnet-4-5", **_SONNET_45),
    _line("claude-sonnet-4-5-20250929", **_SONNET_45),
    _line("claude-haiku-4-5", **_HAIKU_45),
    _line("claude-haiku-4-5-20251001", **_HAIKU_45),
)


def table() -> dict[str, FakeModel]:
    return {model.id: model for model in TABLE}


def thinks(model: FakeModel, body: JsonObject) -> bool:
    """Whether the model thinks in answer to this (accepted) request."""
    asked = body.get("thinking")
    if asked is None:
        return model.thinks_by_default
    return bool(asked["type"] in ("adaptive", "enabled"))


def model_info(model: FakeModel) -> JsonObject:
    """One row of `GET /v1/models`."""
    efforts: JsonObject = {level: _supported(level in model.efforts) for level in ALL_EFFORTS}
    kinds = ("adaptive", "between_tools", "disabled", "enabled")
    yes = _supported(True)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "deprecated_at": None,
        "retires_at": None,
        "lifecycle": "active",
        "line": model.id.split("-")[1],
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": {
            "batch": yes,
            "citations": yes,
            "code_execution": yes,
            "context_management": yes | {"compact_20260112": yes},
            "effort": efforts | _supported(bool(model.efforts)),
            "image_input": yes,
            "pdf_input": yes,
            "server_tools": yes | {"code_execution": yes, "web_search": yes},
            "structured_outputs": yes,
            "thinking": yes | {"types": {kind: _supported(kind in model.types) for kind in kinds}},
        },
    }


def _supported(supported: bool) -> JsonObject:
    return {"supported": supported}
