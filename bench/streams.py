"""Many streams at once, 20 ms an event: how late each event is, and what a thousand of them cost.

`python -m bench.streams`
"""

from __future__ import annotations

from functools import partial

from bench.client import ask_all, check
from bench.run import main
from bench.scenario import Claim, Figures, Scenario, milliseconds, sized
from bench.target import Target
from bench.workload import Order, short_request


def measure(count: int, target: Target, scale: float) -> Figures:
    order = Order(deltas=sized(200, scale), gap_ms=20, stamped=True)
    connections = [target.connect() for _ in range(count)]
    warm = [short_request(target.dialect, Order(deltas=3), stream=True)] * count
    ask_all(connections, warm)
    if target.process:
        target.process.forget_peak()
    began = target.cpu
    body = short_request(target.dialect, order, stream=True)
    answers = ask_all(connections, [body] * count, spread=0.01)
    cpu = target.cpu - began
    for connection in connections:
        connection.close()
    for answer in answers:
        check(answer, target.dialect, order.deltas)
    delays = [delay for answer in answers for delay in answer.delays()]
    return {
        "delay_p50_ms": milliseconds(delays),
        "delay_p99_ms": milliseconds(delays, 99),
        "cpu_ms_per_1000": cpu / len(delays) * 1e6,
        "peak_mb": target.process.memory("VmHWM") / 1024 if target.process else 0.0,
    }


COST = Claim("cpu_ms_per_1000", "ratio", at_most=1.2)
LATE = Claim("delay_p99_ms", "ratio", at_most=1.2)
SCENARIOS = [
    Scenario(
        f"streams_{count}",
        f"{count} streams at once, an event every 20 ms in each",
        partial(measure, count),
        claims=(COST, LATE) if count == 50 else (COST,),
    )
    for count in (1, 10, 50, 100)
]

if __name__ == "__main__":
    main(SCENARIOS)
