"""The budget: its settings, its limits, and calls in parallel."""

from __future__ import annotations

import asyncio

import pytest

from addon.core.errors import BadRequest, Forbidden, RateLimited
from addon.core.settings import Settings
from addon.usage.budget import Budget, BudgetSettings, PaidCalls, get_budget, post_budget
from addon.usage.ledger import UsageLedger
from addon.usage.record import picodollars
from tests.claude.support import CATALOGUE
from tests.clock import NOW, Clock
from tests.usage.records import record, seeded

OPEN = {
    "hourlyLimit": None,
    "dailyLimit": None,
    "weeklyLimit": None,
    "monthlyLimit": None,
    "enabled": False,
}


def budget_with(ledger: UsageLedger | None = None, **limits: float) -> Budget:
    return Budget(ledger or UsageLedger(Clock()), BudgetSettings(enabled=True, **limits))


def test_at_first_nothing_is_limited() -> None:
    budget = Budget(UsageLedger(Clock()))
    assert [*get_budget(budget).items()] == [*OPEN.items()]
    budget.reserve(picodollars(1e6))


def test_a_post_changes_what_it_names_and_null_clears() -> None:
    budget = Budget(UsageLedger(Clock()))
    body = post_budget(budget, {"hourlyLimit": 1.5, "dailyLimit": 0, "enabled": True})
    settings = OPEN | {"hourlyLimit": 1.5, "dailyLimit": 0, "enabled": True}
    assert body == {"success": True, "settings": settings}
    post_budget(budget, {"hourlyLimit": None})
    assert get_budget(budget) == settings | {"hourlyLimit": None}


BAD = [
    pytest.param({"hourlyLimit": "5"}, "hourlyLimit", id="text-is-no-number"),
    pytest.param({"dailyLimit": -0.01}, "dailyLimit", id="negative"),
    pytest.param({"weeklyLimit": float("nan")}, "weeklyLimit", id="nan"),
    pytest.param({"monthlyLimit": float("inf")}, "monthlyLimit", id="infinite"),
    pytest.param({"monthlyLimit": 10**400}, "monthlyLimit", id="beyond-any-float"),
    pytest.param({"monthlyLimit": True}, "monthlyLimit", id="true-is-no-number"),
    pytest.param({"dailyLimit": [5]}, "dailyLimit", id="a-list-is-no-number"),
    pytest.param({"enabled": 1}, "enabled", id="one-is-no-boolean"),
    pytest.param({"enabled": None}, "enabled", id="null-is-no-boolean"),
    pytest.param({"hourly": 5}, "hourly", id="unknown-field"),
    pytest.param([], None, id="a-list-is-no-budget"),
    pytest.param(None, None, id="null-is-no-budget"),
]


@pytest.mark.parametrize(("body", "param"), BAD)
def test_a_bad_post_names_the_field_and_changes_nothing(body: object, param: str | None) -> None:
    budget = budget_with(daily=3)
    if isinstance(body, dict):
        body = {"weeklyLimit": 9} | body
    with pytest.raises(BadRequest, match=param or "JSON object") as caught:
        post_budget(budget, body)
    assert caught.value.param == param
    assert budget.settings == BudgetSettings(enabled=True, daily=3)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"hourly": 1}, "Hourly budget exceeded: $1.23 / $1.00"),
        ({"daily": 1.23}, "Daily budget exceeded: $1.23 / $1.23"),
        ({"weekly": 0}, "Weekly budget exceeded: $1.23 / $0.00"),
        ({"monthly": 1, "weekly": 5}, "Monthly budget exceeded: $1.23 / $1.00"),
        (
            {"monthly": 1, "weekly": 1, "daily": 1, "hourly": 1},
            "Hourly budget exceeded: $1.23 / $1.00",
        ),
    ],
    ids=str,
)
def test_a_limit_that_is_reached_is_told_as_in_the_readme(
    limits: dict[str, float], message: str
) -> None:
    ledger = UsageLedger(Clock())
    ledger.add(record(dollars=1.234))
    ledger.add(record("claude_code", dollars=100))
    if limits == {"daily": 1.23}:
        ledger.reset()
        ledger.add(record(dollars=1.23))
    with pytest.raises(RateLimited) as caught:
        budget_with(ledger, **limits).reserve(0)
    assert str(caught.value) == message
    assert (caught.value.status, caught.value.type) == (429, "rate_limit_error")


def test_zero_allows_nothing_and_disabled_allows_all() -> None:
    budget = budget_with(hourly=0)
    with pytest.raises(RateLimited, match=r"\$0\.00 / \$0\.00"):
        budget.reserve(0)
    post_budget(budget, {"enabled": False})
    budget.reserve(picodollars(5))


def test_a_call_that_does_not_fit_beside_running_ones_is_refused_with_its_reason() -> None:
    ledger = UsageLedger(Clock())
    ledger.add(record(dollars=0.5))
    budget = budget_with(ledger, hourly=1)
    budget.reserve(picodollars(0.2))
    with pytest.raises(RateLimited) as caught:
        budget.reserve(picodollars(0.4))
    assert str(caught.value) == (
        "Hourly budget exceeded: $1.10 / $1.00 ($0.50 spent, $0.60 for this and running requests)"
    )
    budget.reserve(picodollars(0.3))


def test_a_call_on_its_own_may_begin_below_the_limit() -> None:
    ledger = UsageLedger(Clock())
    budget = budget_with(ledger, hourly=1)
    budget.release(budget.reserve(picodollars(1.6)))
    ledger.add(record(dollars=1))
    with pytest.raises(RateLimited):
        budget.reserve(1)


def test_a_released_reservation_is_free_again_once() -> None:
    budget = budget_with(hourly=1)
    first, second = budget.reserve(picodollars(0.6)), budget.reserve(picodollars(0.4))
    budget.release(first)
    budget.release(first)
    budget.reserve(picodollars(0.6))
    with pytest.raises(RateLimited):
        budget.reserve(1)
    budget.release(second)
    budget.reserve(1)


async def turns(count: int) -> None:
    """Let others run so many times; by the clock, a slow machine would let all of them reserve at once."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_parallel_calls_never_overshoot() -> None:
    rng = seeded(11)
    ledger = UsageLedger(Clock())
    budget = budget_with(ledger, daily=1)

    async def served() -> bool:
        await turns(rng.randrange(100))
        estimate = rng.randrange(picodollars(0.05))
        try:
            reservation = budget.reserve(estimate)
        except RateLimited:
            return False
        await turns(rng.randrange(100))
        ledger.add(record(cost=rng.randrange(estimate + 1)))
        budget.release(reservation)
        return True

    outcomes = await asyncio.gather(*(served() for _ in range(300)))
    assert outcomes.count(False) > 50
    assert 0.5 < budget.spent()["day"] <= 1


def test_what_left_the_window_is_free_again() -> None:
    clock = Clock()
    ledger = UsageLedger(clock)
    ledger.add(record(dollars=2))
    budget = budget_with(ledger, hourly=1)
    with pytest.raises(RateLimited):
        budget.reserve(1)
    clock.now += 3601
    budget.reserve(1)
    clock.now = NOW - 86_400
    with pytest.raises(RateLimited, match="Hourly"):
        budget.reserve(1)


@pytest.mark.parametrize("body", [{}, {"enabled": False}, {"dailyLimit": 5}], ids=str)
def test_unknown_spend_stops_paid_calls_until_a_post_confirms(body: dict[str, object]) -> None:
    budget = Budget(UsageLedger(Clock()))
    budget.restore(BudgetSettings(), known=False)
    with pytest.raises(RateLimited, match="POST /budget") as caught:
        budget.reserve(0)
    assert caught.value.code == "budget_unknown"
    with pytest.raises(BadRequest):
        post_budget(budget, {"enabled": "yes"})
    assert not budget.known
    post_budget(budget, body)
    budget.reserve(0)


def test_spent_is_told_for_each_period() -> None:
    clock = Clock()
    ledger = UsageLedger(clock)
    for dollars, age in ((1, 0), (2, 7_200), (4, 3 * 86_400), (8, 20 * 86_400)):
        ledger.add(record(dollars=dollars, time=NOW - age))
    assert Budget(ledger).spent() == {"hour": 1, "day": 3, "week": 7, "month": 15}


HAIKU = CATALOGUE.get("claude-haiku-4-5")
KEY = "sk-ant-api03-x"


@pytest.mark.parametrize(
    ("key", "env", "hindrance"),
    [
        pytest.param(KEY, {}, None, id="by default"),
        pytest.param(None, {}, "no_api_key", id="no key"),
        pytest.param("", {"CLAUDE_CODE_FIRST": "false"}, "no_api_key", id="an empty key"),
        pytest.param(KEY, {"FALLBACK": "off"}, "fallback_off", id="FALLBACK=off"),
        pytest.param(KEY, {"CLAUDE_CODE_FIRST": "false"}, None, id="the key first"),
        pytest.param(
            KEY, {"CLAUDE_CODE_FIRST": "false", "FALLBACK": "off"}, None, id="FALLBACK has no say"
        ),
    ],
)
def test_whether_a_key_may_be_used(
    key: str | None, env: dict[str, str], hindrance: str | None
) -> None:
    paid = PaidCalls(Settings.from_env(env), budget_with(daily=1.0), CATALOGUE.get)
    assert paid.hindrance(key) == hindrance


def test_a_paid_call_has_the_most_that_it_can_cost_set_aside() -> None:
    paid = PaidCalls(Settings(), budget_with(daily=1.0), CATALOGUE.get)
    by_bytes = paid.reserve(
        {"max_tokens": 0}, HAIKU, 2_000_000
    )  # a million tokens, written to the cache for $2
    assert by_bytes.amount == picodollars(2.0)
    with pytest.raises(RateLimited, match="Daily budget exceeded"):
        paid.reserve({"max_tokens": 1}, HAIKU, 0)
    paid.budget.release(by_bytes)
    assert paid.reserve(
        {"max_tokens": 60_000}, HAIKU, 2_000_000, prompt_tokens=1
    ).amount == picodollars(0.300002)


def test_no_call_is_paid_with_fallback_off() -> None:
    paid = PaidCalls(Settings(fallback="off"), budget_with(), CATALOGUE.get)
    with pytest.raises(Forbidden, match="FALLBACK=off"):
        paid.reserve({}, HAIKU, 1)
