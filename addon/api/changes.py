"""What became of a request on its way, and what differs from the turn before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from addon.claude.blocks import blocks_of
from addon.claude.digest import canonical, without_marks
from addon.core.types import JsonObject

MADE_BY = {
    "model": "Translate",
    "system": "Upstream",
    "cache_control": "PromptCache",
    "context": "ContextWindow",
    "thinking": "Thinking",
}
"""Which addon makes a change that `x-ccproxy-changed` names; fields of other names are left out by Upstream."""
LISTS = ("system", "tools", "messages")
LONGEST = 160
"""Characters of a value that is shown."""


def on_the_way(client: Any, upstream: Any, changed: list[str], *, native: bool) -> list[JsonObject]:
    """The differences of the client's body and Anthropic's: {what, change, addon, was, now}. `native`: it came in
    Anthropic's own form; of one in OpenAI's, messages, tools and system are in another form, and not compared."""
    if not isinstance(client, dict) or not isinstance(upstream, dict):
        return []
    names = list(dict.fromkeys([*client, *upstream]))
    found = []
    for name in names:
        if name in LISTS and not native:
            continue
        if name in LISTS:
            found += list(_of_lists(name, client.get(name), upstream.get(name)))
        elif client.get(name) != upstream.get(name):
            found.append(_change(name, client.get(name), upstream.get(name)))
    for change in found:
        change["addon"] = _addon(change["what"], changed, native)
    return found


def _addon(what: str, changed: list[str], native: bool) -> str:
    name = what.partition("[")[0]
    if not native:
        return "Translate"
    if name == "messages":
        return "ContextWindow" if "context" in changed else MADE_BY["thinking"]
    return MADE_BY.get(name, "Thinking" if name == "output_config" else "Upstream")


def since_last_turn(before: Any, now: Any) -> list[JsonObject]:
    """The differences of two requests to Anthropic: {what, change, was, now}."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return []
    found: list[JsonObject] = []
    for name in dict.fromkeys([*before, *now]):
        if name in LISTS:
            found += list(_of_lists(name, before.get(name), now.get(name)))
        elif before.get(name) != now.get(name):
            found.append(_change(name, before.get(name), now.get(name)))
    return found


def _of_lists(name: str, before: Any, now: Any) -> Iterator[JsonObject]:
    """Tools are compared by name, whatever their order; messages and system blocks from the beginning and the end."""
    old, new = _items(before), _items(now)
    if name == "tools":
        were, are = ({str(_named(tool)): tool for tool in tools} for tools in (old, new))
        for tool in dict.fromkeys([*were, *are]):
            if _plain(were.get(tool)) != _plain(are.get(tool)):
                yield _change(f"tools[{tool}]", were.get(tool), are.get(tool))
        return
    plain = [[_plain(item) for item in items] for items in (old, new)]
    head = _common(*plain)
    tail = _common(plain[0][head:][::-1], plain[1][head:][::-1])
    gone, come = old[head : len(old) - tail], new[head : len(new) - tail]
    for at in range(max(len(gone), len(come))):
        pair = (items[at] if at < len(items) else None for items in (gone, come))
        yield _change(f"{name}[{head + at}]", *pair)


def _common(one: list[Any], other: list[Any]) -> int:
    at = 0
    while at < min(len(one), len(other)) and one[at] == other[at]:
        at += 1
    return at


def _items(value: Any) -> list[Any]:
    return blocks_of(value) if isinstance(value, str | list) else []


def _plain(item: Any) -> Any:
    """Without cache marks, and with a string as the one text that it is."""
    if not isinstance(item, dict):
        return item
    (bare,) = without_marks([item])
    if "role" in bare:
        bare = {**bare, "content": without_marks(_items(bare.get("content")))}
    return canonical(bare)


def _named(tool: Any) -> Any:
    return tool.get("name") or tool.get("type") if isinstance(tool, dict) else tool


def _change(what: str, was: Any, now: Any) -> JsonObject:
    change = "added" if was is None else "removed" if now is None else "rewritten"
    return {"what": what, "change": change, "was": _short(was), "now": _short(now)}


def _short(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else canonical(value).decode("utf-8", "replace")
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
