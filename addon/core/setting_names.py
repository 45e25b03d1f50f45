"""Names of settings: as mitmproxy's options, and misspelt ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import Field
from typing import Any

from addon.core.settings import SettingsError, described
from addon.core.suggestions import closest, did_you_mean

PREFIX = "ccproxy_"


def exposed() -> list[Field[Any]]:
    """The fields that are also options: all except secrets, which mitmweb's options page would show."""
    return [item for item in described() if not item.metadata["secret"]]


def variables() -> dict[str, str]:
    """Option → variable."""
    return {PREFIX + item.name: item.metadata["env"] for item in exposed()}


def refuse_unknown_options(names: Iterable[str]) -> None:
    """Raises SettingsError for unknown options of ours, which mitmproxy accepts silently."""
    known = variables()
    unknown = [name for name in names if name.startswith(PREFIX) and name not in known]
    if unknown:
        raise SettingsError("\n".join(_why_unknown(name, known) for name in unknown))


def _why_unknown(name: str, known: Iterable[str]) -> str:
    for item in described():
        if name == PREFIX + item.name:
            return f"{name} can't be an option, which others can see and change. Set {item.metadata['env']}."
    return f"There is no option {name}.{did_you_mean(name, known)}"


def misspelt(names: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that is similar to a setting's. Other names may be those of another program, with which
    `.env` is often shared."""
    known = {item.metadata["env"] for item in described()}
    for name in names:
        if name not in known and (meant := closest(name, known)):
            yield f"{name} in .env is not a setting. Did you mean {meant}?"
