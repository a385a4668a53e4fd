"""Limits on money and on the pace of calls: what was charged and all that is held count, and a reached limit is told."""

import pytest

from ledger.world import DAY_S, World
from talktime_server.words import EntryKind


async def told(world: World) -> list[str]:
    """Whose limits the journal says were reached: payers by name, the tenant's as an empty one."""
    entries, _ = await world.journal.page(world.tenant.tenant_id, "", 1000)
    return [entry.reference for entry in entries if entry.kind is EntryKind.LIMIT]


async def test_a_grant_is_cut_to_what_a_limit_on_spend_leaves_and_refused_at_nothing(
    world: World,
) -> None:
    """Semantics 31: what is held counts like what was charged."""
    await world.play(
        """
        set max_spend_per_day_micros=300
        fund f1 5000
        authorize a 120                          -> granted 120 s, holds 120; 5000/120
        settle a 100                             -> charged 120; 4880/0
        authorize b 600                          -> final 180 s, holds 180; 4880/180
        authorize c 60                           -> refused SPEND_LIMIT; 4880/180
        extend b 1 60                            -> refused SPEND_LIMIT, has 180 s; 4880/180
        release b                                -> released 180; 4880/0
        authorize d 60                           -> granted 60 s, holds 60; 4880/60
        authorize e 600 sources=PLAN             -> granted 600 s, holds 0; 4880/60
        """
    )
    assert await told(world) == [""]


async def test_a_day_ends_at_midnight_and_a_month_with_its_last_day(world: World) -> None:
    """UTC, by the store's clock; the month's sum goes on over the days."""
    await world.play(
        """
        set max_spend_per_day_micros=120 max_spend_per_month_micros=180
        fund f1 5000
        month
        authorize a 120                          -> granted 120 s, holds 120; 5000/120
        settle a 120                             -> charged 120; 4880/0
        authorize b 60                           -> refused SPEND_LIMIT; 4880/0
        authorize c 60                           -> refused SPEND_LIMIT; 4880/0
        wait 86399
        authorize d 60                           -> refused SPEND_LIMIT; 4880/0
        wait 1
        authorize e 120                          -> final 60 s, holds 60; 4880/60
        settle e 60                              -> charged 60; 4820/0
        wait 86400
        authorize f 60                           -> refused SPEND_LIMIT; 4820/0
        month
        authorize g 60                           -> granted 60 s, holds 60; 4820/60
        """
    )
    assert await told(world) == ["", ""], "once for each of two days"


async def test_a_payers_limit_is_the_payers_and_told_by_its_name(world: World) -> None:
    """Domain.md 8: once a day, however often it is asked for, and whether or not anything was ever spent."""
    await world.play(
        """
        set max_spend_per_day_per_payer_micros=59
        fund f1 5000
        authorize a 60                           -> refused SPEND_LIMIT; 5000/0
        authorize b 60                           -> refused SPEND_LIMIT; 5000/0
        authorize c 60 payer=ben                 -> refused SPEND_LIMIT; 5000/0
        authorize d 59 initial=1 increment=1     -> granted 59 s, holds 59; 5000/59
        release d                                -> released 59; 5000/0
        authorize e 60                           -> refused SPEND_LIMIT; 5000/0
        """
    )
    assert await told(world) == ["ann", "ben"]
    await world.advance(DAY_S)
    await world.authorize("f", 60)
    assert await told(world) == ["ann", "ben", "ann"]


async def test_limits_hold_for_the_invoice_as_for_credits(world: World) -> None:
    """Semantics 11: a settle charges what was used, over the limit too; then the limit is reached."""
    await world.play(
        """
        set max_spend_per_day_micros=100
        fund f1 60
        authorize a 600 sources=POSTPAID initial=1 increment=1 -> final 100 s, holds 60; 60/60
        invoice                                  -> 0+40
        settle a 150                             -> charged 60 overrun invoiced 90; 0/0
        authorize b 60 sources=POSTPAID          -> refused SPEND_LIMIT; 0/0
        """
    )


async def test_limits_are_frozen_on_a_call_until_profiles_change(world: World) -> None:
    """Semantics 67: the first extension after a change is held against the new ones."""
    await world.play(
        """
        fund f1 5000
        authorize a 60                           -> granted 60 s, holds 60; 5000/60
        set max_spend_per_day_micros=120
        extend a 1 600                           -> judge
        extend a 1 600 sources=CREDITS           -> final 120 s, holds 120; 5000/120
        extend a 2 60                            -> refused SPEND_LIMIT, has 120 s; 5000/120
        """
    )


async def test_expired_holds_leave_the_limits_at_once(world: World) -> None:
    """Semantics 27."""
    await world.play(
        """
        set max_spend_per_day_per_payer_micros=600
        fund f1 5000
        authorize a 600                          -> granted 600 s, holds 600; 5000/600
        wait 721
        authorize b 600                          -> granted 600 s, holds 600; 5000/600
        """
    )
    assert await told(world) == []


async def test_money_given_back_makes_room_again(world: World) -> None:
    """A late settle that takes back what an orphan was charged."""
    await world.play(
        """
        set charge_orphans=1 max_spend_per_day_micros=300
        fund f1 5000
        authorize a 240                          -> granted 240 s, holds 240; 5000/240
        wait 200
        extend a 1 60                            -> granted 300 s, holds 300; 5000/300
        wait 9999
        expire a                                 -> expired 60, charged 240; 4760/0
        settle a 60                              -> charged 60 late; 4940/0
        authorize b 600                          -> final 240 s, holds 240; 4940/240
        """
    )


async def test_calls_per_second_are_counted_by_the_stores_clock(world: World) -> None:
    """Semantics 28: calls that began, whatever became of them since; refused ones do not count."""
    await world.stop_clock_at(2_000_000_000_000)
    await world.play(
        """
        set max_calls_per_second=3 max_calls_per_second_per_payer=2
        fund f1 5000
        authorize a 60                           -> granted 60 s, holds 60; 5000/60
        release a                                -> released 60; 5000/0
        authorize b 60 sources=INCLUDED          -> granted 60 s, holds 0; 5000/0
        release b                                -> released 0; 5000/0
        authorize c 60                           -> refused CALL_LIMIT; 5000/0
        authorize d 60 payer=ben                 -> granted 60 s, holds 60; 5000/60
        authorize e 60 payer=ben                 -> refused CALL_LIMIT; 5000/60
        wait 0.999
        authorize f 60                           -> refused CALL_LIMIT; 5000/60
        wait 0.001
        authorize g 60                           -> granted 60 s, holds 60; 5000/120
        """
    )
    assert await told(world) == [], "pace is no spend"


async def test_calls_that_no_payer_asks_for_are_counted_by_the_minute(world: World) -> None:
    """Domain.md 8, unassigned numbers: also when each of them is gone before the next one comes."""
    await world.stop_clock_at(2_000_000_040_000)
    await world.play(
        """
        set max_unassigned_calls_per_minute=2
        fund f1 5000
        authorize a 60 payer=                    -> granted 60 s, holds 60; 5000/60
        release a                                -> released 60; 5000/0
        wait 30
        authorize b 60 payer=                    -> granted 60 s, holds 60; 5000/60
        settle b 0                               -> charged 0; 5000/0
        wait 29.999
        authorize c 60 payer=                    -> refused CALL_LIMIT; 5000/0
        authorize d 60                           -> granted 60 s, holds 60; 5000/60
        wait 0.001
        authorize e 60 payer=                    -> granted 60 s, holds 60; 5000/120
        """
    )


async def test_costly_calls_are_counted_by_the_day(world: World) -> None:
    """The fraud guard: dear calls that began today, ended or not."""
    await world.play(
        """
        set max_costly_calls_per_day=3 max_costly_calls_per_day_per_payer=2
        fund f1 5000
        month
        authorize a 60 costly=yes                -> granted 60 s, holds 60; 5000/60
        release a                                -> released 60; 5000/0
        authorize b 60 costly=yes                -> granted 60 s, holds 60; 5000/60
        authorize c 60 costly=yes                -> refused SPEND_LIMIT; 5000/60
        authorize d 60                           -> granted 60 s, holds 60; 5000/120
        authorize e 60 costly=yes payer=ben      -> granted 60 s, holds 60; 5000/180
        authorize f 60 costly=yes payer=ben      -> refused SPEND_LIMIT; 5000/180
        wait 86400
        authorize g 60 costly=yes                -> granted 60 s, holds 60; 5000/240
        """
    )
    assert await told(world) == ["ann", ""]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_open_calls": 1}, "tenant open"),
        ({"max_open_calls_per_payer": 1}, "payer open"),
        ({"max_calls_per_second": 1}, "tenant rate"),
        ({"max_calls_per_second_per_payer": 1}, "payer rate"),
        ({"max_spend_per_day_micros": 60}, "tenant day"),
        ({"max_spend_per_month_micros": 60}, "tenant month"),
        ({"max_spend_per_day_per_payer_micros": 60}, "payer day"),
        ({"max_spend_per_month_per_payer_micros": 60}, "payer month"),
        ({"max_costly_calls_per_day": 1}, "tenant costly"),
        ({"max_costly_calls_per_day_per_payer": 1}, "payer costly"),
        ({"max_payer_hold_percent": 1}, "payer share"),
    ],
)
async def test_a_refusal_says_whose_limit_it_was(
    world: World, settings: dict[str, int], named: str
) -> None:
    await world.set(**settings)
    await world.fund(6000)
    await world.stop_clock_at(await world.now_ms() + DAY_S * 1000)
    await world.authorize("a", 60, costly=True)
    second = (await world.authorize("b", 60, costly=True)).call.first
    assert second is not None
    assert second.limit == named


async def test_a_refusal_by_a_budget_says_so(world: World) -> None:
    await world.fund(6000)
    refused = (await world.authorize("a", 60, conference="c", budget=59)).call.first
    assert refused is not None
    assert refused.limit == "conference budget"
