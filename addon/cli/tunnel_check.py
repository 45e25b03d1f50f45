"""Looks at a tunnel from its outer end: does it lead here, and is the door shut for those without the secret?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

from addon.core.own_http import async_client

TRIES, PAUSE_SECONDS = 10, 2.0
"""A new address takes some seconds until the name and the tunnel behind it are known everywhere."""


@dataclass(frozen=True, slots=True)
class Seen:
    ok: bool
    text: str
    """What was found, and what to do about it."""


async def check_from_outside(
    url: str,
    secret: str,
    *,
    listed: bool = False,
    tries: int = TRIES,
    pause: float = PAUSE_SECONDS,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Seen:
    """`listed`: the user set ALLOWED_IPS, so that this machine itself may be refused."""
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
                problem = f"not reached from this machine ({str(error) or type(error).__name__})"
                continue
            if known.status_code < 500:
                stranger = await client.get(f"{url}/health")
                return _judge(known.status_code, known.text, stranger.status_code, listed)
            problem = (
                f"answers {known.status_code}"  # Cloudflare's 502 and 530: nothing behind it yet
            )
    return Seen(
        False, f"The tunnel was {problem}. It may need a minute more; cloudflared's lines say why."
    )


def _judge(known: int, text: str, stranger: int, listed: bool) -> Seen:
    if stranger == 200:
        return Seen(
            False,
            "DANGER: the tunnel lets everybody in. It adds no header such as X-Forwarded-For, so its requests look "
            "like this machine's own. Stop it, or set REQUIRE_SECRET_LOCALLY=true.",
        )
    if known == 200 and "status" in text:
        return Seen(True, "It leads here, and refuses those without the key.")
    if known == 403 and listed:
        return Seen(True, "It leads here; ALLOWED_IPS lets only the addresses in that it lists.")
    if known == 401:
        return Seen(
            False,
            "Another ccproxy answers there, with another secret. Is an old tunnel still running?",
        )
    return Seen(
        False,
        f"Something else answers there ({known}). Check the tunnel's address and its service.",
    )
