"""A call belongs to the month (UTC) it began in, whatever the calendar says when it is extended or ends (semantics 40)."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.plain_call import month_of
from ledger.story import SOURCES
from ledger.world import World
from talktime_server.ledger.records import Slice

EDGES = [datetime(2027, 12, 31, 23, 59, 59, 999_000, UTC), datetime(2028, 2, 28, tzinfo=UTC)]
EDGES += [datetime(2028, 2, 29, tzinfo=UTC), datetime(2099, 12, 31, tzinfo=UTC)]


async def test_extends_settles_and_releases_move_the_month_a_call_began_in(world: World) -> None:
    """Nothing is carried over, and the new month is whole."""
    await world.play(
        """
        month
        wait -60
        authorize a 240 sources=PLAN             -> granted 240 s, holds 0; 0/0
        authorize b 60 sources=PLAN              -> granted 60 s, holds 0; 0/0
        wait 60
        extend a 1 120                           -> granted 360 s, holds 0; 0/0
        pools                                    -> plan 0+420
        authorize c 600 sources=PLAN             -> granted 600 s, holds 0; 0/0
        pools                                    -> plan 0+600
        extend a 2 600                           -> final 540 s, holds 0; 0/0
        settle a 500                             -> charged 0; 0/0
        release b                                -> released 0; 0/0
        settle c 61                              -> charged 0; 0/0
        pools                                    -> plan 120+0
        pools 1                                  -> plan 540+0
        """
    )


async def test_an_expired_call_is_taken_anew_and_settled_late_in_its_own_month(
    world: World,
) -> None:
    """Semantics 16, 18 and 40."""
    await world.set(lease_grace_seconds=0)
    for call_id in ("a", "b"):
        await world.authorize(call_id, 60, sources=SOURCES["PLAN"])
    await world.play(
        """
        month
        wait 100
        authorize c 600 sources=PLAN             -> granted 600 s, holds 0; 0/0
        expire a                                 -> expired 0; 0/0
        extend a 1 60                            -> taken anew: granted 120 s, holds 0; 0/0
        expire b                                 -> expired 0; 0/0
        settle b 300                             -> charged 0 late overrun; 0/0
        pools                                    -> plan 0+600
        pools 1                                  -> plan 300+120
        """
    )


async def test_money_counts_for_the_day_and_the_month_in_which_it_is_charged(world: World) -> None:
    """The limits on spend are about money that leaves now; only minutes are pinned."""
    await world.play(
        """
        fund f1 5000
        month
        wait -1
        authorize a 720 sources=PLAN+CREDITS     -> granted 720 s, holds 120; 5000/120
        wait 1
        settle a 720                             -> charged 120; 4880/0
        """
    )
    balance = await world.ledger.balance(world.tenant)
    assert (balance.spent_today_micros, balance.spent_this_month_micros) == (120, 120)


async def test_a_call_that_gets_a_pool_later_draws_on_the_month_it_began_in(world: World) -> None:
    """Semantics 67: it began on credits."""
    await world.fund(5000)
    await world.authorize("a", 60)
    await world.set(display_name="anew")
    await world.play("month")
    judged = {"sources": SOURCES["PLAN+CREDITS"], "epoch": await world.epoch()}
    extended = await world.extend("a", 1, 60, **judged)
    assert extended.call.slices == (Slice("plan", 120, 0),)
    await world.play(
        """
        authorize b 600 sources=PLAN             -> granted 600 s, holds 0; 5000/0
        pools                                    -> plan 0+600
        pools 1                                  -> plan 0+120
        """
    )


@pytest.mark.parametrize("edge", EDGES, ids=str)
async def test_months_end_when_the_calendar_says_so(world: World, edge: datetime) -> None:
    """Leap years, the turn of the year, and the last year the scripts know."""
    for n, moment in enumerate((edge, edge + timedelta(milliseconds=1), edge + timedelta(days=1))):
        now_ms = round(moment.timestamp() * 1000)
        await world.stop_clock_at(now_ms)
        await world.authorize(f"c{n}", 60, sources=SOURCES["PLAN"])
        rows = await world.ledger.pool_rows(world.tenant.tenant_id)
        assert f"plan@{month_of(now_ms)}" in rows
