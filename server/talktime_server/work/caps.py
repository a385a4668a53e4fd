"""How much a recharge may charge now, and the counts of the day and the month that it is held against (semantics 49, 60).

Days and months are UTC by the store's clock. A charge is counted with the step that promises it, before the provider is
asked; what was surely not charged is taken off again, if its day or month is not over.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from talktime_server.archive.days import DAY_MS
from talktime_server.ledger.recharge_rows import Recharge, Rule, View

MOST_MICROS = 10**12  # of one charge
DEFAULT_PER_DAY = 5
DEFAULT_PER_MONTH = 50


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be charged now: 0 when a cap is reached, which is then over at `until_ms`; `why` names it."""

    amount_micros: int
    until_ms: int = 0
    why: str = ""


def allowance(view: View) -> Allowance:
    """What a recharge would charge now."""
    rule, row = view.rule, rolled(view.recharge, view.now_ms)
    left_day = _left(
        rule.max_per_day or DEFAULT_PER_DAY,
        row.day_count,
        rule.max_amount_per_day_micros,
        row.day_micros,
    )
    left_month = _left(
        rule.max_per_month or DEFAULT_PER_MONTH,
        row.month_count,
        rule.max_amount_per_month_micros,
        row.month_micros,
    )
    if left_month < rule.amount_micros:
        return Allowance(0, _next_month_ms(view.now_ms), "MONTH_CAP")
    if left_day < rule.amount_micros:
        return Allowance(0, (view.now_ms // DAY_MS + 1) * DAY_MS, "DAY_CAP")
    return Allowance(rule.amount_micros * _units(rule, view, min(left_day, left_month)))


def _left(most_count: int, count: int, most_micros: int, micros: int) -> int:
    """What a cap leaves for one more charge."""
    if count >= most_count:
        return 0
    return min(MOST_MICROS, most_micros - micros) if most_micros else MOST_MICROS


def _units(rule: Rule, view: View, most_micros: int) -> int:
    """How many times the amount: once, or as often as the gap up to the trigger takes and the caps leave."""
    wanted = -(-view.gap_micros // rule.amount_micros) if rule.fill_gap else 1
    return max(1, min(wanted, most_micros // rule.amount_micros))


def rolled(row: Recharge, now_ms: int) -> Recharge:
    """The row with the counts of this day and this month; those that are over begin at 0 again."""
    day, month = now_ms // DAY_MS, _month(now_ms)
    if row.day != day:
        row = replace(row, day=day, day_count=0, day_micros=0)
    if row.month != month:
        row = replace(row, month=month, month_count=0, month_micros=0)
    return row


def counted(row: Recharge, amount_micros: int, now_ms: int) -> Recharge:
    """The row with one more charge."""
    row = rolled(row, now_ms)
    return replace(
        row,
        day_count=row.day_count + 1,
        day_micros=row.day_micros + amount_micros,
        month_count=row.month_count + 1,
        month_micros=row.month_micros + amount_micros,
    )


def uncounted(row: Recharge, now_ms: int) -> Recharge:
    """The row without its charge, which took no money."""
    row, counted_ms = rolled(row, now_ms), row.counted_ms
    if counted_ms and counted_ms // DAY_MS == row.day:
        row = replace(
            row, day_count=row.day_count - 1, day_micros=row.day_micros - row.amount_micros
        )
    if counted_ms and _month(counted_ms) == row.month:
        row = replace(
            row,
            month_count=row.month_count - 1,
            month_micros=row.month_micros - row.amount_micros,
        )
    return replace(row, counted_ms=0)


def _month(ms: int) -> int:
    date = _date(ms)
    return date.year * 100 + date.month


def _next_month_ms(ms: int) -> int:
    first = _date(ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    later = (first + timedelta(days=32)).replace(day=1)
    return int(later.timestamp()) * 1000


def _date(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC)
