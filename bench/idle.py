"""Memory: the process without work, and what each stream adds that waits for its next event. `python -m bench.idle`"""

from __future__ import annotations

import time

from bench.run import main
from bench.scenario import Claim, Figures, Scenario, sized
from bench.target import Target
from bench.workload import Order, short_request

SETTLE_SECONDS = 1.0


def measure(target: Target, scale: float) -> Figures:
    with target:
        assert target.process
        waste_once(target)
        before = target.process.memory("VmRSS")
        connections = [target.connect() for _ in range(sized(500, scale))]
        body = short_request(target.dialect, Order(deltas=1, hang=True), stream=True)
        for connection in connections:
            answer = connection.start(body)
            while b"0@" not in answer.raw:
                answer.take(connection.socket.recv(1 << 16))
        time.sleep(SETTLE_SECONDS)
        after = target.process.memory("VmRSS")
        for connection in connections:
            connection.close()
        return {"idle_mb": before / 1024, "kib_per_stream": (after - before) / len(connections)}


def waste_once(target: Target) -> None:
    """What the first requests alone need, caches and the like, is not a stream's."""
    for _ in range(20):
        connection = target.connect()
        connection.ask(short_request(target.dialect, Order(deltas=3), stream=True))
        connection.close()
    target.settle()


SCENARIO = Scenario(
    "idle",
    "memory without work, and for each of 500 streams that wait",
    measure,
    claims=(Claim("kib_per_stream", "value", at_most=64),),
    names=("mitmdump", "ccproxy"),
    fresh=True,
)

if __name__ == "__main__":
    main([SCENARIO])
