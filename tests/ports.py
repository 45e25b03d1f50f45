"""Ports for servers that other processes start."""

from __future__ import annotations

import random
import socket

BELOW_THE_EPHEMERAL = range(20_000, 32_000)
"""The system takes ports for connections from 32768 (Linux) or 49152 on: one that is free now may be somebody's
connection by the time that a server comes up on it."""


def free_port() -> int:
    """Nobody's now, and hardly anybody's in the next seconds. Raises OSError when there is none.

    Not from the common generator, which hypothesis gives the same seed in each process."""
    for port in random.SystemRandom().sample(BELOW_THE_EPHEMERAL, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")
