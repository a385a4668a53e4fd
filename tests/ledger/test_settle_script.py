"""Settle: what was really used is charged once, the rest of the hold is free again."""

import asyncio

import pytest

from ledger.world import World
from talktime_server.failure import Conflict
from talktime_server.ledger.operations import Stale
from talktime_server.ledger.profiles import Payer
from talktime_server.ledger.records import INCLUDED


async def test_a_settle_below_the_hold_charges_what_was_used_and_frees_the_rest(
    world: World,
) -> None:
    """Semantics 10."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        settle a 61             -> charged 120; 4880/0
        balance                 -> 4880/0, spent 120
        """
    )


async def test_an_overrun_takes_the_hold_then_free_credits_then_the_floor_and_records_the_rest(
    world: World,
) -> None:
    """Semantics 11."""
    await world.play(
        """
        set floor_micros=-100
        fund f1 1000            -> 1000/0
        authorize a 600         -> granted 600 s, holds 600; 1000/600
        settle a 720            -> charged 720 overrun; 280/0
        authorize b 240         -> granted 240 s, holds 240; 280/240
        authorize c 60 sources=INCLUDED -> granted 60 s, holds 0; 280/240
        settle b 480            -> charged 380 overrun uncollected 100; -100/0
        settle c 61             -> charged 0 overrun; -100/0
        balance                 -> -100/0, spent 1100, uncollected 100
        """
    )


async def test_an_overrun_leaves_the_holds_of_other_calls_alone(world: World) -> None:
    await world.play(
        """
        fund f1 1200            -> 1200/0
        authorize a 600         -> granted 600 s, holds 600; 1200/600
        authorize b 600         -> granted 600 s, holds 600; 1200/1200
        settle a 900            -> charged 600 overrun uncollected 300; 600/600
        settle b 600            -> charged 600; 0/0
        """
    )


async def test_an_overrun_finds_the_money_of_expired_holds(world: World) -> None:
    """Semantics 27: what nobody holds any more is collected before anything is written off."""
    await world.play(
        """
        fund f1 1200            -> 1200/0
        authorize b 60          -> granted 60 s, holds 60; 1200/60
        authorize c 60          -> granted 60 s, holds 60; 1200/120
        authorize a 1080        -> granted 1080 s, holds 1080; 1200/1200
        wait 181
        settle a 1140           -> charged 1140 overrun; 60/0
        balance                 -> 60/0, spent 1140, abandoned 2
        """
    )


async def test_a_settle_repeated_gets_its_first_receipt(world: World) -> None:
    """Semantics 12: to the last field, whatever has happened since."""
    await world.fund(5000)
    await world.authorize("a", 600)
    first = await world.settle("a", 61)
    await world.authorize("b", 600)
    second = await world.settle("a", 61)
    assert (first.replayed, second.replayed) == (False, True)
    assert first.call == second.call


async def test_a_settle_repeated_with_another_duration_is_told_the_first_receipt(
    world: World,
) -> None:
    """Semantics 13."""
    await world.fund(5000)
    await world.authorize("a", 600)
    await world.settle("a", 61)
    with pytest.raises(Conflict) as caught:
        await world.settle("a", 62)
    assert caught.value.reason == "ALREADY_SETTLED"
    assert caught.value.facts == {
        "state": "SETTLED",
        "field": "duration_seconds",
        "duration_seconds": "61",
        "charged_micros": "120",
    }
    assert (await world.prove()).balance.spent_micros == 120


async def test_a_call_that_was_never_authorized_is_charged_once_by_its_fields(world: World) -> None:
    """Semantics 14: the Authorize that comes afterwards gets that receipt, whatever it asks."""
    await world.play(
        """
        fund f1 1000                    -> 1000/0
        settle a 61 by its fields       -> charged 120 unreserved; 880/0
        settle a 61 by its fields       -> again: charged 120 unreserved; 880/0
        settle a 61                     -> again: charged 120 unreserved; 880/0
        settle a 62 by its fields       -> ALREADY_SETTLED
        authorize a 600                 -> again: charged 120 unreserved; 880/0
        authorize a 60 to=+49301234567  -> again: charged 120 unreserved; 880/0
        extend a 1 60                   -> ALREADY_SETTLED
        balance                         -> 880/0, spent 120
        """
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("to=+49301234567", "to_number"),
        ("payer=ben", "payer_id"),
        ("asked=61", "requested_seconds"),
    ],
)
async def test_an_unreserved_settle_repeated_with_other_fields_is_told_the_field(
    world: World, change: str, field: str
) -> None:
    """Semantics 2 and 5: another call under the same id is never taken for settled."""
    await world.play(
        f"""
        fund f1 1000                        -> 1000/0
        settle a 61 by its fields           -> charged 120 unreserved; 880/0
        settle a 61 by its fields {change}  -> another {field} than before
        settle a 61 by its fields rate=90   -> again: charged 120 unreserved; 880/0
        """
    )


async def test_fields_beside_an_authorized_call_change_nothing(world: World) -> None:
    """It is charged by what it was authorized for, and the repeat gets the same receipt."""
    await world.play(
        """
        fund f1 1000                        -> 1000/0
        authorize a 600                     -> granted 600 s, holds 600; 1000/600
        settle a 61 by its fields rate=600  -> charged 120; 880/0
        settle a 61 by its fields rate=600  -> again: charged 120; 880/0
        """
    )


@pytest.mark.parametrize(
    "row",
    [
        "settle a 61 by its fields fee=7                -> charged 127 unreserved; 373/0",
        "settle a 0 by its fields fee=7                 -> charged 0 unreserved; 500/0",
        "settle a 600 by its fields sources=INCLUDED     -> charged 0 unreserved; 500/0",
        "settle a 600 by its fields                     -> charged 500 unreserved uncollected 100; 0/0",
        "settle a 600 by its fields payer=nobody        -> charged 500 unreserved uncollected 100; 0/0",
    ],
)
async def test_an_unreserved_call_costs_what_it_would_have_cost(world: World, row: str) -> None:
    """Semantics 14 and 11: nobody can refuse it any more."""
    await world.play(f"fund f1 500 -> 500/0\n{row}")


async def test_a_settle_that_nobody_can_place_is_kept_once_for_the_operator(world: World) -> None:
    await world.play(
        """
        fund f1 500                     -> 500/0
        settle a 61                     -> UNKNOWN_CALL
        settle a 61                     -> UNKNOWN_CALL
        settle a 61 by its fields       -> charged 120 unreserved; 380/0
        """
    )
    assert await world.told() == [
        ("FUND", "f1"),
        ("UNMATCHED", "a"),
        ("SETTLE", "a"),
    ]


async def test_a_settle_after_the_lease_charges_once_and_gives_nothing_back_twice(
    world: World,
) -> None:
    """Semantics 16: whether or not the hold was swept meanwhile."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        authorize b 600         -> granted 600 s, holds 600; 5000/1200
        wait 721
        expire a                -> expired 600; 5000/600
        settle a 61             -> charged 120 late; 4880/600
        settle a 61             -> again: charged 120 late; 4880/600
        settle b 61             -> charged 120 late; 4760/0
        expire a b
        balance                 -> 4760/0, spent 240, abandoned 1
        """
    )


async def test_a_call_that_was_never_answered_costs_nothing(world: World) -> None:
    """Semantics 24: not even the connection fee, which one answered second costs."""
    await world.play(
        """
        fund f1 5000                    -> 5000/0
        authorize a 600 fee=50          -> granted 600 s, holds 650; 5000/650
        settle a 0                      -> charged 0; 5000/0
        settle a 0                      -> again: charged 0; 5000/0
        authorize b 600 fee=50          -> granted 600 s, holds 650; 5000/650
        settle b 1                      -> charged 110; 4890/0
        """
    )


async def test_whoever_ended_a_call_first_stands(world: World) -> None:
    """Semantics 22."""
    await world.play(
        """
        fund f1 5000                    -> 5000/0
        authorize a 600                 -> granted 600 s, holds 600; 5000/600
        release a                       -> released 600; 5000/0
        settle a 60                     -> ALREADY_RELEASED
        authorize b 600                 -> granted 600 s, holds 600; 5000/600
        settle b 60                     -> charged 60; 4940/0
        release b                       -> ALREADY_SETTLED
        authorize c 600 refusal=POLICY  -> refused POLICY; 4940/0
        settle c 60                     -> CALL_REFUSED
        release c                       -> CALL_REFUSED
        """
    )


@pytest.mark.parametrize("extensions", [0, 1, 7, 59])
async def test_a_call_extended_often_costs_what_one_long_grant_costs(
    world: World, extensions: int
) -> None:
    """Semantics 33: rounded up once, at the end."""
    await world.fund(10**6)
    odd = "rate=7 fee=3 initial=7 increment=3"
    await world.play(f"authorize a 13 {odd} -> granted 13 s, holds 5; 1000000/5")
    for sequence in range(1, extensions + 1):
        await world.extend("a", sequence, 11)
    outcome = await world.settle("a", 701)
    assert outcome.call.ending is not None
    assert outcome.call.ending.billed_seconds == 703
    assert outcome.call.ending.charged_micros == 3 + -(-7 * 703 // 60)


async def test_balances_near_the_limit_stay_exact(world: World) -> None:
    """Semantics 34: no digit is lost up to 9 * 10^15."""
    await asyncio.gather(*(world.fund(10**12, f"f{n}") for n in range(8999)))
    await world.fund(10**12 - 1, "last")
    await world.play(
        """
        authorize a 600             -> granted 600 s, holds 600; 8999999999999999/600
        settle a 1                  -> charged 60; 8999999999999939/0
        fund g1 61                  -> BALANCE_LIMIT
        fund g2 1                   -> 8999999999999940/0
        fund g3 1                   -> BALANCE_LIMIT
        """
    )


async def test_a_settle_and_a_funding_at_the_same_moment_both_count(world: World) -> None:
    """Semantics 44: each changes the balance by what it moves, none writes over the other."""
    await world.fund(5000)
    for n in range(20):
        await world.authorize(f"c{n}", 60)
    settles = [world.settle(f"c{n}", 60) for n in range(20)]
    await asyncio.gather(*settles, *(world.fund(7, f"g{n}") for n in range(20)))
    proof = await world.prove()
    assert proof.balance.money.settled_micros == 5000 - 20 * 60 + 20 * 7
    assert proof.conserved


async def test_a_settle_by_an_old_floor_is_asked_again(world: World) -> None:
    """Semantics 87; a repeat needs no settings."""
    await world.fund(5000)
    await world.authorize("a", 600)
    await world.authorize("b", 600)
    await world.settle("b", 60)
    old = world.tenant
    await world.set(floor_micros=-1)
    world.tenant = old
    with pytest.raises(Stale):
        await world.settle("a", 60)
    assert (await world.settle("b", 60)).replayed


async def test_credits_that_lapsed_pay_for_no_overrun(world: World) -> None:
    """Semantics 41: whether somebody looked at the balance before must not be seen in the charge."""
    await world.play(
        """
        fund f1 1000 days=1             -> 1000/0
        wait 86000
        authorize a 600                 -> granted 600 s, holds 600; 1000/600
        wait 500
        settle a 720                    -> charged 600 overrun uncollected 120; 0/0
        balance                         -> 0/0, spent 600, expired 400, uncollected 120
        """
    )


async def test_no_settle_moves_more_than_the_limit_of_one_operation(world: World) -> None:
    """A day at the dearest rate there may be."""
    await world.play(
        """
        fund f1 1000000000000           -> 1000000000000/0
        fund f2 1000000000000           -> 2000000000000/0
        authorize a 86400 rate=1000000000 -> final 60000 s, holds 1000000000000; 2000000000000/1000000000000
        settle a 86400                  -> charged 1000000000000 overrun uncollected 440000000000; 1000000000000/0
        """
    )


async def test_a_call_that_was_never_authorized_is_priced_by_the_payer_of_now(
    world: World,
) -> None:
    """Semantics 87: who has a plan decides what is owed, so an old profile is no ground for a charge."""
    await world.fund(5000)
    old = world.unreserved()
    world.payers["ann"] = await world.directory.put_payer(
        world.tenant.tenant_id, Payer("ann", "US", licenses=("MCOPSTN1",))
    )
    with pytest.raises(Stale):
        await world.settle("a", 60, old)
    await world.settle("a", 60, world.unreserved(sources=INCLUDED))
    await world.play("balance -> 5000/0, spent 0")
