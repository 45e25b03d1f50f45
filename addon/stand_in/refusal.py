"""An error answer of the API, as an exception."""

from __future__ import annotations


class Refusal(Exception):
    def __init__(
        self, status: int, message: str, *, type: str | None = None, error_code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.type, self.error_code = status, message, type, error_code


def invalid(message: str, at: str = "") -> Refusal:
    """A 400; `at` is the path of the field, which the API puts before the text."""
    return Refusal(400, f"{at}: {message}" if at else message)
