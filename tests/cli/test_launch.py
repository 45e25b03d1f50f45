"""The command line of the proxy, and what is said when its port is taken."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from addon.cli.launch import (
    command,
    ensure_secret,
    given_settings,
    launch,
    port_taken,
    web_port_taken,
    who_listens,
    with_port_as_setting,
)
from addon.core.secret import secret_file, stored_secret
from addon.core.settings import Settings
from tests.ports import free_port


def line(*arguments: str, program: str = "mitmdump", **env: str) -> list[str]:
    return command(program, Settings.from_env({"PORT": str(free_port()), **env}), list(arguments))


@contextmanager
def web_server(*headers: tuple[str, str]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in (("content-length", "0"), *headers):
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_the_proxy_listens_on_this_machine_only() -> None:
    modes = [a for a in line(PORT="4711") if a.startswith("reverse:")]
    assert modes[0] == "reverse:https://api.anthropic.com@127.0.0.1:4711"
    assert modes[1:] in ([], ["reverse:https://api.anthropic.com@::1:4711"])


@pytest.mark.parametrize("given", [("--mode", "x"), ("-m", "x"), ("--mode=x",)], ids=" ".join)
def test_a_mode_of_the_users_own_is_left_alone(given: tuple[str, ...]) -> None:
    assert [a for a in line(*given) if a.startswith("reverse:")] == []


def test_mitmproxys_errors_name_the_start_script() -> None:
    ended = subprocess.run(line("--zzz"), capture_output=True, text=True, check=False)
    assert ended.stderr.endswith("start.sh: error: unrecognized arguments: --zzz\n")


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
def test_mitmproxys_quiet_quiets_the_proxy_too(flag: str) -> None:
    assert "ccproxy_quiet=true" in line(flag)
    assert "ccproxy_quiet=true" not in line()


def test_mitmweb_keeps_streams_to_look_at() -> None:
    assert "store_streamed_bodies=true" in line(program="mitmweb")


@pytest.mark.parametrize("given", [("--set", "store_streamed_bodies=false"), ("--set=store_streamed_bodies=false",)], ids=" ".join)  # fmt: skip
def test_what_the_user_sets_is_not_set_twice(given: tuple[str, ...]) -> None:
    assert "store_streamed_bodies=true" not in line(*given, program="mitmweb")
    assert "connection_strategy=lazy" in line(*given, program="mitmweb")


@pytest.mark.parametrize(
    "given", [("-p", "9000"), ("-p9000",), ("--listen-port", "9000"), ("--listen-port=9000",)], ids=" ".join
)  # fmt: skip
def test_mitmproxys_port_is_ours(given: tuple[str, ...]) -> None:
    assert with_port_as_setting([*given, "-q"]) == ["--set", "ccproxy_port=9000", "-q"]
    assert with_port_as_setting(["--proxyauth", "x"]) == ["--proxyauth", "x"]


def test_settings_given_as_options_are_read_before_mitmproxy_starts() -> None:
    given = ["--set", "ccproxy_port=9000", "--set=ccproxy_context_strategy=trim", "--set", "a=b"]
    assert given_settings(given) == {"PORT": "9000", "CONTEXT_STRATEGY": "trim"}


def test_no_secret_is_in_the_command_line() -> None:
    env = {
        "PROXY_SECRET_KEY": "canary-1",
        "ANTHROPIC_API_KEY": "canary-2",
        "OPENAI_API_KEY": "canary-3",
    }
    assert "canary" not in " ".join(line(**env))


def test_a_free_port_is_nobodys() -> None:
    port = free_port()
    assert (who_listens(port), port_taken(port)) == ("nobody", None)


@pytest.mark.parametrize(
    ("headers", "owner", "said"),
    [
        ([("x-ccproxy-source", "local")], "ccproxy", "ccproxy is already running"),
        ([], "another program", "in use by another program"),
    ],
    ids=["a-ccproxy", "a-web-server"],
)
def test_a_taken_port_is_told_by_whom(
    headers: list[tuple[str, str]], owner: str, said: str
) -> None:
    with web_server(*headers) as port:
        assert who_listens(port) == owner
        assert said in (port_taken(port) or "")


@pytest.mark.parametrize(
    "given", [("--web-port", "PORT"), ("--web-port=PORT",), ("--set", "web_port=PORT"), ("--set=web_port=PORT",)],
    ids=" ".join,
)  # fmt: skip
def test_a_taken_port_of_mitmwebs_page_is_one_line(given: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = [word.replace("PORT", str(port)) for word in given]
        told = web_port_taken(arguments)
    assert told is not None and f"Port {port}, where mitmweb shows its page" in told
    assert f"--web-port {port + 1}" in told
    assert web_port_taken(arguments) is None


def test_a_listener_that_speaks_no_http_is_another_program() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        assert who_listens(server.getsockname()[1]) == "another program"


def test_another_program_at_the_other_localhost_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []
    monkeypatch.setattr(os, "execv", lambda file, arguments: started.extend(arguments))
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        launch("mitmdump", Settings.from_env({"PORT": str(port)}), [])
    assert f"http://127.0.0.1:{port}" in capsys.readouterr().err
    assert "--mode" in started and not any("::1" in word for word in started)


def test_a_start_keeps_a_secret(tmp_path: Path) -> None:
    ensure_secret(Settings.from_env({"CCPROXY_HOME": str(tmp_path)}))
    assert stored_secret(tmp_path)


def test_a_secret_of_the_users_own_is_not_written_down(tmp_path: Path) -> None:
    ensure_secret(Settings.from_env({"CCPROXY_HOME": str(tmp_path), "PROXY_SECRET_KEY": "mine"}))
    assert not secret_file(tmp_path).exists()


def test_a_home_that_cannot_be_written_is_said_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    ensure_secret(Settings.from_env({"CCPROXY_HOME": str(tmp_path / "file")}))
    assert "CCPROXY_HOME" in capsys.readouterr().err
