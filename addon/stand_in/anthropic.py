"""A fake Anthropic on a real socket: it answers, refuses and breaks as the real one does, and keeps what it received.

In a test (sync or async; it runs in a thread of its own):

    with FakeAnthropic() as fake:
        fake.script([fail(429, headers={"retry-after": "1"})], when="oauth")
        ...                                   # talk to fake.url
        assert fake.requests[0].json["model"] == "claude-opus-4-8"

By itself: `python -m addon.stand_in.anthropic --port 9999`; what it received is at `GET /__fake/log`.
"""

from __future__ import annotations

import argparse
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from addon.stand_in.access import Access, kind_of
from addon.stand_in.api import Api
from addon.stand_in.messages import Messages
from addon.stand_in.models import FakeModel
from addon.stand_in.oauth import OAuth
from addon.stand_in.record import Log, Opened, Received
from addon.stand_in.script import Answer, When
from addon.stand_in.server import Greeting, HttpServer, ServerThread


class FakeAnthropic:
    """`requests`, `connections`, `bytes_in` tell what came; `script` says what to answer.

    `access` and `oauth` hold the credentials, `models` and `rules` what is accepted. `cert` is a (certificate, key)
    pair of PEM files for TLS; `clock` gives the seconds that cache entries and tokens age by.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        cert: tuple[str | Path, str | Path] | None = None,
        clock: Callable[[], float] = time.time,
        verbose: bool = False,
    ) -> None:
        self.log = Log()
        self.access = Access()
        self.api = Api(self.access, self.log, clock, verbose)
        self._scheme = "https" if cert else "http"
        self._server = HttpServer(self.api.answer, self.log, _tls(cert) if cert else None)
        self._thread = ServerThread(self._server, host, port)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.stop()
        if self.log.errors and error is None:
            raise RuntimeError("The fake itself failed") from self.log.errors[0]

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self._server.address[0]}:{self.port}"

    @property
    def port(self) -> int:
        return self._server.address[1]

    @property
    def requests(self) -> list[Received]:
        return self.log.requests

    @property
    def connections(self) -> list[Opened]:
        return self.log.connections

    @property
    def bytes_in(self) -> int:
        """Bytes that came in on all connections."""
        return self.log.bytes_in

    @property
    def oauth_tokens(self) -> set[str]:
        return self.access.oauth_tokens

    @property
    def api_keys(self) -> set[str]:
        return self.access.api_keys

    @property
    def models(self) -> dict[str, FakeModel]:
        """What each model accepts, by id; a test may add or change rows."""
        return self.api.messages.models

    @property
    def oauth(self) -> OAuth:
        return self.api.oauth

    @property
    def rules(self) -> Messages:
        """Switches of the Messages endpoint: `strict`, `long_ttl`; its prompt cache and token counter."""
        return self.api.messages

    def messages(self, kind: str | None = None) -> list[Received]:
        """The requests to /v1/messages, of one credential kind (`oauth`, `api_key`) or all."""
        return [
            request
            for request in self.requests
            if request.path == "/v1/messages" and kind in (None, kind_of(request))
        ]

    def script(self, then: Answer | Sequence[Answer], when: When = None) -> None:
        """Answer matching requests with `then`: one answer stands for ever, a list is used up in order."""
        self.api.script.add(then, when)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 20.0) -> bool:
        """Poll until the condition holds; False when it did not in time."""
        deadline = time.monotonic() + timeout
        while not (held := condition()) and time.monotonic() < deadline:
            time.sleep(0.002)
        return held

    def wait_for_requests(self, count: int, timeout: float = 20.0) -> bool:
        return self.wait_until(lambda: len(self.requests) >= count, timeout)

    def refuse(self) -> None:
        """Refuse further connections (ECONNREFUSED); open ones live on."""
        self._thread.call(self._server.refuse())

    def accept(self) -> None:
        """Accept connections again."""
        self._thread.call(self._server.accept())

    def greet(self, greeting: Greeting) -> None:
        """What new connections get: `serve`, `mute` (accepted, then silence, no TLS handshake), `fin`, `rst`."""
        self._server.greeting = greeting

    def close_idle(self) -> int:
        """Close the idle kept-alive connections; how many there were."""
        # A client has its answer a moment before the connection is idle, so wait for one a little.
        self.wait_until(lambda: bool(self._server.idle), 1.0)
        return self._thread.call(self._server.close_idle())

    def close_idle_after(self, seconds: float | None) -> None:
        """Close kept-alive connections opened from now on after this many idle seconds."""
        self._server.idle_timeout = seconds

    def join(self) -> None:
        """Wait until the fake is stopped."""
        self._thread.join()


def _tls(cert: tuple[str | Path, str | Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*cert)
    context.set_alpn_protocols(["http/1.1"])
    return context


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A stand-in for api.anthropic.com.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9999, help="0 picks a free one")
    parser.add_argument("--cert", help="PEM file, for TLS")
    parser.add_argument("--key", help="PEM file, for TLS")
    parser.add_argument("--verbose", action="store_true", help="one line a request on stdout")
    given = parser.parse_args(arguments)
    fake = FakeAnthropic(
        host=given.host,
        port=given.port,
        cert=(given.cert, given.key) if given.cert else None,
        verbose=given.verbose,
    )
    with fake:
        print(f"Fake Anthropic on {fake.url}", flush=True)
        try:
            fake.join()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
