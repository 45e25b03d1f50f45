"""The (method, path) pairs that are served. What is not in this table is a 404, and nothing is forwarded.

Paths are compared raw: no decoding, no resolving, so that `/v1/messages/../x` matches nothing. The careless forms that
real clients send (a doubled or missing `/v1`, a trailing slash) are rows of their own; slashes in a row count as one.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote

from addon.core.content_encoding import MAX_BODY
from addon.core.frozen import frozen
from addon.core.types import Dialect

type Kind = Literal["model", "count_tokens", "stored", "public", "page", "control"]
"""model: may cost tokens; stored: what a client has left here; public: harmless; page: the dashboard's files, with no
data in them; control: usage, budget and what the dashboard shows."""


SMALL_BODY = 4096
"""Bytes; a secret or a budget has a few hundred, and some clients send `{}` with a GET."""


@frozen
class Route:
    name: str
    kind: Kind
    dialect: Dialect = "messages"

    @property
    def most_body(self) -> int:
        """Bytes that a request's body may have."""
        large = self.kind in ("model", "count_tokens") or self is COMPACT
        return MAX_BODY if large else SMALL_BODY


CHAT = Route("chat", "model", "chat")
RESPONSES = Route("responses", "model", "responses")
MESSAGES = Route("messages", "model", "messages")
COUNT_TOKENS = Route("count_tokens", "count_tokens", "messages")
RESPONSES_SOCKET = Route("responses_socket", "stored", "responses")
COMPACT = Route("compact", "stored", "responses")
COMPLETIONS = Route("completions", "model", "chat")
EMBEDDINGS = Route("embeddings", "model", "chat")
INPUT_TOKENS = Route("input_tokens", "count_tokens", "responses")
PREFLIGHT = Route("preflight", "public")
MODELS = Route("models", "public", "chat")
DASHBOARD_FILE = Route("dashboard_file", "page")


def _careless(path: str) -> list[str]:
    """The forms of `path` that clients send when their base URL has `/v1` too often, too seldom, or a slash more."""
    forms = [f"/v1{path}", path, f"/v1/v1{path}"]
    return forms + [form + "/" for form in forms]


SIGN_IN = Route("dashboard_login", "page")


ROUTES: dict[tuple[str, str], Route] = {
    **{("POST", path): CHAT for path in _careless("/chat/completions")},
    **{("POST", path): RESPONSES for path in _careless("/responses")},
    **{("POST", path): MESSAGES for path in _careless("/messages")},
    **{("POST", path): COUNT_TOKENS for path in _careless("/messages/count_tokens")},
    **{("POST", path): INPUT_TOKENS for path in _careless("/responses/input_tokens")},
    **{("POST", path): COMPACT for path in _careless("/responses/compact")},
    **{("POST", path): COMPLETIONS for path in _careless("/completions")},
    **{("POST", path): EMBEDDINGS for path in _careless("/embeddings")},
    **{("GET", path): MODELS for path in _careless("/models")},
    ("GET", "/"): Route("root", "public"),
    ("GET", "/api/hello"): Route("hello", "public"),
    ("GET", "/health"): Route("health", "public"),
    ("GET", "/analytics"): Route("analytics", "control"),
    ("GET", "/analytics/requests"): Route("analytics_requests", "control"),
    ("POST", "/analytics/reset"): Route("analytics_reset", "control"),
    ("GET", "/budget"): Route("budget", "control"),
    ("POST", "/budget"): Route("budget_change", "control"),
    ("GET", "/security/blocked"): Route("blocked", "control"),
    ("GET", "/explain"): Route("explain", "control"),
    ("GET", "/metrics"): Route("metrics", "control"),
    ("GET", "/dashboard"): DASHBOARD_FILE,
    ("POST", "/dashboard/login"): SIGN_IN,
    ("GET", "/dashboard/data"): Route("dashboard_data", "control"),
    ("GET", "/dashboard/events"): Route("dashboard_events", "control"),
}

SOCKETS = dict.fromkeys(_careless("/responses"), RESPONSES_SOCKET)
"""By path: where a GET may become a WebSocket."""
CONTEXT = Route("context", "control")
"""`/context/<id>`: what a summary replaced."""
EXPLAINED = Route("explained", "control")
"""`/explain/<id>`: what became of a request."""
BY_ID = {"context": CONTEXT, "explain": EXPLAINED}
STORED = {
    ("GET", ""): Route("stored_response", "stored", "responses"),
    ("DELETE", ""): Route("stored_response_deletion", "stored", "responses"),
    ("GET", "/input_items"): Route("stored_input_items", "stored", "responses"),
}
"""Of `/v1/responses/<id>`, by method and what follows the id."""
MODEL = Route("model", "public", "chat")
"""`/v1/models/<id>`; an id may have slashes, as routers write it."""
_MODEL = re.compile(r"(?:/v1){0,2}/models/(.{1,300}?)/?")
_SLASHES = re.compile(r"/{2,}")
_PAGE = re.compile(r"/dashboard/[a-z.]*")
_BY_ID = re.compile(r"/(context|explain)/([0-9a-f]{8,64})")
_STORED = re.compile(r"(?:/v1){0,2}/responses/([A-Za-z0-9_-]{1,128})(/input_items)?/?")

# Azure's form, which Cursor and LiteLLM clients can be set to: the model's name is in the path.
_AZURE = re.compile(r"/openai/deployments/([A-Za-z0-9][A-Za-z0-9._:-]*)/chat/completions/?")


def single_slashes(path: str) -> str:
    """`path` with its query, as the clients mean it whose base URL ends in a slash."""
    bare, mark, query = path.partition("?")
    return _SLASHES.sub("/", bare) + mark + query


def _bare(path: str) -> str:
    return single_slashes(path).partition("?")[0]


def find(method: str, path: str, *, websocket: bool = False) -> Route | None:
    """The route of a request; `path` is raw, its query is ignored. `websocket`: it asks for a WebSocket."""
    bare = _bare(path)
    if websocket and method == "GET" and (socket := SOCKETS.get(bare)):
        return socket
    if method == "OPTIONS" and bare.startswith("/"):
        return PREFLIGHT
    if method == "HEAD":  # the client's connection leaves the body out
        method = "GET"
    if method == "POST" and _AZURE.fullmatch(bare):
        return CHAT
    if method == "GET" and (named := _BY_ID.fullmatch(bare)):
        return BY_ID[named[1]]
    if route := ROUTES.get((method, bare)):
        return route
    if method == "GET" and _MODEL.fullmatch(bare):
        return MODEL
    if named := _STORED.fullmatch(bare):
        return STORED.get((method, named[2] or ""))
    return DASHBOARD_FILE if method == "GET" and _PAGE.fullmatch(bare) else None


def deployment(path: str) -> str | None:
    """The model named in an Azure-style path."""
    match = _AZURE.fullmatch(_bare(path))
    return match[1] if match else None


def dialect_of(path: str, anthropic_version: str | None = None) -> Dialect:
    """The dialect that an error for this path is written in, whether or not the path is served."""
    bare = _bare(path)
    if "/chat/completions" in bare:
        return "chat"
    if "/responses" in bare:
        return "responses"
    if "/messages" in bare or anthropic_version or not bare.startswith("/v1/"):
        return "messages"
    return "chat"


def model_in(path: str) -> str:
    """The name in a `/v1/models/<id>` path."""
    match = _MODEL.fullmatch(_bare(path))
    return unquote(match[1]) if match else ""


def id_in(path: str) -> str:
    """The id in a `/context/<id>` or `/explain/<id>` path."""
    match = _BY_ID.fullmatch(_bare(path))
    return match[2] if match else ""


def response_id_in(path: str) -> str:
    """The id in a `/v1/responses/<id>` path."""
    match = _STORED.fullmatch(_bare(path))
    return match[1] if match else ""
