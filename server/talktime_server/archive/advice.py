"""When to recharge and by how much, from what credits paid on the days before (domain.md 5: watch one or two months).

The pace is the average of the last 30 full days of UTC, or of as many as there are. The trigger has to
last while a recharge is on its way, so it covers the most that was ever spent in a few days on end;
the amount is a month at the pace. Both are rounded up to figures that people set. Pure, but for the
two questions to the archive at the end.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from talktime_server.archive.clock import Clock, wall_clock_ms
from talktime_server.archive.database import Database
from talktime_server.archive.days import DAY_MS, day_of, day_text

PACE_DAYS = 30
MOST_DAYS = 60
LEAST_DAYS = 7  # with fewer there is nothing to say of a month
RECHARGE_DAYS = 3  # a recharge that is declined on a Friday goes through on a Monday
UNIT = 1_000_000
LEAST_STEP = 10  # units of the currency
MOST_MICROS = 10**12  # of one recharge
MOST_DAYS_LEFT = 36_500  # a balance that lasts for generations is not said to the day
REMEMBERED_MS = 600_000  # what past days cost changes only while the archive catches up
MOST_REMEMBERED = 1_000  # tenants


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest funding and trigger that the operator allows, in micros."""

    funding_micros: int
    trigger_micros: int


@dataclass(frozen=True, slots=True)
class Spending:
    """What credits paid on each full day, the oldest first, up to yesterday; micros. `until_ms` is
    the beginning of today.
    """

    days: tuple[int, ...]
    until_ms: int = 0

    @property
    def recent(self) -> tuple[int, ...]:
        """The days that the pace is of."""
        return self.days[-PACE_DAYS:]

    @property
    def per_day_micros(self) -> int:
        """The pace, rounded up: whoever spends anything has one."""
        return -(-sum(self.recent) // len(self.recent)) if self.recent else 0

    @property
    def most_per_day_micros(self) -> int:
        """The most in a day."""
        return max(self.days, default=0)

    def busiest_micros(self, days: int) -> int:
        """The most in so many days on end."""
        starts = range(max(1, len(self.days) - days + 1))
        return max(sum(self.days[start : start + days]) for start in starts)

    def days_left(self, available_micros: int) -> int | None:
        """How many whole days an amount lasts at the pace; None without use, 0 for nothing or a debt."""
        spent = sum(self.recent)
        if not spent:
            return None
        return min(max(available_micros, 0) * len(self.recent) // spent, MOST_DAYS_LEFT)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to set, in micros; a trigger and an amount of 0 where there is too little use to say."""

    days: int
    spent_per_day_micros: int
    most_per_day_micros: int
    days_left: int | None
    trigger_micros: int
    amount_micros: int
    reasoning: tuple[str, ...]


def advise(spending: Spending, available_micros: int, smallest: Smallest, currency: str) -> Advice:
    """The advice for who spends like this and has so much left, and why."""
    trigger, amount = _settings(spending, smallest)
    left = spending.days_left(available_micros)
    reasoning = _history(spending, available_micros, left, currency)
    if trigger:
        reasoning += _suggestion(spending, smallest, (trigger, amount), currency)
    elif spending.per_day_micros:
        reasoning += (
            f"That is too little to suggest a trigger and an amount: it takes {LEAST_DAYS} full days.",
        )
    return Advice(
        len(spending.days),
        spending.per_day_micros,
        spending.most_per_day_micros,
        left,
        trigger,
        amount,
        reasoning,
    )


def round_up(amount_micros: int) -> int:
    """The next amount of two figures that count, in whole units and tens of them at least: 137 is 140,
    1,370 is 1,400. Never more than a recharge may be.
    """
    units = -(-amount_micros // UNIT)
    step = max(LEAST_STEP, int(10 ** (len(str(units)) - 2)))
    return min(-(-units // step) * step * UNIT, MOST_MICROS)


def _settings(spending: Spending, smallest: Smallest) -> tuple[int, int]:
    """Trigger and amount. An amount below the trigger would buy again at once."""
    if len(spending.days) < LEAST_DAYS or not spending.per_day_micros:
        return 0, 0
    trigger = round_up(max(spending.busiest_micros(RECHARGE_DAYS), smallest.trigger_micros))
    month = spending.per_day_micros * PACE_DAYS
    return trigger, round_up(max(month, trigger, smallest.funding_micros))


def _history(
    spending: Spending, available_micros: int, left: int | None, currency: str
) -> tuple[str, ...]:
    days = len(spending.days)
    if not days:
        return ("No full day of use is in the archive yet.",)
    span = _span(spending, days)
    if left is None:
        if not spending.most_per_day_micros:
            return (f"Credits paid nothing {span}.",)
        text = (
            f"Credits paid nothing in the last {len(spending.recent)} days, but something before."
        )
        return (text,)
    total = _money(sum(spending.recent), currency)
    pace = _money(spending.per_day_micros, currency)
    have = _money(max(available_micros, 0), currency)
    return (
        f"Credits paid {total} {_span(spending, len(spending.recent))}: {pace} a day.",
        f"The {have} available last {_counted(left)} at that pace.",
    )


def _suggestion(
    spending: Spending, smallest: Smallest, settings: tuple[int, int], currency: str
) -> tuple[str, ...]:
    trigger, amount = settings
    busiest, least = spending.busiest_micros(RECHARGE_DAYS), smallest.trigger_micros
    most = f"{_money(busiest, currency)} in {_counted(RECHARGE_DAYS)} on end"
    why = f"The most was {most} {_span(spending, len(spending.days))}"
    if busiest < least:
        why += f", less than the smallest trigger of {_money(least, currency)}"
    month = _money(spending.per_day_micros * PACE_DAYS, currency)
    retried = f"while a recharge that is declined at first is tried again for {RECHARGE_DAYS} days"
    said = f"A month at the pace costs {month}: an amount of {_money(amount, currency)} is bought"
    return (
        f"{why}: a trigger of {_money(trigger, currency)} lasts {retried}.",
        f"{said} about once a month, and is never below the trigger or the smallest funding.",
    )


def _span(spending: Spending, days: int) -> str:
    first = day_text(spending.until_ms - days * DAY_MS)
    last = day_text(spending.until_ms - DAY_MS)
    return f"on {last}" if days == 1 else f"in the {days} days from {first} to {last}"


def _counted(days: int) -> str:
    return f"{days} day" if days == 1 else f"{days} days"


def _money(amount_micros: int, currency: str) -> str:
    """An amount for people, in hundredths, rounded up."""
    hundredths = -(-amount_micros // 10_000)
    return f"{hundredths // 100:,}.{hundredths % 100:02d} {currency}"


class Adviser:
    """Advises tenants by what the archive says of them. Every method raises ArchiveAway when it cannot
    be asked.
    """

    def __init__(
        self,
        database: Database,
        smallest: Smallest,
        *,
        now_ms: Clock = wall_clock_ms,
    ) -> None:
        self._database = database
        self._smallest = smallest
        self._now_ms = now_ms
        self._known: OrderedDict[str, tuple[int, Spending]] = OrderedDict()

    async def advise(self, tenant_id: str, available_micros: int, currency: str) -> Advice:
        """Advice for a tenant with so much available."""
        spending = await self.spending(tenant_id)
        return advise(spending, available_micros, self._smallest, currency)

    async def days_left(self, tenant_id: str, available_micros: int) -> int | None:
        """How many whole days what is available lasts at the pace; None without use."""
        return (await self.spending(tenant_id)).days_left(available_micros)

    async def spending(self, tenant_id: str) -> Spending:
        """What credits paid on the tenant's last full days, as of some minutes ago."""
        now_ms = self._now_ms()
        at_ms, known = self._known.get(tenant_id, (0, None))
        if known and day_of(now_ms) == known.until_ms and now_ms - at_ms < REMEMBERED_MS:
            return known
        found = await self._spending(tenant_id, day_of(now_ms))
        self._known[tenant_id] = (now_ms, found)
        self._known.move_to_end(tenant_id)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _spending(self, tenant_id: str, until_ms: int) -> Spending:
        async with self._database.connect() as connection:
            from talktime_server.archive.questions import paid

            first_ms = await paid.first_ms(connection, tenant_id)
            if first_ms is None:
                return Spending((), until_ms)
            from_ms = max(day_of(first_ms), until_ms - MOST_DAYS * DAY_MS)
            found = await paid.by_credits(connection, tenant_id, from_ms, until_ms)
        return Spending(_by_day(found, range(from_ms, until_ms, DAY_MS)), until_ms)


def _by_day(found: dict[int, int], days: Sequence[int]) -> tuple[int, ...]:
    return tuple(found.get(day, 0) for day in days)
