"""Ports for servers that other processes start."""

from __future__ import annotations

import itertools
import os
import socket

PROCESSES = 120
"""With process ids that follow each other, so many have ports of their own."""
BELOW_THE_EPHEMERAL = range(20_000 + os.getpid() % PROCESSES, 32_000, PROCESSES)
"""The system takes ports for connections from 32768 (Linux) or 49152 on: one that is free now may be somebody's
connection by the time that a server comes up on it."""
IN_TURN = itertools.cycle(BELOW_THE_EPHEMERAL)


def free_port() -> int:
    """Nobody's now, and nobody's until the server is up: two that chose the same would both find the first of their
    servers there, and believe that it is their own. Raises OSError when there is none."""
    for port in itertools.islice(IN_TURN, len(BELOW_THE_EPHEMERAL)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")
