"""Tiny requests, one after the other: what a proxy costs on each, however little is asked.

`python -m bench.tiny`
"""

from __future__ import annotations

from bench.client import Answer, check
from bench.run import main
from bench.scenario import Claim, Figures, Scenario, milliseconds, sized
from bench.target import Target
from bench.workload import Dialect, Order, short_request

ORDER = Order(deltas=3)


def measure(target: Target, scale: float) -> Figures:
    kept, kept_cpu = over_one_connection(target, sized(300, scale))
    new, new_cpu = over_new_connections(target, sized(100, scale))
    return {
        "kept_ms": milliseconds([answer.seconds for answer in kept]),
        "kept_cpu_ms": kept_cpu / len(kept) * 1e3,
        "new_ms": milliseconds([answer.seconds for answer in new]),
        "new_cpu_ms": new_cpu / len(new) * 1e3,
    }


def measure_native(target: Target, scale: float) -> Figures:
    """Anthropic's dialect, of ccproxy as well: as most clients of it ask, for a stream, and for one body."""
    count = sized(300, scale)
    streams, streams_cpu = over_one_connection(target, count, "messages", stream=True)
    bodies, bodies_cpu = over_one_connection(target, count, "messages")
    return {
        "stream_ms": milliseconds([answer.seconds for answer in streams]),
        "stream_cpu_ms": streams_cpu / len(streams) * 1e3,
        "body_ms": milliseconds([answer.seconds for answer in bodies]),
        "body_cpu_ms": bodies_cpu / len(bodies) * 1e3,
    }


def over_one_connection(
    target: Target, requests: int, dialect: Dialect | None = None, *, stream: bool = False
) -> tuple[list[Answer], float]:
    """`dialect`: the target's by default."""
    dialect = dialect or target.dialect
    body = short_request(dialect, ORDER, stream=stream)
    connection = target.connect(dialect)
    connection.ask(body)  # connects upstream
    began = target.cpu
    answers = [connection.ask(body) for _ in range(requests)]
    cpu = target.cpu - began
    connection.close()
    for answer in answers:
        check(answer, dialect, ORDER.deltas)
    return answers, cpu


def over_new_connections(target: Target, requests: int) -> tuple[list[Answer], float]:
    body = short_request(target.dialect, ORDER, stream=False)
    began, answers = target.cpu, []
    for _ in range(requests):
        connection = target.connect()
        answers.append(connection.ask(body))
        connection.close()
    cpu = target.cpu - began
    for answer in answers:
        check(answer, target.dialect, ORDER.deltas)
    return answers, cpu


SCENARIO = Scenario(
    "tiny",
    "tiny requests one after the other, over a kept connection and over new ones",
    measure,
    claims=(Claim("kept_cpu_ms", "ratio", at_most=1.0), Claim("new_cpu_ms", "ratio", at_most=1.0)),
)
NATIVE = Scenario(
    "native",
    "tiny requests in Anthropic's dialect, which are passed on, over a kept connection",
    measure_native,
    claims=(
        Claim("stream_cpu_ms", "ratio", at_most=0.85),
        Claim("body_cpu_ms", "ratio", at_most=0.85),
    ),
)

if __name__ == "__main__":
    main([SCENARIO, NATIVE])
