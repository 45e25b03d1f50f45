"""What one Claude model accepts, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """USD per million tokens. `step_tokens`: prompts above this many tokens (cache tokens included) cost `step`."""

    input: float
    output: float
    cache_write_5m: float
    cache_write_1h: float
    cache_read: float
    step_tokens: int | None = None
    step: Prices | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One row of the catalogue (`models.toml`); every rule that depends on the model reads a field of it."""

    id: str
    family: str
    context: int
    max_output: int
    prices: Prices
    thinking: Literal["adaptive", "manual"]
    thinking_default: bool
    """Whether the model thinks when the request says nothing."""
    thinking_off: Literal["omit", "disabled", "between_tools", "never"]
    efforts: tuple[str, ...]
    """What `output_config.effort` accepts, ascending; () when the field itself is refused."""
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
    """Manual thinking between tools needs the interleaved-thinking beta header."""
    display_default: Literal["summarized", "omitted"]
    preserved_thinking: bool
    """Thinking signatures are bound to the exact prefix."""
    account_bound: bool
    """Thinking blocks are dropped when replayed on another account."""
    keeps_thinking: bool
    """Thinking of earlier turns stays in the context (and counts as input)."""
    tokenizer: Literal["old", "new"]
    min_cacheable: int
    """Shortest prompt, in tokens, that the prompt cache takes."""
    budget_tokens: bool = False
    """`thinking.type: enabled` with a budget is accepted (also by models that think adaptively)."""
    fast: bool = False
    """`speed: fast` exists for it."""
    fast_beta: bool = False
    """`speed: fast` is a research preview on it and needs the fast-mode beta header."""
    fast_factor: float = 2.0
    """What `speed: fast` multiplies every price by."""
    sure: Literal["A", "B", "C"] = "C"
    """A: read in Anthropic's documentation or SDK; B: two third parties agree; C: inferred."""
    released: str = ""
    """ISO date; "" when unknown. The newest of a family stands in for unknown models of it."""
    retires: str = ""
    """ISO date of the announced end of life, or ""."""
    source: str = ""
    """Where the row was read."""
