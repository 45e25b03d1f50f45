"""Keeps the last requests and their outcome in memory, and formats them as text."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from addon.api.readable import readable
from addon.core.types import JsonObject

KEPT = 50
MOST_BYTES = 64 * 1024 * 1024
"""Of all entries together: one conversation may have many megabytes."""


class RequestHistory:
    """Entries by id. An entry is a JSON object without secrets:

    id, flow, time (ms), model, status, error, notes, ignored,
    client {method, path, headers, body},
    upstream [{source, credential, url, headers, body, outcome, reason}],
    answer (Claude's message)
    """

    def __init__(self, kept: int = KEPT, most_bytes: int = MOST_BYTES) -> None:
        self.kept = kept
        self.most_bytes = most_bytes
        self._entries: OrderedDict[str, tuple[JsonObject, int]] = OrderedDict()

    def put(self, entry: JsonObject) -> None:
        self._entries[entry["id"]] = (entry, len(json.dumps(entry)))
        self._entries.move_to_end(entry["id"])
        while len(self._entries) > 1 and (len(self._entries) > self.kept or self._over()):
            self._entries.popitem(last=False)

    def _over(self) -> bool:
        return sum(size for _, size in self._entries.values()) > self.most_bytes

    def get(self, ident: str) -> JsonObject | None:
        found = self._entries.get(ident)
        return found[0] if found else None

    def of_flow(self, flow: str) -> JsonObject | None:
        """`flow`: mitmproxy's id."""
        return next((e for e, _ in reversed(self._entries.values()) if e["flow"] == flow), None)

    def newest(self) -> list[JsonObject]:
        """A short row for each entry, newest first."""
        names = ("id", "time", "model", "status", "error")
        return [{name: e[name] for name in names} for e, _ in reversed(self._entries.values())]


def as_text(entry: JsonObject) -> str:
    """All parts of the entry as text."""
    client = entry["client"]
    parts = [f"THE CLIENT SENT  {client['method']} {client['path']}", _shown(client["body"])]
    for attempt in entry["upstream"]:
        why = f", because of {attempt['reason']}" if attempt["reason"] else ""
        parts += [
            f"SENT UPSTREAM  {attempt['url']} by {attempt['credential']}{why}: {attempt['outcome']}",
            "\n".join(f"{name}: {value}" for name, value in attempt["headers"]),
            _shown(attempt["body"]),
        ]
    for name in ("notes", "ignored"):
        if entry[name]:
            parts.append(f"{name.upper()}  " + "; ".join(entry[name]))
    parts.append(f"CAME BACK  {entry['status']} {entry['error'] or ''}".rstrip())
    if entry["answer"]:
        parts.append(_shown(entry["answer"]))
    return "\n\n".join(parts) + "\n"


def _shown(body: Any) -> str:
    try:
        return readable(body).rstrip()
    except (ValueError, AttributeError, TypeError):  # not a conversation
        return json.dumps(body, indent=2, ensure_ascii=False)
