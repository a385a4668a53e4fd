"""Several legs decided as one step: in order, each with its own verdict, all or none where that is asked."""

import asyncio
from collections.abc import Sequence

import pytest

from ledger.story import SOURCES
from ledger.world import World
from stores import contents
from talktime_server.failure import Broken, Mismatch, NotFound
from talktime_server.ledger.operations import Asking, Judge, Outcome, Stale
from talktime_server.words import CallState, Reason


async def together(
    world: World, asks: Sequence[Asking], *, all_or_none: bool = True
) -> list[Outcome]:
    return await world.ledger.authorize_batch(world.tenant, asks, all_or_none=all_or_none)


async def test_seven_of_nine_legs_are_granted_and_each_is_told_its_own(world: World) -> None:
    """Semantics 68 and 69, best effort: a leg sees what the legs before it took."""
    await world.play(
        """
        fund f1 239
        batch any a,b,c,d,e,f,g,h,i 120 sources=PLAN+CREDITS -> 120 s, 120 s, 120 s, 120 s, 120 s, 120 s, 60 s, {0}, {0}
        pools                                    -> plan 0+600
        settle f 120                             -> charged 120; 119/60
        """.format("INSUFFICIENT_CREDITS")
    )


async def test_all_or_none_moves_nothing_when_one_leg_is_refused(world: World) -> None:
    """Semantics 69: the refused one keeps its reason, the others are told that it was not theirs."""
    await world.play(
        """
        fund f1 100
        batch all a,b 60                         -> BATCH_REFUSED, INSUFFICIENT_CREDITS
        batch all a,b 60                         -> again: BATCH_REFUSED, again: INSUFFICIENT_CREDITS
        balance                                  -> 100/0, spent 0
        batch all c,d 300 sources=PLAN           -> 300 s, 300 s
        batch all c,d 300 sources=PLAN           -> again: 300 s, again: 300 s
        batch all e,f 60 sources=PLAN            -> POOL_EXHAUSTED, POOL_EXHAUSTED
        pools                                    -> plan 0+600
        """
    )


async def test_a_refused_batch_leaves_only_its_receipts(world: World) -> None:
    """Not a line of the journal, not a row, not a count: as if it had never been tried."""
    await world.set(max_spend_per_day_per_payer_micros=100, max_calls_per_second=1)
    await world.fund(500)
    before = await contents(world.store, [world.tenant.tenant_id])
    legs = [world.asking("a", 60, sources=SOURCES["PLAN+CREDITS"], conference="party", budget=900)]
    legs += [world.asking("b", 600, terms=legs[0].terms), world.asking("c", 60)]
    outcomes = await together(world, legs)
    assert [outcome.call.state for outcome in outcomes] == [CallState.REFUSED] * 3
    after = await contents(world.store, [world.tenant.tenant_id])
    assert {name for name in after if after[name] != before.get(name)} == {
        name for name in after if b":c:" in name and name not in before
    }


async def test_the_same_id_twice_in_a_batch_is_one_call(world: World) -> None:
    """Semantics 1: the second is a repeat of the first, whatever the verdict."""
    await world.play(
        """
        fund f1 150
        batch all a,a,b 60                       -> 60 s, again: 60 s, 60 s
        balance                                  -> 150/120, spent 0, open 2
        batch all c,c,d 60                       -> INSUFFICIENT_CREDITS, again: INSUFFICIENT_CREDITS, INSUFFICIENT_CREDITS
        settle b 0
        batch all e,f,e 60                       -> BATCH_REFUSED, INSUFFICIENT_CREDITS, again: BATCH_REFUSED
        """
    )


@pytest.mark.parametrize("all_or_none", [False, True])
@pytest.mark.parametrize("within", [False, True])
async def test_an_id_that_is_another_calls_fails_the_batch_and_nothing_is_held(
    world: World, all_or_none: bool, within: bool
) -> None:
    """Semantics 2: who is told of an error holds nothing, and may ask again under other ids."""
    await world.fund(5000)
    legs = [world.asking("new", 60), world.asking("a", 60)]
    if within:
        legs.append(world.asking("a", 120))
    else:
        await world.authorize("a", 120)
    entries = (await world.prove()).entries
    with pytest.raises(Mismatch):
        await together(world, legs, all_or_none=all_or_none)
    with pytest.raises(NotFound):
        await world.ledger.show(world.tenant.tenant_id, "new")
    assert (await world.prove()).entries == entries


async def test_holds_past_their_lease_are_ended_before_a_batch_is_decided(world: World) -> None:
    """Semantics 27: by the second leg's need, and the first leg's answer shows it too."""
    await world.play(
        """
        fund f1 120
        authorize old 60                         -> granted 60 s, holds 60; 120/60
        wait 181
        batch all a,b 60                         -> 60 s, 60 s
        show a                                   -> open, 60 s, holds 60
        show old                                 -> expired 60; 120/0
        """
    )


async def test_profiles_that_changed_leave_the_whole_batch_undecided(world: World) -> None:
    """Semantics 87: not the first half by the old ones and the rest by the new ones."""
    await world.fund(5000)
    stale = [world.asking("a", 60), world.asking("b", 60, payer="nobody")]
    with pytest.raises(Stale):
        await together(world, [stale[0], _of_old_version(stale[1])], all_or_none=False)
    with pytest.raises(NotFound):
        await world.ledger.show(world.tenant.tenant_id, "a")


def _of_old_version(asking: Asking) -> Asking:
    return Asking(asking.call_id, asking.facts, 7, asking.asked_seconds, asking.sources)


async def test_a_leg_that_cannot_be_read_fails_the_batch_and_nothing_is_held(world: World) -> None:
    """An error is raised before anything changed, for all of them."""
    await world.fund(5000)
    with pytest.raises(Broken):
        await together(world, [world.asking("a", 60), world.asking("b", -1)])
    with pytest.raises(NotFound):
        await world.ledger.show(world.tenant.tenant_id, "a")
    assert (await world.prove()).conserved


async def test_a_decision_that_was_made_above_counts_as_a_refused_leg(world: World) -> None:
    await world.fund(5000)
    asks = [world.asking("a", 60), world.asking("b", 60, refusal=Reason.POLICY)]
    outcomes = await together(world, asks)
    refusals = [outcome.call.first and outcome.call.first.refusal for outcome in outcomes]
    assert refusals == [Reason.BATCH_REFUSED, Reason.POLICY]


def granted(extended: Outcome | Judge) -> int:
    assert extended.call.last is not None
    return extended.call.last.granted_seconds


def stretches(extended: Outcome | Judge) -> list[int]:
    assert extended.call.last is not None
    return [part.seconds for part in extended.call.last.stretches]


async def test_what_one_tick_asks_of_one_call_is_one_after_the_other(world: World) -> None:
    """The same id in one batch of the store: authorize twice, extend twice, settle and release."""
    await world.fund(5000)
    first, again = await asyncio.gather(world.authorize("a", 60), world.authorize("a", 60))
    assert (first.replayed, again.replayed) == (False, True)
    assert first.call == again.call
    one, two = await asyncio.gather(world.extend("a", 1, 60), world.extend("a", 2, 60))
    assert (one.call.granted_seconds, two.call.granted_seconds) == (120, 180)
    assert granted(one) == 120, "not changed by the later one"
    ends = await asyncio.gather(
        world.settle("a", 61), world.release("a"), world.settle("a", 61), return_exceptions=True
    )
    assert sum(isinstance(end, Outcome) for end in ends) in (1, 2)
    proof = await world.prove()
    assert proof.conserved
    assert proof.balance.open_calls == 0


async def test_views_are_of_their_own_moment_when_slices_move_twice_in_one_tick(
    world: World,
) -> None:
    """Two pools and credits: the first extension's answer keeps its stretches and slices."""
    await world.fund(5000)
    await world.authorize("a", 60, sources=SOURCES["TWO"])
    one, two = await asyncio.gather(world.extend("a", 1, 300), world.extend("a", 2, 900))
    assert [part.held_seconds for part in one.call.slices] == [300, 60]
    assert [part.held_seconds for part in two.call.slices] == [300, 600]
    assert stretches(one) == [300, 60]
    assert stretches(two) == [300, 600, 360]
    assert (await world.prove()).conserved
