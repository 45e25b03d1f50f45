"""Content views for mitmweb and mitmproxy's console: a conversation, and what ccproxy made of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mitmproxy import contentviews, http
from mitmproxy.addonmanager import Loader
from mitmproxy.contentviews import Contentview, Metadata, SyntaxHighlight

from addon.api.readable import from_stream, readable
from addon.api.request_history import Entry, RequestHistory, as_text
from addon.claude.pricing import FindModel
from addon.core.json_codec import loads
from addon.core.redaction import redacted
from addon.core.types import JsonObject
from addon.exchange.routes import find


class ConversationView(Contentview):
    """Shows the turns, the tool calls and the usage of a body."""

    name = "ccproxy conversation"
    syntax_highlight: SyntaxHighlight = "none"

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        return readable(_body(data, metadata))

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        """Higher than mitmproxy's JSON view for model requests and their responses."""
        flow = metadata.flow
        if not data or not isinstance(flow, http.HTTPFlow):
            return -1
        route = find(flow.request.method, flow.request.path)
        return 2 if route is not None and route.kind == "model" else -1


class HistoryView(Contentview):
    """Shows one side of a request that is kept. Never the default view."""

    syntax_highlight: SyntaxHighlight = "none"

    def __init__(self, name: str, history: RequestHistory, show: Callable[[Entry], str]) -> None:
        self._name = name
        self.history = history
        self.show = show

    @property
    def name(self) -> str:
        return self._name

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        entry = self.history.of_flow(metadata.flow.id) if metadata.flow else None
        if entry is None:
            return "This request is still running, too long ago, or not kept (EXPLAIN=false).\n"
        return self.show(entry)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        return -1


def _body(data: bytes, metadata: Metadata) -> JsonObject:
    if "event-stream" in (metadata.content_type or ""):
        return from_stream(data)
    body = loads(data)
    if not isinstance(body, dict):
        raise ValueError("it is not an object")
    return body


class Views:
    """Registers all views with mitmproxy."""

    def __init__(self, history: RequestHistory, find: FindModel) -> None:
        """`find`: a model by its id."""
        self.history = history
        self.find = find

    def load(self, loader: Loader) -> None:
        contentviews.add(ConversationView())
        for name, show in (
            ("ccproxy explain", self.explanation),
            ("ccproxy what changed", self.changes),
            ("ccproxy anatomy", self.anatomy),
        ):
            contentviews.add(HistoryView(name, self.history, show))

    def explanation(self, entry: Entry) -> str:
        return as_text(entry.shown(self.history.hide))

    def changes(self, entry: Entry) -> str:
        details = redacted(entry.changes(self.history.before(entry)), self.history.hide)
        lines = ["WHAT CCPROXY CHANGED", *_changes(details["onTheWay"]), ""]
        lines += [f"NOTE  {note}" for note in entry.head["notes"]]
        since = details["sinceLastTurn"]
        if since is None:
            return "\n".join([*lines, "There is no earlier turn of this conversation any more.\n"])
        return "\n".join([*lines, "SINCE THE LAST TURN", *_changes(since), ""])

    def anatomy(self, entry: Entry) -> str:
        found = redacted(entry.anatomy(self.find), self.history.hide)
        if found is None:
            return "No conversation was sent to Claude.\n"
        counted = "as Anthropic counted" if found["exact"] else "estimated"
        total = sum(part["cost"] for part in found["parts"])
        lines = [
            f"{found['tokens']:,} tokens in, {counted}; each part is an estimate. ${total:.4f}",
            f"{'tokens':>9}  {'cost':>8}  cached",
        ]
        for part in sorted(found["parts"], key=lambda part: -part["tokens"]):
            share = part["cached"] / part["tokens"] if part["tokens"] else 0
            never = "  (never called)" if part.get("calls") == 0 else ""
            shown = f"{part['tokens']:>9,}  ${part['cost']:.4f}  {share:>5.0%}   {part['kind']:<9} "
            lines.append(f"{shown}{part['name']}{never}")
        if found["cachedFor"]:
            lines.append(
                f"What is cached stays so for {found['cachedFor'] // 60} min after the response."
            )
        return "\n".join(lines) + "\n"


def _changes(changes: list[JsonObject]) -> Iterator[str]:
    if not changes:
        yield "  nothing"
    for change in changes:
        by = f" by {change['addon']}" if "addon" in change else ""
        yield f"  {change['what']} {change['change']}{by}"
        yield from (
            f"    {sign} {' '.join(change[key].split())}"
            for sign, key in (("-", "was"), ("+", "now"))
            if change[key] is not None
        )
