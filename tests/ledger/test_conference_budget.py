"""A budget for all legs of a conference that brought one: what they spent and what they hold together."""

from ledger.rows import kept_rows
from ledger.world import DAY_S, World


async def test_legs_share_the_budget_of_their_conference(world: World) -> None:
    """Semantics 68 and 69: a leg beyond it is refused alone; one without a budget does not count."""
    await world.play(
        """
        fund f1 5000
        authorize a 120 conference=party budget=300 -> granted 120 s, holds 120; 5000/120
        authorize b 120 conference=party budget=300 payer=ben -> granted 120 s, holds 120; 5000/240
        authorize c 120 conference=party budget=300 -> final 60 s, holds 60; 5000/300
        authorize d 60 conference=party budget=300  -> refused SPEND_LIMIT; 5000/300
        authorize e 60 conference=party             -> granted 60 s, holds 60; 5000/360
        authorize f 60 conference=board budget=300  -> granted 60 s, holds 60; 5000/420
        settle a 30                                 -> charged 60; 4940/300
        extend c 1 600                              -> final 120 s, holds 120; 4940/360
        extend b 1 60                               -> refused SPEND_LIMIT, has 120 s; 4940/360
        """
    )


async def test_legs_settle_singly_and_what_they_used_stays_spent(world: World) -> None:
    """Semantics 70: the end of one implies nothing for the others."""
    await world.play(
        """
        fund f1 5000
        authorize a 120 conference=party budget=240 -> granted 120 s, holds 120; 5000/120
        authorize b 120 conference=party budget=240 -> granted 120 s, holds 120; 5000/240
        settle a 120                                -> charged 120; 4880/120
        release b                                   -> released 120; 4880/0
        authorize c 600 conference=party budget=240 -> final 120 s, holds 120; 4880/120
        settle c 600                                -> charged 600 overrun; 4280/0
        authorize d 60 conference=party budget=240  -> refused SPEND_LIMIT; 4280/0
        """
    )


async def test_a_budget_bounds_the_invoice_and_leaves_pools_alone(world: World) -> None:
    """Domain.md 2: minutes cost nothing."""
    await world.play(
        """
        fund f1 60
        authorize a 900 sources=PLAN+POSTPAID conference=party budget=120 -> final 720 s, holds 60; 60/60
        paid a                                      -> plan 600 s, CREDITS 60 s for 60, POSTPAID 60 s for 60
        authorize b 60 sources=POSTPAID conference=party budget=120 -> refused SPEND_LIMIT; 60/60
        settle a 660                                -> charged 60; 0/0
        authorize c 120 sources=POSTPAID conference=party budget=120 -> final 60 s, holds 0; 0/0
        """
    )


async def test_holds_of_legs_that_vanished_are_free_at_once(world: World) -> None:
    """Semantics 27."""
    await world.play(
        """
        fund f1 5000
        authorize a 120 conference=party budget=120 -> granted 120 s, holds 120; 5000/120
        wait 241
        authorize b 120 conference=party budget=120 -> granted 120 s, holds 120; 5000/120
        """
    )


async def test_rows_of_old_conferences_are_dropped_and_those_that_hold_are_not(
    world: World,
) -> None:
    """Every new row takes some old ones with it, so that they never pile up."""
    await world.fund(500_000)
    await world.authorize("long", 86_400, conference="long", budget=90_000)
    for n in range(30):
        await world.authorize(f"a{n}", 60, conference=f"old{n}", budget=600)
        await world.settle(f"a{n}", 60)
    await world.advance(3 * DAY_S)
    for n in range(60):
        await world.authorize(f"b{n}", 60, conference=f"new{n}", budget=600)
    rows = await kept_rows(world)
    names = [name for name in rows if name.startswith("c:")]
    assert sum(name.startswith("c:new") for name in names) == 60
    assert sum(name.startswith("c:old") for name in names) < 10
    assert (rows["c:long"][1] > 0) == (rows["use of ann"][0] > 60)
