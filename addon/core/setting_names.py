"""The settings as mitmproxy's options, and names of settings that do not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import Field
from typing import Any

from addon.core.settings import SettingsError, described
from addon.core.suggestions import closest, did_you_mean

PREFIX = "ccproxy_"


def exposed() -> list[Field[Any]]:
    """The fields that are options too: all but secrets, which the options page would show."""
    return [item for item in described() if not item.metadata["secret"]]


def variables() -> dict[str, str]:
    """Option → variable."""
    return {PREFIX + item.name: item.metadata["env"] for item in exposed()}


def refuse_unknown_options(names: Iterable[str]) -> None:
    """mitmproxy keeps an option that nobody declares and says nothing. Raises SettingsError."""
    known = variables()
    unknown = [name for name in names if name.startswith(PREFIX) and name not in known]
    if unknown:
        raise SettingsError("\n".join(_why_unknown(name, known) for name in unknown))


def _why_unknown(name: str, known: Iterable[str]) -> str:
    for item in described():
        if name == PREFIX + item.name:
            return (
                f"{name}: secrets are no options, which others can see; set {item.metadata['env']}."
            )
    return f"There is no option {name}.{did_you_mean(name, known)}"


def misspelt(names: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that is nearly a setting's. Others may be another program's: `.env` is often shared."""
    known = {item.metadata["env"] for item in described()}
    for name in names:
        if name not in known and (meant := closest(name, known)):
            yield f"{name} in .env is no setting. Did you mean {meant}?"
