"""How long until a client reads the first word of a short stream, and what all of it costs.

`python -m bench.first_content`
"""

from __future__ import annotations

from bench.client import check
from bench.run import main
from bench.scenario import Claim, Figures, Scenario, milliseconds, sized
from bench.target import Target
from bench.workload import Order, short_request

ORDER = Order(deltas=12, gap_ms=2, first_ms=5)


def measure(target: Target, scale: float) -> Figures:
    body = short_request(target.dialect, ORDER, stream=True)
    connection = target.connect()
    connection.ask(body)
    began = target.cpu
    answers = [connection.ask(body) for _ in range(sized(100, scale))]
    cpu = target.cpu - began
    connection.close()
    for answer in answers:
        check(answer, target.dialect, ORDER.deltas)
    return {
        "first_content_ms": milliseconds([answer.first_content for answer in answers]),
        "whole_ms": milliseconds([answer.seconds for answer in answers]),
        "cpu_ms": cpu / len(answers) * 1e3,
    }


SCENARIO = Scenario(
    "first_content",
    "time to the first content of a stream of 12 deltas whose first event comes after 5 ms",
    measure,
    claims=(
        Claim("first_content_ms", "ratio", at_most=1.0),
        Claim("cpu_ms", "ratio", at_most=1.0),
    ),
)

if __name__ == "__main__":
    main([SCENARIO])
