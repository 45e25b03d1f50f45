"""A small HTTP server with the real usage objects behind the dashboard's paths, and nothing else of the proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from addon.api.analytics import analytics, breakdown
from addon.api.dashboard_data import DashboardState, budget_json, dashboard_data
from addon.api.dashboard_files import HEADERS, static_file
from addon.core.errors import CCProxyError, NotFound, Unauthorized
from addon.usage.budget import Budget, get_budget, post_budget
from addon.usage.ledger import UsageLedger
from addon.usage.live import LiveHub
from addon.usage.record import RequestRecord, record_json

JSON = "application/json"


class StandIn:
    def __init__(self, ledger: UsageLedger, *, secret: str | None = None) -> None:
        self.ledger = ledger
        self.budget = Budget(ledger)
        self.state = DashboardState()
        self.hub = LiveHub()
        self.secret = secret
        self.silent = False
        """Events are not served, as while the proxy starts again."""
        self.url = ""
        self.clients: set[asyncio.StreamWriter] = set()

    def served(self, record: RequestRecord) -> None:
        """As the proxy does when a request has ended."""
        self.hub.publish("request", record_json(self.ledger.add(record)))

    def change(self, **parts: Any) -> None:
        self.state = replace(self.state, **parts)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._connection, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            self.hub.close()
            server.close()
            for client in list(self.clients):  # Server.close_clients came with Python 3.13
                client.close()
            await server.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split("\r\n")[0].split(" ")
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if target == "/dashboard/events":
                if not self.silent:
                    await self._events(writer)
            else:
                writer.write(self._answer(method, target, headers, body))
                await writer.drain()
        self.clients.discard(writer)
        writer.close()

    async def _events(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
        page = self.hub.subscribe()
        try:
            async for frames in page.frames():
                writer.write(frames)
                await writer.drain()
        finally:
            page.close()

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        try:
            return self._route(method, target, headers, body)
        except CCProxyError as error:
            text = json.dumps({"error": {"message": error.message, "type": error.type}})
            return _response(error.status, JSON, text.encode())

    def _route(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        url = urlsplit(target)
        if file := static_file(url.path):
            return _response(200, *file, dict(HEADERS))
        if (method, url.path) == ("POST", "/dashboard/login"):
            return self._login(json.loads(body)["secret"])
        if self.secret and f"ccproxy={self.secret}" not in headers.get("cookie", ""):
            raise Unauthorized("Sign in first.")
        asked = parse_qs(url.query)
        period, by = (asked.get(name, [None])[0] for name in ("period", "by"))
        if by is not None:
            return _response(200, JSON, json.dumps(breakdown(self.ledger, period, by)).encode())
        return _response(200, JSON, json.dumps(self._json(method, url.path, period, body)).encode())

    def _json(self, method: str, path: str, period: str | None, body: bytes) -> Any:
        match method, path:
            case "GET", "/dashboard/data":
                return dashboard_data(self.ledger, self.budget, period, self.state)
            case "GET", "/analytics":
                return analytics(self.ledger, period, self.state.windows)
            case "GET", "/budget":
                return get_budget(self.budget)
            case "POST", "/budget":
                answer = post_budget(self.budget, json.loads(body))
                self.hub.publish("budget", budget_json(self.budget))
                return answer
        raise NotFound(f"{path}: nothing here")

    def _login(self, secret: str) -> bytes:
        if secret != self.secret:
            raise Unauthorized("That is not the secret.")
        cookie = f"ccproxy={secret}; HttpOnly; SameSite=Strict; Path=/"
        return _response(204, JSON, b"", {"Set-Cookie": cookie})


def _response(status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    lines = {"Content-Type": kind, "Content-Length": len(body), "Connection": "close"} | (
        headers or {}
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} -\r\n{head}\r\n".encode() + body
