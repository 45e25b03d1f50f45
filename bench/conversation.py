"""A conversation of 300 messages and about 150,000 tokens as one request, never seen before (cold) and then grown by a
turn (warm). `python -m bench.conversation`
"""

from __future__ import annotations

from itertools import count

from bench.client import Answer, Connection, check
from bench.run import main
from bench.scenario import Claim, Figures, Scenario, milliseconds, sized
from bench.target import Target
from bench.workload import Editor, Order

ORDER = Order(deltas=20)
MESSAGES = 300
_seeds = count(1)
"""Each conversation is another one, in every round and for every target."""


def measure(target: Target, scale: float) -> Figures:
    connection = target.connect()
    conversations = sized(5, scale)
    cold, warm, cpu = [], [], 0.0
    for _ in range(conversations):
        editor = Editor(next(_seeds))
        editor.grow(MESSAGES)
        cold.append(ask(connection, editor))
        warm_up(connection, editor)
        editor.grow(len(editor.turns) + 1)
        began = target.cpu
        warm.append(ask(connection, editor))
        cpu += target.cpu - began
    connection.close()
    return {
        "cold_ms": milliseconds([answer.first_content for answer in cold]),
        "warm_ms": milliseconds([answer.first_content for answer in warm]),
        "warm_cpu_ms": cpu / conversations * 1e3,
    }


def warm_up(connection: Connection, editor: Editor) -> None:
    """Until what is done behind the first answer (counting in a thread) is done."""
    for _ in range(2):
        editor.grow(len(editor.turns) + 1)
        ask(connection, editor)


def ask(connection: Connection, editor: Editor) -> Answer:
    answer = connection.ask(editor.request(connection.dialect, ORDER))
    check(answer, connection.dialect, ORDER.deltas)
    return answer


SCENARIO = Scenario(
    "conversation",
    "300 messages, 150,000 tokens: time to first content, cold and on a later turn",
    measure,
    claims=(Claim("cold_ms", "added", at_most=20), Claim("warm_ms", "added", at_most=8)),
)

if __name__ == "__main__":
    main([SCENARIO])
