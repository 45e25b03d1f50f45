"""Parses the values of settings from text. Each function raises ValueError, which says what is allowed."""

from __future__ import annotations

import ipaddress
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from addon.core.suggestions import did_you_mean

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def text(value: str) -> str:
    return value


def key(value: str) -> str:
    """Goes into a header. A file that a key is read from often ends in a line break, which is no part of it."""
    stripped = value.strip()
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ValueError("use a key without spaces and line breaks")
    return stripped


def command(value: str) -> tuple[str, ...]:
    """A program and its arguments. No shell reads them, but quotes are understood."""
    try:
        words = shlex.split(value, posix=sys.platform != "win32")
    except ValueError as error:
        raise ValueError(f"use a program and its arguments ({error})") from None
    if not words:
        raise ValueError("use a program and its arguments")
    return tuple(words)


def boolean(value: str) -> bool:
    word = value.strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError("use true or false")


def any_value(value: str) -> bool:
    """For NO_COLOR, for which any value means true (no-color.org), except `false`, which mitmproxy's options show."""
    return value.strip().lower() != "false"


def port(value: str) -> int:
    number = int(value) if value.strip().isdigit() else 0
    if not 1 <= number <= 65535:
        raise ValueError("use a port number from 1 to 65535")
    return number


def tokens(value: str) -> int:
    if not value.strip().isdigit() or int(value) < 1:
        raise ValueError("use a whole number of tokens above 0")
    return int(value)


def tokens_or(word: str) -> Callable[[str], Any]:
    def parse(value: str) -> Any:
        if value.strip().lower() == word:
            return word
        try:
            return tokens(value)
        except ValueError:
            raise ValueError(f"use a whole number of tokens above 0, or {word}") from None

    return parse


def seconds(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < 86_400:
        raise ValueError("use a number of seconds above 0")
    return number


def choice(*words: str) -> Callable[[str], Any]:
    def parse(value: str) -> str:
        word = value.strip().lower()
        if word not in words:
            raise ValueError(f"use one of: {', '.join(words)}")
        return word

    return parse


def url(value: str) -> str:
    parts = urlsplit(value.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("use a full URL such as https://api.anthropic.com")
    return value.strip().rstrip("/")


def path(value: str) -> Path:
    return Path(value).expanduser()


def networks(value: str) -> tuple[Network, ...] | None:
    """A comma-separated list of addresses and CIDR ranges; `*` or `disabled` is None: no list."""
    if value.strip().lower() in ("*", "disabled"):
        return None
    try:
        return tuple(
            ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip()
        )
    except ValueError as error:
        raise ValueError(
            f"{error}; use addresses or ranges such as 52.44.113.131,10.0.0.0/8, or *"
        ) from None


def words(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def aliases(value: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in words(value)]
    if not all(name and target for name, _, target in pairs):
        raise ValueError("use name=model pairs such as fast=claude-haiku-5-5,big=claude-opus-5-5")
    return tuple((name.strip().lower(), target.strip()) for name, _, target in pairs)


CHAIN = ("api_key", "wait", "openai:NAME")


def chain(value: str) -> tuple[str, ...]:
    """Steps of FALLBACK_CHAIN. Whether a Claude model is known is for the catalogue to say."""
    steps = words(value)
    for step in steps:
        kind, _, model = step.partition(":")
        if step in ("api_key", "wait") or (kind == "openai" and model) or "claude" in kind:
            continue
        meant = did_you_mean(kind, [known.partition(":")[0] for known in CHAIN])
        raise ValueError(f"{step} is no step; use {', '.join(CHAIN)} or a Claude model.{meant}")
    if not steps or len(set(steps)) < len(steps):
        raise ValueError("name at least one step, and each of them once")
    return steps


def as_text(value: Any) -> str:
    """A setting's value as the text of a variable; "" if it is not set."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case tuple():
            return ",".join("=".join(v) if isinstance(v, tuple) else str(v) for v in value)
        case float():
            return f"{value:g}"
        case _:
            return str(value)
