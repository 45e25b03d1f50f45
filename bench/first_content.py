"""How long until a client reads the first word of a stream. `python -m bench.first_content`"""

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
    answers = [connection.ask(body) for _ in range(sized(100, scale))]
    connection.close()
    for answer in answers:
        check(answer, target.dialect, ORDER.deltas)
    return {
        "first_content_ms": milliseconds([answer.first_content for answer in answers]),
        "whole_ms": milliseconds([answer.seconds for answer in answers]),
    }


SCENARIO = Scenario(
    "first_content",
    "time to the first content of a stream whose first event comes after 5 ms",
    measure,
    claims=(Claim("first_content_ms", "ratio", at_most=1.0),),
)

if __name__ == "__main__":
    main([SCENARIO])
