"""Content views for mitmweb and mitmproxy's console: a conversation, and what ccproxy made of a request."""

from __future__ import annotations

from mitmproxy import contentviews, http
from mitmproxy.addonmanager import Loader
from mitmproxy.contentviews import Contentview, Metadata, SyntaxHighlight

from addon.api.readable import from_stream, readable
from addon.api.request_history import RequestHistory, as_text
from addon.core.json_codec import loads
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


class ExplanationView(Contentview):
    """Shows what the client sent, what was sent upstream and what came back. Never the default view."""

    name = "ccproxy explain"
    syntax_highlight: SyntaxHighlight = "none"

    def __init__(self, history: RequestHistory) -> None:
        self.history = history

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        entry = self.history.of_flow(metadata.flow.id) if metadata.flow else None
        if entry is None:
            return "This request is still running, too long ago, or not kept (EXPLAIN=false).\n"
        return as_text(entry.shown(self.history.hide))

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
    """Registers both views with mitmproxy."""

    def __init__(self, history: RequestHistory) -> None:
        self.history = history

    def load(self, loader: Loader) -> None:
        contentviews.add(ConversationView())
        contentviews.add(ExplanationView(self.history))
