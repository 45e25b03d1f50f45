"""Errors that a client can receive: exceptions with an HTTP status and a type.

    CCProxyError              500 api_error
    ├── BadRequest            400 invalid_request_error   (names the field in `param`)
    ├── Unauthorized          401 authentication_error
    ├── BillingError          402 billing_error
    ├── Forbidden             403 permission_error
    ├── NotFound              404 not_found_error
    ├── MethodNotAllowed      405 invalid_request_error   (carries `allow`)
    ├── TooLarge              413 request_too_large
    ├── UnsupportedMedia      415 invalid_request_error
    ├── Misdirected           421 permission_error
    ├── RateLimited           429 rate_limit_error        (may carry `retry_after`)
    ├── BadGateway            502 api_error               (upstream unreachable or unreadable)
    └── GatewayTimeout        504 timeout_error

`type` is Anthropic's name (https://docs.anthropic.com/en/api/errors). `addon/translation/errors.py` renders these
errors in a client's dialect, and turns upstream's errors into them. Any other exception is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping

from addon.core.frozen import frozen


@frozen
class UpstreamError:
    """Upstream's error response, for clients that get it unchanged."""

    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    """Anthropic's JSON; empty if the body was something else."""


class CCProxyError(Exception):
    """An error response. `message` is shown to a person: it says what to do, and never holds a secret."""

    status = 500
    type = "api_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        type: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """`param`: path of the wrong field (`messages[3].content`); `code`: the cause, for programs; `retry_after`:
        seconds; `status` and `type` override those of the class (for errors relayed from upstream)."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after
        self.upstream: UpstreamError | None = None
        """What upstream said, where this error is its own."""
        if status is not None:
            self.status = status
        if type is not None:
            self.type = type


class BadRequest(CCProxyError):
    status, type = 400, "invalid_request_error"


class Unauthorized(CCProxyError):
    status, type = 401, "authentication_error"


class BillingError(CCProxyError):
    status, type = 402, "billing_error"


class Forbidden(CCProxyError):
    status, type = 403, "permission_error"


class NotFound(CCProxyError):
    status, type = 404, "not_found_error"


class MethodNotAllowed(CCProxyError):
    status, type = 405, "invalid_request_error"

    def __init__(self, message: str, *, allow: str) -> None:
        """`allow`: the methods, as the header of that name lists them (RFC 9110 15.5.6)."""
        super().__init__(message, code="method_not_allowed")
        self.allow = allow


class TooLarge(CCProxyError):
    status, type = 413, "request_too_large"


class UnsupportedMedia(CCProxyError):
    status, type = 415, "invalid_request_error"


class Misdirected(CCProxyError):
    status, type = 421, "permission_error"


class RateLimited(CCProxyError):
    status, type = 429, "rate_limit_error"


class BadGateway(CCProxyError):
    status, type = 502, "api_error"


class GatewayTimeout(CCProxyError):
    status, type = 504, "timeout_error"
