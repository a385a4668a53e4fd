"""Advice on recharging: what it promises for any history, and the figures of some."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.kit import UNIT, put_rows, usage
from talktime_server.archive.advice import (
    MOST_DAYS_LEFT,
    MOST_MICROS,
    Adviser,
    Smallest,
    Spending,
    advise,
    round_up,
)
from talktime_server.archive.database import Database
from talktime_server.archive.days import DAY_MS

SMALLEST = Smallest(50 * UNIT, 50 * UNIT)
TODAY_MS = 20_778 * DAY_MS  # 2026-11-21
HISTORY = st.lists(st.integers(0, 10**11), max_size=60).map(
    lambda days: Spending(tuple(days), TODAY_MS)
)


@given(HISTORY, st.integers(-(10**12), 10**15))
def test_advice_covers_what_it_says_it_covers(spending: Spending, available: int) -> None:
    advice = advise(spending, available, SMALLEST, "USD")
    assert advice.days == len(spending.days)
    assert advice.reasoning
    if advice.days_left is not None:
        pace = sum(spending.recent)
        assert 0 <= advice.days_left * pace <= max(available, 0) * len(spending.recent)
        enough = (advice.days_left + 1) * pace > max(available, 0) * len(spending.recent)
        assert enough or advice.days_left == MOST_DAYS_LEFT
    if advice.trigger_micros:
        covered = min(spending.busiest_micros(3), MOST_MICROS)
        assert advice.trigger_micros >= max(covered, SMALLEST.trigger_micros)
        assert advice.amount_micros >= max(SMALLEST.funding_micros, advice.trigger_micros)
        assert advice.amount_micros <= MOST_MICROS
        assert advice.trigger_micros % (10 * UNIT) == advice.amount_micros % (10 * UNIT) == 0
    else:
        assert len(spending.days) < 7 or not sum(spending.recent)
        assert advice.amount_micros == 0


@given(HISTORY, st.integers(1, 10**9), st.integers(0, 59))
def test_who_spends_more_is_not_advised_less(spending: Spending, more: int, day: int) -> None:
    if day >= len(spending.days):
        return
    days = [*spending.days]
    days[day] += more
    before = advise(spending, 0, SMALLEST, "USD")
    after = advise(Spending(tuple(days), TODAY_MS), 0, SMALLEST, "USD")
    assert after.trigger_micros >= before.trigger_micros
    assert after.amount_micros >= before.amount_micros


@pytest.mark.parametrize(
    ("units", "rounded"), [(50, 50), (51, 60), (137, 140), (1_370, 1_400), (13_001, 14_000)]
)
def test_figures_are_those_that_people_set(units: int, rounded: int) -> None:
    assert round_up(units * UNIT) == rounded * UNIT
    assert round_up(units * UNIT - 1) == rounded * UNIT


def test_the_reasoning_gives_the_figures() -> None:
    days = (10 * UNIT,) * 29 + (70 * UNIT,)
    advice = advise(Spending(days, TODAY_MS), 100 * UNIT, SMALLEST, "EUR")
    assert (advice.days_left, advice.trigger_micros, advice.amount_micros) == (
        8,
        90 * UNIT,
        360 * UNIT,
    )
    paid, left, why, amount = advice.reasoning
    span = "in the 30 days from 2026-10-22 to 2026-11-20"
    assert paid == f"Credits paid 360.00 EUR {span}: 12.00 EUR a day."
    assert left == "The 100.00 EUR available last 8 days at that pace."
    assert why.startswith(f"The most was 90.00 EUR in 3 days on end {span}: a trigger of 90.00 EUR")
    assert amount.startswith("A month at the pace costs 360.00 EUR: an amount of 360.00 EUR is")


@pytest.mark.parametrize(
    ("days", "text"),
    [
        ((), "No full day of use is in the archive yet."),
        ((0, 0), "Credits paid nothing in the 2 days from 2026-11-19 to 2026-11-20."),
        ((5,) * 5 + (0,) * 30, "Credits paid nothing in the last 30 days, but something before."),
    ],
)
def test_without_use_there_is_nothing_to_advise(days: tuple[int, ...], text: str) -> None:
    advice = advise(Spending(days, TODAY_MS), 100 * UNIT, SMALLEST, "USD")
    assert advice.reasoning == (text,)
    assert (advice.days_left, advice.trigger_micros, advice.amount_micros) == (None, 0, 0)


def test_a_few_days_are_a_pace_but_no_advice() -> None:
    advice = advise(Spending((UNIT,) * 6, TODAY_MS), 30 * UNIT, SMALLEST, "USD")
    assert (advice.days_left, advice.trigger_micros) == (30, 0)
    assert advice.reasoning[-1].startswith("That is too little to suggest")


async def test_only_credits_on_full_days_count(either: Database) -> None:
    """Not what the invoice pays, not today, and nothing older than 60 days or of others."""
    yesterday, hour = TODAY_MS - DAY_MS, 3_600_000
    made = [
        usage(1, TODAY_MS + hour),
        usage(2, yesterday, charge_micros=300, connection_fee_micros=0),
        usage(3, yesterday + hour, charge_micros=0, connection_fee_micros=10),
        usage(4, yesterday + hour, postpaid=True),
        usage(5, TODAY_MS - 3 * DAY_MS + hour, charge_micros=5, connection_fee_micros=0),
        usage(6, TODAY_MS - 61 * DAY_MS),
        usage(7, yesterday, tenant_id="other"),
    ]
    await put_rows(either, made)
    now = [TODAY_MS + hour]
    adviser = Adviser(either, SMALLEST, now_ms=lambda: now[0])
    spending = await adviser.spending("acme")
    assert spending == Spending((0,) * 57 + (5, 0, 310), TODAY_MS)
    assert await adviser.days_left("acme", 105) == 10
    assert await adviser.days_left("nobody", 105) is None
    assert (await adviser.spending("other")).days == (25_000,)
    now[0] += DAY_MS
    assert (await adviser.spending("acme")).days[-1] == 25_000, "a new day is another pace"
