"""The real proxy in front of a stand-in for Anthropic, with a minute of example traffic: `./start.sh demo`.

No account, no internet, no cost. Stays open until Ctrl+C.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NoReturn

from argon2 import PasswordHasher  # mitmproxy's own, for its web_password

from addon.cli.demo_check import check, say
from addon.cli.demo_traffic import LIMIT_TOKENS, Traffic
from addon.cli.own_proxy import DidNotStart, free_port, made_up, own_proxy
from addon.stand_in.anthropic import FakeAnthropic

ABOUT = """\
DEMO. Anthropic is a stand-in on this machine: what "Claude" says is invented, and so are the figures.
No account, no internet, no cost.
"""
LINKS = """
  Dashboard   {url}/dashboard
  mitmweb     {mitmweb}
  Try it      curl {url}/v1/chat/completions -H "Content-Type: application/json" \\
                -d '{{"model": "claude-opus-5-5", "messages": [{{"role": "user", "content": "Hello"}}]}}'
  Ctrl+C ends the demo.
"""


def main(arguments: Sequence[str]) -> int:
    if "--check" in arguments:
        return check()
    say(ABOUT)
    try:
        show()
    except DidNotStart as error:
        sys.stderr.write(f"The proxy does not start: {error}\n")
        return 1
    except KeyboardInterrupt:
        say("\nThe demo has ended.")
    return 0


def show() -> NoReturn:
    token, web_port = secrets.token_urlsafe(12), free_port()
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(token)
    with contextlib.ExitStack() as stack:
        fake = stack.enter_context(FakeAnthropic())
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="ccproxy-demo-"))
        env = made_up(home, fake.url) | {
            "EXPLAIN": "true",
            "CONTEXT_MAX_TOKENS": str(LIMIT_TOKENS),
            "CONTEXT_TARGET_TOKENS": "15000",
        }
        web = ["web", "--set", f"web_port={web_port}", "--set", f"web_password={hashed}"]
        url = stack.enter_context(own_proxy(env, None, web))
        links = LINKS.format(url=url, mitmweb=f"http://127.0.0.1:{web_port}/?token={token}")
        say(links)
        time.sleep(2)
        with Traffic(fake, url, say=lambda text: say(f"\n▸ {text}")) as traffic:
            traffic.run()
        say(f"\nThat was the example traffic. The proxy goes on:\n{links}")
        while True:
            time.sleep(3600)
