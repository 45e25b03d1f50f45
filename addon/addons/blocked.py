"""The last requests that were not let in, and what would have let them."""

from __future__ import annotations

import ipaddress
import time
from collections import deque
from collections.abc import Callable

from addon.core.errors import CCProxyError
from addon.core.settings import Settings
from addon.core.types import JsonObject

BLOCKED_KEPT = 100
NOT_ON_LIST = "ip_not_allowed"
"""Code of the one refusal that a line in `.env` lifts."""


class Blocked:
    """For `GET /security/blocked`, newest first."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.allowed = [str(network) for network in settings.allowed_ips or ()]
        self.clock = clock
        self.entries: deque[JsonObject] = deque(maxlen=BLOCKED_KEPT)

    def note(self, method: str, path: str, address: str | None, error: CCProxyError) -> None:
        """`address`: who called through a tunnel, as the tunnel says; None for this machine."""
        self.entries.appendleft(
            {
                "time": round(self.clock() * 1000),
                "method": method[:16],
                "path": path.partition("?")[0][:200],
                "address": address[:64] if address else None,
                "status": error.status,
                "reason": error.message,
                "allow": self.line_for(address) if error.code == NOT_ON_LIST else None,
            }
        )

    def line_for(self, address: str | None) -> str | None:
        """The `.env` line that would let this address in."""
        try:
            known = str(ipaddress.ip_address(address or ""))
        except ValueError:
            return None
        return f"ALLOWED_IPS={','.join([*self.allowed, known])}"
