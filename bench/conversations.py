"""A hundred conversations of 300 messages and about 150,000 tokens, one after the other, each grown by a turn: whether
memory and time grow with what is new only. `python -m bench.conversations`
"""

from __future__ import annotations

from bench.conversation import MESSAGES, ask
from bench.run import main
from bench.scenario import Claim, Figures, Scenario, milliseconds, sized
from bench.target import Target
from bench.workload import Editor

CONVERSATIONS = 100
SEED = 10_000
"""Others than those of `bench.conversation`, whose process is another one anyway."""


def measure(target: Target, scale: float) -> Figures:
    with target:
        assert target.process
        conversations = sized(CONVERSATIONS, scale)
        connection = target.connect()
        memory, times, cpu = [], [], [target.cpu]
        for number in range(conversations):
            editor = Editor(SEED + number)
            editor.grow(MESSAGES)
            times.append(ask(connection, editor).first_content)
            editor.grow(len(editor.turns) + 1)
            ask(connection, editor)
            memory.append(target.process.memory("VmRSS") / 1024)
            cpu.append(target.cpu)
        connection.close()
        tenth = max(1, conversations // 10)
        return {
            "first_mb": memory[0],
            "half_mb": memory[conversations // 2],
            "last_mb": memory[-1],
            "first_ms": milliseconds(times[1 : tenth + 1]),
            "last_ms": milliseconds(times[-tenth:]),
            "first_cpu_ms": (cpu[tenth + 1] - cpu[1]) / tenth * 1000,
            "last_cpu_ms": (cpu[-1] - cpu[-1 - tenth]) / tenth * 1000,
        }


SCENARIO = Scenario(
    "conversations",
    "100 conversations of 150,000 tokens in turn: memory; time and CPU of one in the first and in the last tenth",
    measure,
    claims=(Claim("last_mb", "value", at_most=140),),
    names=("mitmdump", "ccproxy"),
    fresh=True,
)

if __name__ == "__main__":
    main([SCENARIO])
