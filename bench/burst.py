"""One stream as fast as it goes. `python -m bench.burst`"""

from __future__ import annotations

import statistics

from bench.client import check
from bench.run import main
from bench.scenario import Claim, Figures, Scenario, sized
from bench.target import Target
from bench.workload import Order, short_request

RUNS = 3


def measure(target: Target, scale: float) -> Figures:
    order = Order(deltas=sized(20_000, scale))
    body = short_request(target.dialect, order, stream=True)
    connection = target.connect()
    connection.ask(short_request(target.dialect, Order(deltas=500), stream=True))
    began = target.cpu
    answers = [connection.ask(body) for _ in range(RUNS)]
    cpu = target.cpu - began
    connection.close()
    for answer in answers:
        check(answer, target.dialect, order.deltas)
    seconds = statistics.median(answer.seconds for answer in answers)
    return {
        "events_per_s": order.deltas / seconds,
        "cpu_ms_per_1000": cpu / (RUNS * order.deltas) * 1e6,
    }


SCENARIO = Scenario(
    "burst",
    "one stream of 20,000 events, each in an HTTP chunk of its own, as fast as it goes",
    measure,
    claims=(Claim("events_per_s", "ratio", at_least=0.8),),
)

if __name__ == "__main__":
    main([SCENARIO])
