"""The soak's verdict: what it must not pass, and what it must."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addon.stand_in.anthropic import FakeAnthropic
from bench.soak_judge import Evidence, Sample, judge
from bench.soak_load import Result
from tests.e2e.proxy import Proxy, message

REST = Sample(at=0, rss=150_000, descriptors=10, tasks=5, requests=0, threads=5)
WHOLE = Result("soak-000001", "messages", stream=True, end="whole", begun=True, sent=True)


def samples(*, leak: int = 0, waited: float = 0.0) -> list[Sample]:
    """Ten minutes; `leak`: KiB in five seconds; `waited`: seconds for each of CPU."""
    return [
        replace(REST, at=5.0 * n, rss=150_000 + leak * n, ran=(n, n), waited=(waited * n, 0.0))
        for n in range(120)
    ]


@pytest.fixture(scope="module")
def sound() -> Evidence:
    with FakeAnthropic() as fake, Proxy(fake.url) as proxy:
        fake.log.keep_answers = True
        assert proxy.post("/v1/messages", message(WHOLE.name)).status_code == 200
        told = proxy.get("/analytics/requests").json()
        upstream = fake.messages()
        assert not proxy.stop()
        return Evidence(
            results=[WHOLE],
            records=told["requests"],
            upstream=upstream,
            first=REST,
            last=REST,
            log=proxy.output,
            reused_tokens=0,
            samples=samples(),
        )


def test_nothing_is_wrong_with_a_sound_run(sound: Evidence) -> None:
    assert list(judge(sound)) == []


def test_faults_are_told(sound: Evidence) -> None:
    (record,) = sound.records
    miscounted = {**record, "outputTokens": record["outputTokens"] + 1}
    faults = {
        "memory grew": replace(sound, samples=samples(leak=300)),
        "took": replace(sound, results=[replace(WHOLE, seconds=100.0)]),
        "of silence": replace(sound, results=[replace(WHOLE, gap=5.0)]),
        "ended wrongly": replace(sound, results=[replace(WHOLE, end="wrong")]),
        "and 0 records": replace(sound, records=[]),
        "counted": replace(sound, records=[miscounted]),
        "was not asked": replace(sound, upstream=[]),
        "threads": replace(sound, last=replace(REST, threads=11)),
        "requests": replace(sound, last=replace(REST, requests=6)),
        "Traceback": replace(sound, log="Traceback (most recent call last):"),
        "did not end": replace(sound, ended="the proxy did not end within 40 s"),
        "ReadTimeout": replace(sound, failed_looks=["/analytics/requests: ReadTimeout('')"]),
    }
    untold = [
        expected
        for expected, evidence in faults.items()
        if not any(expected in problem for problem in judge(evidence))
    ]
    assert untold == []


def test_a_busy_machine_makes_late_what_is_not_wrong(sound: Evidence) -> None:
    late = replace(sound, results=[replace(WHOLE, gap=9.0, seconds=200.0)])
    assert list(judge(replace(late, samples=samples(waited=2.0)))) == []
    hanging = replace(sound, results=[replace(WHOLE, seconds=600.0)], samples=samples(waited=2.0))
    assert list(judge(hanging))
