"""What a person types into Cursor's settings."""

from __future__ import annotations

from collections.abc import Sequence

from addon.claude.catalogue import Catalogue
from addon.core.settings import Settings

UNTAKEN = "ak-"
"""Cursor may serve a name of its own list itself, past the override; with this in front no name is on that list."""
BUILT_IN = ("claude-", "gpt-", "gemini-", "o1", "o3", "o4", "grok-", "deepseek-", "cursor-")
"""How the names begin that Cursor has models of its own for. `gpt-` also switches it to another request format."""
FAMILIES = ("opus", "sonnet", "haiku", "fable")
"""Those that every account can use."""
ADVICE = "Put `ak-` in front of it, or give it another name in MODEL_ALIASES."


def names_that_work(settings: Settings, catalogue: Catalogue) -> list[str]:
    """Names to add as custom models: the user's own first, then the newest model of each family."""
    newest: dict[str, str] = {}
    for model_id in catalogue.ids:
        newest.setdefault(catalogue.get(model_id).family, model_id)
    own = [name for name, _ in settings.model_aliases if not collides(name)]
    return own + [UNTAKEN + newest[family] for family in FAMILIES if family in newest]


def collides(name: str) -> bool:
    """Whether Cursor may take the name for a model of its own."""
    return name.lower().startswith(BUILT_IN)


def to_paste(url: str, key: str, names: Sequence[str]) -> list[str]:
    """The lines to show; `url`: the tunnel's address without /v1."""
    return [
        "Paste into Cursor (Settings > Models > API Keys):",
        f"  Override OpenAI Base URL   {url}/v1",
        f"  OpenAI API Key             {key}",
        "  Add these as custom models, and switch the Anthropic API key off:",
        *(f"    {name}" for name in names),
    ]
