"""Describes a Claude model: its limits, its prices, and what it accepts."""

from __future__ import annotations

from typing import Literal

from addon.core.frozen import frozen


@frozen(kw_only=True)
class Prices:
    """USD per million tokens. Prompts of more than `step_tokens` tokens (including cached ones) cost `step`."""

    input: float
    output: float
    cache_write_5m: float
    cache_write_1h: float
    cache_read: float
    step_tokens: int | None = None
    step: Prices | None = None


@frozen(kw_only=True)
class Model:
    """One row of the catalogue (`models.toml`). Every rule that depends on the model reads one of its fields."""

    id: str
    family: str
    context: int
    max_output: int
    prices: Prices
    thinking: Literal["adaptive", "manual"]
    thinking_default: bool
    """Whether the model thinks if the request says nothing about it."""
    thinking_off: Literal["omit", "disabled", "between_tools", "never"]
    efforts: tuple[str, ...]
    """The accepted values of `output_config.effort`, ascending; () if the field is rejected."""
    default_effort: str | None
    sampling: bool
    """temperature, top_p, top_k are accepted (with `anthropic-version: 2023-06-01`, thinking off)."""
    forced_tool_choice: bool
    """tool_choice any/tool is accepted (on manual models only while thinking is off)."""
    prefill: bool
    """A trailing assistant message is accepted."""
    mid_system: bool
    """`role: system` is accepted inside `messages`."""
    structured_outputs: bool
    interleaved_beta: bool
    """Manual thinking between tool calls needs the interleaved-thinking beta header."""
    display_default: Literal["summarized", "omitted"]
    preserved_thinking: bool
    """Thinking signatures are bound to the exact prefix."""
    account_bound: bool
    """Thinking blocks are dropped when they are sent on another account."""
    keeps_thinking: bool
    """Thinking of earlier turns stays in the context (and counts as input)."""
    tokenizer: Literal["old", "new"]
    min_cacheable: int
    """Length in tokens of the shortest prompt that is cached."""
    budget_tokens: bool = False
    """`thinking.type: enabled` with a budget is accepted (also by models that think adaptively)."""
    fast: bool = False
    """`speed: fast` is supported."""
    fast_beta: bool = False
    """`speed: fast` is a research preview and needs the fast-mode beta header."""
    fast_until: str = ""
    """ISO date from which `speed: fast` is refused, or ""."""
    fast_factor: float = 2.0
    """The factor by which `speed: fast` multiplies every price."""
    sure: Literal["A", "B", "C"] = "C"
    """A: from Anthropic's documentation or SDK; B: from two third parties that agree; C: inferred."""
    released: str = ""
    """ISO date; "" if unknown. Unknown models of a family are treated as its newest one."""
    retires: str = ""
    """ISO date of the announced retirement, or ""."""
    source: str = ""
    """The source of the row."""
