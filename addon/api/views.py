"""Content views: an exchange as a conversation, and what ccproxy made of it. In mitmweb and mitmproxy's console."""

from __future__ import annotations

from mitmproxy import contentviews, http
from mitmproxy.addonmanager import Loader
from mitmproxy.contentviews import Contentview, Metadata, SyntaxHighlight

from addon.api.readable import from_stream, readable
from addon.api.request_history import Explained, as_text
from addon.core.json_codec import FAST
from addon.core.types import JsonObject
from addon.exchange.routes import find


class Conversation(Contentview):
    """Who said what, which tools were called, and what it used."""

    name = "ccproxy conversation"
    syntax_highlight: SyntaxHighlight = "none"

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        return readable(_body(data, metadata))

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        """Before mitmproxy's own JSON view, for requests to a model and their answers."""
        flow = metadata.flow
        if not data or not isinstance(flow, http.HTTPFlow):
            return -1
        route = find(flow.request.method, flow.request.path)
        return 2 if route is not None and route.kind == "model" else -1


class Explanation(Contentview):
    """What the client sent, what was sent upstream, what came back. Never chosen by itself."""

    name = "ccproxy explain"
    syntax_highlight: SyntaxHighlight = "none"

    def __init__(self, explained: Explained) -> None:
        self.explained = explained

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        entry = self.explained.of_flow(metadata.flow.id) if metadata.flow else None
        if entry is None:
            return "Nothing is known of this request: EXPLAIN=true keeps the last 50.\n"
        return as_text(entry)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        return -1


def _body(data: bytes, metadata: Metadata) -> JsonObject:
    if "event-stream" in (metadata.content_type or ""):
        return from_stream(data)
    body = FAST.loads(data)
    if not isinstance(body, dict):
        raise ValueError("it is no object")
    return body


class Views:
    """Adds them to mitmproxy."""

    def __init__(self, explained: Explained) -> None:
        self.explained = explained

    def load(self, loader: Loader) -> None:
        contentviews.add(Conversation())
        contentviews.add(Explanation(self.explained))
