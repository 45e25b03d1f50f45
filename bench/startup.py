"""From the start of the process to its first answered request. `python -m bench.startup`"""

from __future__ import annotations

import time

from bench.client import check
from bench.run import main
from bench.scenario import Claim, Figures, Scenario
from bench.target import Target
from bench.workload import Order, short_request

ORDER = Order(deltas=3)


def measure(target: Target, _scale: float) -> Figures:
    began = time.monotonic()
    with target:
        connection = target.connect()
        answer = connection.ask(short_request(target.dialect, ORDER, stream=True))
        seconds, cpu = time.monotonic() - began, target.cpu
        connection.close()
    check(answer, target.dialect, ORDER.deltas)
    return {"start_ms": seconds * 1e3, "start_cpu_ms": cpu * 1e3}


SCENARIO = Scenario(
    "startup",
    "from the start of the process to the first answered request",
    measure,
    claims=(Claim("start_ms", "ratio", at_most=1.5),),
    names=("mitmdump", "ccproxy"),
    fresh=True,
)

if __name__ == "__main__":
    main([SCENARIO])
