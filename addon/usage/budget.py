"""Limits what the API key may cost, in dollars per hour, day, week and month.

The ledger is the only record of what was spent. What running requests may cost is held as reservations, so that
parallel requests can't exceed a limit together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from addon.claude.model import Model
from addon.claude.pricing import FindModel, most
from addon.core.errors import BadRequest, Forbidden, RateLimited
from addon.core.frozen import frozen
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.fallback.policy import Hindrance
from addon.usage.ledger import PERIODS, UsageLedger
from addon.usage.record import picodollars, usd

PERIOD_OF = {
    "hourly": PERIODS["hour"],
    "daily": PERIODS["day"],
    "weekly": PERIODS["week"],
    "monthly": PERIODS["month"],
}
"""In the order in which the limits are checked."""

MAX_USD = 1_000_000_000

BYTES_PER_TOKEN = 2.0
"""Prose has four; dense code and JSON have at least two with the tokenizer of 2026, so the estimate is never too
low."""


@frozen
class BudgetSettings:
    """Limits in USD. None: no limit; 0: nothing is allowed."""

    hourly: float | None = None
    daily: float | None = None
    weekly: float | None = None
    monthly: float | None = None
    enabled: bool = False

    def to_json(self) -> JsonObject:
        return {JSON_NAMES[name]: value for name, value in asdict(self).items()}

    def limits(self) -> list[tuple[str, int]]:
        """(`hourly` and so on, limit in pico-dollars) of the limits that are set."""
        values = ((name, getattr(self, name)) for name in PERIOD_OF)
        return [(name, picodollars(value)) for name, value in values if value is not None]

    def changed(self, body: object) -> BudgetSettings:
        """The settings with the fields that `body`, a JSON object, names. Raises `BadRequest`, which names the
        field."""
        if not isinstance(body, dict):
            raise BadRequest(
                'The budget must be a JSON object, like {"dailyLimit": 5, "enabled": true}'
            )
        fields = {json: name for name, json in JSON_NAMES.items()}
        for name, value in body.items():
            if name not in fields:
                raise BadRequest(
                    f"{name}: unknown field; known are {', '.join(fields)}", param=name
                )
            _check(name, value)
        return replace(self, **{fields[name]: value for name, value in body.items()})


JSON_NAMES = {**{name: f"{name}Limit" for name in PERIOD_OF}, "enabled": "enabled"}
"""The names of the settings in `GET /budget`, in its order."""


def _check(name: str, value: object) -> None:
    if name == "enabled":
        if not isinstance(value, bool):
            raise BadRequest("enabled: must be true or false", param=name)
    elif value is not None and not _is_limit(value):
        raise BadRequest(
            f"{name}: must be a number of US dollars from 0 to {MAX_USD:,}, or null for no limit",
            param=name,
        )


def _is_limit(value: object) -> bool:
    # NaN fails the comparison.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_USD


@frozen
class Reservation:
    """What one running request may cost, in pico-dollars."""

    id: int
    amount: int
    model: str = ""
    time: float = 0.0
    """Unix seconds."""


class Budget:
    """Call `reserve` before each paid request, and `release` when its record is in the ledger or nothing was used.
    `note`: called with each reservation before its request is sent, and with what it came to."""

    def __init__(self, ledger: UsageLedger, settings: BudgetSettings | None = None) -> None:
        self._ledger = ledger
        self.note: Callable[[Reservation], None] = lambda reservation: None
        self._held: dict[int, Reservation] = {}
        self.last_id = 0
        self.settings = settings or BudgetSettings()
        self.known = True
        """False if the record of what was spent is lost: then nothing may be paid until `update` is called."""
        self.version = 0
        """Grows with every change that the snapshot should keep."""

    def reserve(
        self,
        estimate: int,
        model: str = "",
        *,
        used: int = 0,
        held: Reservation | None = None,
    ) -> Reservation:
        """Reserve `estimate` pico-dollars for one request, which has cost `used` already. `held`: its reservation so
        far, which the new one replaces; a smaller one always may. Raises `RateLimited` if a limit leaves no room for
        it, or if it is unknown what was spent before."""
        if not self.known:
            raise RateLimited(
                "Paid calls are stopped because the record of what was spent is lost. Check /budget, then confirm"
                ' it with POST /budget (for example {"enabled": true}) to allow them again.',
                code="budget_unknown",
            )
        if held is not None:
            self._held.pop(held.id, None)
        amount = estimate + used
        if self.settings.enabled and (held is None or amount > held.amount):
            self._check_limits(estimate, used)
        self.last_id += held is None
        id = held.id if held else self.last_id
        reservation = Reservation(id, amount, model, self._ledger.now())
        self._held[id] = reservation
        self.note(reservation)
        return reservation

    @property
    def held(self) -> tuple[Reservation, ...]:
        return tuple(self._held.values())

    def _check_limits(self, estimate: int, used: int) -> None:
        """A single request is allowed while the limit is not reached, whatever it may cost: few would fit a small limit
        otherwise, as `max_tokens` is rarely used up. While others are running, it must fit together with all of them,
        so that parallel requests can't exceed a limit together."""
        running = sum(reservation.amount for reservation in self._held.values())
        for name, limit in self.settings.limits():
            spent = self._ledger.spent(PERIOD_OF[name]) + used
            if spent >= limit:
                raise _exceeded(name, spent, limit)
            if running and spent + running + estimate > limit:
                held = usd(running + estimate)
                detail = f" (${usd(spent):.2f} spent, ${held:.2f} for this and running requests)"
                raise _exceeded(name, spent + running + estimate, limit, detail)

    def release(self, reservation: Reservation, spent: int | None = None) -> None:
        """Release a reservation; `spent`: what the request cost, if that is known. May be called twice."""
        if self._held.pop(reservation.id, None) and spent is not None:
            self.note(replace(reservation, amount=spent))

    def update(self, body: object) -> None:
        """Change the settings by a decoded `POST /budget` body. Raises `BadRequest` without changing anything. Any
        valid body confirms the budget (see `known`)."""
        self.settings = self.settings.changed(body)
        self.known = True
        self.version += 1

    def restore(self, settings: BudgetSettings, *, known: bool) -> None:
        self.settings = settings
        self.known = known

    @property
    def exhausted(self) -> list[str]:
        """The limits that are reached: `hourly` and so on."""
        if not self.settings.enabled:
            return []
        limits = self.settings.limits()
        return [name for name, limit in limits if self._ledger.spent(PERIOD_OF[name]) >= limit]

    def spent(self, now: float | None = None) -> dict[str, float]:
        """USD that were really paid, by name of the period; `now`: of the periods that end then."""
        periods = PERIOD_OF.values()
        return {period.name: usd(self._ledger.spent(period, now)) for period in periods}


@dataclass(eq=False, repr=False)
class PaidCalls:
    """The only place that decides whether an API key may be used and whether a request may be paid for. Whatever would
    use a key asks here: requests and their retries, counts, summaries, the list of models."""

    settings: Settings
    budget: Budget
    find: FindModel

    def hindrance(self, key: str | None) -> Hindrance | None:
        """Why `key` may not be used; None: it may."""
        if not key:
            return "no_api_key"
        return None if self.settings.key_allowed else "fallback_off"

    def reserve(
        self,
        request: JsonObject,
        model: Model,
        size: int,
        prompt_tokens: int = 0,
        *,
        used: int = 0,
        held: Reservation | None = None,
    ) -> Reservation:
        """Reserve the most that a request can cost. `size`: of its body in bytes, for a prompt that was not counted;
        `used`: pico-dollars of earlier attempts, which are billed with it; `held`: their reservation, which this one
        replaces. Raises CCProxyError, with the budget's message if there is no room."""
        if not self.settings.key_allowed:
            raise Forbidden("The API key may not be used: FALLBACK=off.", code="fallback_off")
        prompt = prompt_tokens or round(size / BYTES_PER_TOKEN)
        amount = picodollars(most(request, model, prompt, self.find))
        return self.budget.reserve(amount, model.id, used=used, held=held)


def _exceeded(name: str, spent: int, limit: int, detail: str = "") -> RateLimited:
    figures = f"${usd(spent):.2f} / ${usd(limit):.2f}"
    return RateLimited(
        f"{name.capitalize()} budget exceeded: {figures}{detail}", code="budget_exceeded"
    )


def get_budget(budget: Budget) -> JsonObject:
    """The body of `GET /budget`."""
    return budget.settings.to_json()


def post_budget(budget: Budget, body: object) -> JsonObject:
    """The body of `POST /budget`, after the change. Raises `BadRequest`."""
    budget.update(body)
    return {"success": True, "settings": budget.settings.to_json()}
