"""Whatever bytes come from outside, each reader gives a value or its own error: of HTTP heads, events, errors of upstream,
logins, `.env` and state files. `--all` tries five times as many.

The worst that we could think of, and what was found, is kept as `@example`s.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy import http

from addon.core import environment
from addon.core.errors import CCProxyError
from addon.core.files import read_json
from addon.core.settings import Settings, SettingsError
from addon.credentials.credential import CredentialError
from addon.credentials.store import FileStore, LoginStores
from addon.exchange.access import Visitor, judge
from addon.exchange.answer import BufferedAnswer, StreamedAnswer
from addon.exchange.http_messages import lowered, without_unknown_values
from addon.exchange.routes import find
from addon.translation.errors import from_upstream
from addon.translation.from_anthropic.by_dialect import renderer_for
from addon.translation.types import Reply
from addon.usage.snapshot_format import Unreadable, decode
from tests.credentials.samples import NOW, document
from tests.translation.upstream import message, stream_of, text

SETTINGS = Settings.from_env({"PROXY_SECRET_KEY": "hush-hush-hush-hush-hush"})
NAMES = [b"host", b"origin", b"cookie", b"authorization", b"cf-connecting-ip", b"content-length"]
DEEP = b"[" * 100_000
LONG = b"9" * 5_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(
    st.text(st.characters(max_codepoint=255), max_size=40),
    st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=40))),
)
@example("/", [(b"host", b"["), (b"origin", b"http://[")])
@example("/", [(b"cf-connecting-ip", b"1::%\xff"), (b"host", b"a.trycloudflare.com")])
@example("/models/%ff%", [(b"authorization", b"bearer"), (b"content-length", LONG)])
def test_heads(path: str, fields: list[tuple[bytes, bytes]]) -> None:
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        visitor = Visitor(
            peer="127.0.0.1",
            method=method,
            path=path,
            authority="",
            headers=lowered(http.Headers(fields)),
        )
        found = judge(visitor, find(method, path), SETTINGS)
        assert found is None or isinstance(found, CCProxyError)
    assert isinstance(without_unknown_values(path), str)


WHOLE = stream_of(message(text("hello there")))


@given(
    st.binary(max_size=60),
    st.integers(0, len(WHOLE)),
    st.sampled_from(["chat", "messages", "responses"]),
)
@example(b"data: " + DEEP + b"\n\n", 0, "chat")
@example(
    b'data: {"type":"message_start","message":{"usage":{"input_tokens":1e999}}}\n\n', 0, "messages"
)
@example(b'event: error\ndata: {"type":"error","error":7}\n\n', 300, "responses")
@example(b"data: " + LONG + b"\n\n", 300, "chat")
def test_events(junk: bytes, at: int, dialect: Any) -> None:
    for made in (StreamedAnswer, BufferedAnswer):
        renderer = renderer_for(dialect, Reply(model="m"), 0)
        answer = made(renderer) if made is StreamedAnswer else made(renderer, json_of)
        answer.feed(WHOLE[:at] + junk)
        answer.feed(WHOLE[at:])
        answer.close()
        assert answer.complete or isinstance(answer.error, CCProxyError)


def json_of(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(st.integers(400, 599), st.binary(max_size=80), st.text(max_size=20))
@example(429, b'{"error":{"message":' + LONG + b"}}", "nan")
@example(500, DEEP, "1e999")
@example(500, b'{"error":{"type":[],"message":{}}}', "Fri, 31 Dec 9999 23:59:59 GMT")
def test_errors_of_upstream(status: int, body: bytes, retry_after: str) -> None:
    error = from_upstream(status, body, {"retry-after": retry_after}, NOW)
    assert isinstance(error, CCProxyError) and error.message


def in_file(data: bytes, read: Callable[[Path], object], *allowed: type[Exception]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(*allowed):
        path = Path(folder) / "file"
        path.write_bytes(data)
        path.chmod(0o600)
        read(path)


@given(st.binary(max_size=60) | json_values.map(json_of))
@example(DEEP)
@example(b'{"claudeAiOauth":{"accessToken":"a\\r\\nb","expiresAt":1e999}}')
@example(b'{"claudeAiOauth":{"accessToken":"a","refreshToken":7,"expiresAt":' + LONG + b"}}")
def test_logins(data: bytes) -> None:
    in_file(
        data, lambda path: LoginStores([FileStore(path, pause=print)]).read(NOW), CredentialError
    )


@given(st.sampled_from(["accessToken", "refreshToken", "expiresAt", "scopes"]), json_values)
def test_fields_of_a_login(name: str, value: Any) -> None:
    login = document("access", "refresh", NOW + 60)
    login["claudeAiOauth"][name] = value
    data = json_of(login)
    in_file(
        data, lambda path: LoginStores([FileStore(path, pause=print)]).read(NOW), CredentialError
    )


@given(st.binary(max_size=60) | json_values.map(json_of))
@example(DEEP)
@example(b'{"version":1e999}')
@example(b"\xff\xfe")
def test_state_files(data: bytes) -> None:
    in_file(data, read_json)
    with contextlib.suppress(Unreadable):
        decode(data)


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("env") / ".env"


VARIABLES = ["PORT", "ALLOWED_IPS", "KEEPALIVE_SECONDS", "MODEL_ALIASES", "TUNNEL_URL", "FALLBACK"]


@given(
    st.binary(max_size=40)
    | st.tuples(st.sampled_from(VARIABLES), st.text(max_size=20)).map(
        lambda p: f"{p[0]}={p[1]}".encode("utf-8", "replace")
    )
)
@example(b"PORT=" + LONG)
@example(b"KEEPALIVE_SECONDS=nan")
@example(b"\xff=1")
@example(b"ALLOWED_IPS=1.2.3.4/" + LONG)
def test_env_files(env_file: Path, data: bytes) -> None:
    env_file.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SettingsError):
        patch.setattr(environment, "env_file", lambda: env_file)
        Settings.from_env(environment.from_env_file())
