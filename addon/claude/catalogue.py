"""The known models: from `models.toml`, the user's overrides and upstream's list.

catalogue = Catalogue.load(builtin_text).with_overrides(user_text).with_upstream(models_list)
model_id = catalogue.resolve(choice.id)     # what to ask Anthropic for
model = catalogue.get(model_id)             # what it accepts
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace
from functools import lru_cache
from typing import Any, Self

from addon.claude.model import Model, Prices
from addon.claude.models_file import CatalogueError, build_row, other_prices, parse_models_file
from addon.core.errors import NotFound
from addon.core.frozen import frozen
from addon.core.types import JsonObject

EFFORTS = ("low", "medium", "high", "xhigh", "max")
DATE_SUFFIX = re.compile(r"-20\d{6}$")


@frozen
class Catalogue:
    """Immutable; the `with_…` methods return a new one."""

    models: Mapping[str, Model]
    retired: Mapping[str, str] = field(default_factory=dict)
    """Ids that Anthropic no longer serves → their replacements."""
    others: Mapping[str, Prices] = field(default_factory=dict)
    """Prices of models that are not Claude's."""

    @classmethod
    def load(cls, text: str, *overrides: str) -> Self:
        """From the text of a complete models file and the texts of overrides. Raises CatalogueError."""
        document = parse_models_file(text)
        defaults = document.get("defaults", {})
        rows = {
            model_id: build_row(model_id, {**defaults, **row})
            for model_id, row in document.get("models", {}).items()
        }
        if not rows:
            raise CatalogueError("models file: has no [models.…] row")
        catalogue = cls(rows, document.get("retired", {}), other_prices(document))
        for override in overrides:
            catalogue = catalogue.with_overrides(override)
        return catalogue

    def with_overrides(self, text: str) -> Self:
        """With the user's rows: a row changes the fields that it names. A row with an unknown id adds a model, which is
        based on its `like = "<id>"` or on the newest model of its family. Raises CatalogueError."""
        document = parse_models_file(text)
        rows = dict(self.models)
        for model_id, row in document.get("models", {}).items():
            base = self._base(model_id, row)
            rows[model_id] = build_row(
                model_id, {k: v for k, v in row.items() if k != "like"}, base
            )
        retired = {**self.retired, **document.get("retired", {})}
        others = {**self.others, **other_prices(document)}
        return replace(self, models=rows, retired=retired, others=others)

    def with_upstream(self, models_list: JsonObject) -> Self:
        """With the models that only the response of Anthropic's `GET /v1/models` contains. Their limits and
        capabilities are taken from it, and everything else, such as prices, from the newest model of the family. Rows
        of the files are unchanged."""
        rows = dict(self.models)
        for info in _objects(models_list.get("data")):
            model_id = info.get("id")
            if isinstance(model_id, str) and not self.knows(model_id):
                rows[model_id] = _from_upstream(self._guess(model_id), info)
        return replace(self, models=rows)

    def on(self, day: str) -> Self:
        """What Anthropic serves on a day (an ISO date): a model whose retirement date has come is among the retired,
        and the newest of its family replaces it."""
        gone = {m.id for m in self.models.values() if m.retires and m.retires <= day}
        slow = {m.id for m in self.models.values() if m.fast and "" < m.fast_until <= day}
        if not gone and not slow:
            return self
        rows = {
            model_id: replace(model, fast=False) if model_id in slow else model
            for model_id, model in self.models.items()
            if model_id not in gone
        }
        served = replace(self, models=rows)
        successors = {model_id: served._newest(model_id).id for model_id in gone}
        retired = {old: successors.get(new, new) for old, new in self.retired.items()}
        return replace(served, retired={**retired, **successors})

    def knows(self, model_id: str) -> bool:
        """Whether there is a row for an id or its replacement."""
        return self._find(self.resolve(model_id)) is not None

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, in the order of the file (the best first within each family)."""
        return tuple(self.models)

    def resolve(self, model_id: str) -> str:
        """The id to send: the replacement of a retired id, otherwise the id itself."""
        return self.retired.get(model_id) or self.retired.get(_undated(model_id)) or model_id

    def get(self, model_id: str) -> Model:
        """The row of an id; a dated id has the row of its base. An unknown `claude-…` counts as a new model: it gets
        the row of the newest of its family, without everything that the newest models reject. Raises NotFound for other
        names."""
        model_id = self.resolve(model_id)
        known = self._find(model_id)
        if known is not None:
            return known
        if not model_id.startswith("claude-"):
            raise NotFound(f"model: {model_id}", param="model", code="model_not_found")
        return self._guess(model_id)

    def _find(self, model_id: str) -> Model | None:
        return self.models.get(model_id) or self.models.get(_undated(model_id))

    def _base(self, model_id: str, row: Mapping[str, Any]) -> Model:
        like = row.get("like")
        if like is None:
            return self._find(model_id) or self._guess(model_id)
        if like not in self.models:
            raise CatalogueError(f'models file: {model_id}: like = "{like}" is not a known model')
        return replace(self.models[like], id=model_id)

    def _newest(self, model_id: str) -> Model:
        """The newest model of the family that the id names, or of all."""
        words = model_id.split("-")
        family = [m for m in self.models.values() if m.family in words]
        return max(family or self.models.values(), key=lambda m: m.released)

    def _guess(self, model_id: str) -> Model:
        newest = self._newest(model_id)
        return replace(
            newest,
            id=model_id,
            thinking="adaptive",
            sampling=False,
            prefill=False,
            forced_tool_choice=False,
            budget_tokens=False,
            sure="C",
            source=f"guessed from {newest.id}",
        )


@lru_cache(256)
def _undated(model_id: str) -> str:
    return DATE_SUFFIX.sub("", model_id)


def _from_upstream(base: Model, info: JsonObject) -> Model:
    """`info`: one element of `GET /v1/models`. What it does not contain is taken from `base`."""
    capabilities = _object(info.get("capabilities"))
    thinking = _object(_object(capabilities.get("thinking")).get("types"))
    effort = _object(capabilities.get("effort"))
    known: dict[str, Any] = {
        "context": _size(info.get("max_input_tokens"), base.context),
        "max_output": _size(info.get("max_tokens"), base.max_output),
        "structured_outputs": _supports(
            capabilities, "structured_outputs", base.structured_outputs
        ),
        "released": str(info.get("created_at") or "")[:10],
        "source": f"GET /v1/models, the rest {base.source}",
    }
    if effort:
        known["efforts"] = tuple(level for level in EFFORTS if _supports(effort, level, False))
    if thinking:
        known |= _thinking_types(thinking, base)
    return replace(base, **known)


def _thinking_types(types: JsonObject, base: Model) -> dict[str, Any]:
    enabled = _supports(types, "enabled", base.budget_tokens)
    ways_off = (way for way in ("disabled", "between_tools") if _supports(types, way, False))
    return {
        "thinking": "manual" if enabled and not _supports(types, "adaptive", True) else "adaptive",
        "budget_tokens": enabled,
        "thinking_off": next(ways_off, "never"),
    }


def _object(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _size(value: Any, default: int) -> int:
    """`value` if it is a number of tokens, otherwise `default`."""
    return value if isinstance(value, int) and value > 0 else default


def _supports(capabilities: JsonObject, name: str, default: bool) -> bool:
    supported = _object(capabilities.get(name)).get("supported")
    return supported if isinstance(supported, bool) else default
