"""Reads errors from upstream responses and writes errors in each client's dialect."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from addon.core.errors import (
    BadGateway,
    BadRequest,
    BillingError,
    CCProxyError,
    Forbidden,
    GatewayTimeout,
    Misdirected,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthorized,
    UnsupportedMedia,
    UpstreamError,
)
from addon.core.json_codec import dumps
from addon.core.retry_after import asked_wait
from addon.core.types import Dialect, JsonObject
from addon.translation.sse import encode_event


class _OpenAIError(NamedTuple):
    type: str
    code: str | None = None
    status: int | None = None


# Anthropic's error types (https://docs.anthropic.com/en/api/errors) -> the status each stands for
STATUS_BY_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

# For responses without an error type: gateways in front of the API send an HTML page.
_TYPE_BY_STATUS = {status: type for type, status in STATUS_BY_TYPE.items()}

# Anthropic's type -> OpenAI's. OpenAI clients handle 503 but not 529.
_OPENAI_ERRORS = {
    "invalid_request_error": _OpenAIError("invalid_request_error"),
    "authentication_error": _OpenAIError("authentication_error", "invalid_api_key"),
    "billing_error": _OpenAIError("insufficient_quota", "insufficient_quota"),
    "permission_error": _OpenAIError("permission_error", "permission_denied"),
    "not_found_error": _OpenAIError("invalid_request_error", "model_not_found"),
    "conflict_error": _OpenAIError("conflict"),
    "request_too_large": _OpenAIError("invalid_request_error", "request_too_large"),
    "rate_limit_error": _OpenAIError("rate_limit_error", "rate_limit_exceeded"),
    "api_error": _OpenAIError("server_error"),
    "timeout_error": _OpenAIError("server_error", "timeout"),
    "overloaded_error": _OpenAIError("server_error", "overloaded", status=503),
}

# Anthropic has no error codes for these causes, but OpenAI clients act on the code.
_CODE_BY_MESSAGE = (
    (
        re.compile(r"prompt is too long|exceed context limit", re.IGNORECASE),
        "context_length_exceeded",
    ),
    (re.compile(r"content filtering policy", re.IGNORECASE), "content_filter"),
)
_OPENAI_CODES = {code for _, code in _CODE_BY_MESSAGE} | {e.code for e in _OPENAI_ERRORS.values()}

# The codes of openai.types.responses.ResponseError; any other code counts as a server error.
_OPENAI_CAUSES = (
    (429, re.compile(r"rate_limit|insufficient_quota")),
    (
        400,
        re.compile(r"invalid_|image_|empty_image|unsupported_|context_length|failed_to_download"),
    ),
    (400, re.compile(r"bio_policy|misalignment_policy|data_residency")),
)

_MAX_MESSAGE = 10_000
_MAX_EXCERPT = 300
# An element that is never closed extends to the end; otherwise each further one would be scanned to the end again.
_HIDDEN_HTML = re.compile(
    r"<(script|style)\b.*?(</\1\s*>|\Z)|<!--.*?(-->|\Z)", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(r"<[^<>]*>")
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
_SECRET = re.compile(r"sk-[A-Za-z0-9_-]{8,}")

_CLASSES: Mapping[int, type[CCProxyError]] = {
    cls.status: cls
    for cls in (
        BadRequest,
        Unauthorized,
        BillingError,
        Forbidden,
        NotFound,
        TooLarge,
        UnsupportedMedia,
        Misdirected,
        RateLimited,
        BadGateway,
        GatewayTimeout,
    )
}


# ---- to the client


def error_body(
    error: CCProxyError, dialect: Dialect, request_id: str | None = None
) -> tuple[int, JsonObject]:
    """The status and JSON body that report `error` to a client of `dialect`."""
    if dialect == "messages":
        return error.status, _anthropic_body(error, request_id)
    body: JsonObject = {"error": openai_error_object(error)}
    if request_id:
        body["request_id"] = request_id
    return _openai_error(error).status or error.status, body


def openai_error_object(error: CCProxyError) -> JsonObject:
    """The `error` object of OpenAI bodies and chat streams."""
    known = _openai_error(error)
    return {
        "message": error.message,
        "type": known.type,
        "param": error.param,
        "code": error.code or known.code,
    }


def encode_chat_error(error: CCProxyError) -> bytes:
    """`error` as the last event of a chat stream: the OpenAI SDKs raise on a chunk with `error`."""
    return encode_event(dumps({"error": openai_error_object(error)}))


def encode_native_error(error: CCProxyError, request_id: str | None) -> bytes:
    """`error` as the last event of Anthropic's stream."""
    if error.upstream and error.upstream.body:
        # Line breaks in JSON are white space, and would end an event's data.
        return encode_event(error.upstream.body.translate(_ONE_LINE), "error")
    return encode_event(dumps(_anthropic_body(error, request_id)), "error")


def _anthropic_body(error: CCProxyError, request_id: str | None) -> JsonObject:
    payload: JsonObject = {"type": error.type, "message": error.message}
    if error.code and error.code not in _OPENAI_CODES:
        payload["details"] = {"error_code": error.code}
    return {"type": "error", "error": payload, "request_id": request_id}


def _openai_error(error: CCProxyError) -> _OpenAIError:
    known = _OPENAI_ERRORS.get(error.type)
    if known is None:
        known = _OPENAI_ERRORS[_TYPE_BY_STATUS.get(error.status, "api_error")]
    return known


# ---- from upstream


def from_upstream(status: int, body: bytes, headers: Mapping[str, str], now: float) -> CCProxyError:
    """The error that an upstream error response describes. `headers` has lower-case names; `now` is in unix seconds.

    The message is upstream's own, unchanged, because people search for it; of a page that is not JSON, an excerpt.
    """
    payload, wait = _error_object(body), asked_wait(headers, now)
    if payload is None:
        return _from_page(status, body, wait)
    error = _from_object(payload, status)
    error.upstream = UpstreamError(headers, b"" if _holds_secret(body) else body)
    error.retry_after = wait
    if headers.get("anthropic-ratelimit-unified-status") == "rejected":
        # The subscription's quota is used up: clients that distinguish quotas from rate limits stop retrying.
        error.code = "insufficient_quota"
    return error


def from_event(data: JsonObject, raw: bytes = b"") -> CCProxyError:
    """The error that an `error` event describes, with the status that it would have had as a response. `raw`: the
    event's data."""
    payload = data.get("error")
    if not isinstance(payload, dict):
        payload = {}
    error = _from_object(payload, STATUS_BY_TYPE.get(_text(payload.get("type")) or "", 500))
    error.upstream = UpstreamError({}, b"" if _holds_secret(raw) else raw)
    return error


def from_openai_event(payload: JsonObject) -> CCProxyError:
    """The error that ends one of OpenAI's streams, with the status that it would have had as a response.

    `payload` holds it under `error`, as chat chunks, failed responses and recorded `error` events do, or is the `error`
    event itself, as in `openai.types.responses.ResponseErrorEvent`.
    """
    error = payload.get("error") or payload
    if not isinstance(error, dict):
        error = {"message": error}
    words = [
        word for name in ("code", "type") if (word := _text(error.get(name))) and word != "error"
    ]
    code = error.get("code")
    if not isinstance(code, int) or not 400 <= code < 600:  # OpenRouter's codes are statuses
        code = next(
            (status for status, known in _OPENAI_CAUSES if any(map(known.match, words))), 500
        )
    return _error(code, _type_of(code), _message(error, code), words[0] if words else None)


def _from_object(payload: JsonObject, status: int) -> CCProxyError:
    message = _message(payload, status)
    details = payload.get("details")
    code = _text(details.get("error_code")) if isinstance(details, dict) else None
    for pattern, known in _CODE_BY_MESSAGE:
        if code is None and pattern.search(message):
            code = known
    return _error(status, _text(payload.get("type")) or _type_of(status), message, code)


def _holds_secret(body: bytes) -> bool:
    return _SECRET.search(body.decode("utf-8", "replace")) is not None


def _from_page(status: int, body: bytes, retry_after: float | None) -> CCProxyError:
    # Cloudflare uses 520 to 526 for a bad gateway.
    shown = 502 if status >= 500 and status not in _TYPE_BY_STATUS else status
    excerpt = _excerpt(body)
    message = f"Upstream returned {status} without a readable error" + (
        f": {excerpt}" if excerpt else ""
    )
    error = _error(shown, _type_of(shown), message, "upstream_invalid" if shown == 502 else None)
    error.retry_after = retry_after
    return error


def _error(status: int, type: str, message: str, code: str | None) -> CCProxyError:
    return _CLASSES.get(status, CCProxyError)(message, status=status, type=type, code=code)


def _type_of(status: int) -> str:
    fallback = "invalid_request_error" if 400 <= status < 500 else "api_error"
    return _TYPE_BY_STATUS.get(status, fallback)


def _error_object(body: bytes) -> JsonObject | None:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    payload = value.get("error") if isinstance(value, dict) else None
    if isinstance(payload, str):
        return {"message": payload}
    return payload if isinstance(payload, dict) else None


def _message(payload: JsonObject, status: int) -> str:
    message = _text(payload.get("message")) or f"Upstream returned {status}"
    return _SECRET.sub("[key]", message[:_MAX_MESSAGE])


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _excerpt(body: bytes) -> str:
    text = body[:20_000].decode("utf-8", "replace")
    text = _TAG.sub(" ", _HIDDEN_HTML.sub(" ", text)).replace("<", " ")
    return _SECRET.sub("[key]", " ".join(text.split())[:_MAX_EXCERPT])
