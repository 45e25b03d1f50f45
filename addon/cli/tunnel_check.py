"""Checks a tunnel from outside: whether it leads here, and whether it rejects requests without the secret."""

from __future__ import annotations

import asyncio

import httpx

from addon.core.frozen import frozen
from addon.core.own_http import async_client

TRIES, PAUSE_SECONDS = 10, 2.0
"""A new address takes some seconds until its name resolves everywhere."""


@frozen
class Seen:
    ok: bool
    text: str
    """The finding, and what to do about it."""


async def check_from_outside(
    url: str,
    secret: str,
    *,
    listed: bool = False,
    tries: int = TRIES,
    pause: float = PAUSE_SECONDS,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Seen:
    """`listed`: the user set ALLOWED_IPS, so this machine itself may be rejected."""
    problem = ""
    async with async_client(timeout=10, transport=transport) as client:
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(pause)
            try:
                known = await client.get(
                    f"{url}/health", headers={"authorization": f"Bearer {secret}"}
                )
            except httpx.HTTPError as error:
                problem = f"not reachable from this machine ({str(error) or type(error).__name__})"
                continue
            if known.status_code < 500:
                stranger = await client.get(f"{url}/health")
                return _judge(known.status_code, known.text, stranger.status_code, listed)
            # Cloudflare's 502 and 530: nothing behind it yet
            problem = f"returning {known.status_code}"
    return Seen(
        False,
        f"The tunnel was {problem}. It may need another minute; cloudflared's output says why.",
    )


def _judge(known: int, text: str, stranger: int, listed: bool) -> Seen:
    if stranger == 200:
        return Seen(
            False,
            "DANGER: the tunnel lets everyone in. It adds no header such as X-Forwarded-For, so its requests look "
            "like this machine's own. Stop it, or set REQUIRE_SECRET_LOCALLY=true.",
        )
    if known == 200 and "status" in text:
        return Seen(True, "It leads here, and rejects requests without the key.")
    if known == 403 and listed:
        return Seen(True, "It leads here; ALLOWED_IPS admits only the addresses that it lists.")
    if known == 401:
        return Seen(
            False,
            "Another ccproxy responds there, with another secret. Is an old tunnel still running?",
        )
    return Seen(
        False,
        f"Another program responds there ({known}). Check the tunnel's address and its service.",
    )
