"""Authorize: the first answer again, else a refusal, else a hold. Refusals stand in the order in which they are looked for."""

import asyncio

import pytest

from ledger.world import World, facts_of, open_world
from stores import StoreProcess, contents
from talktime_server.failure import Mismatch, NotFound
from talktime_server.ledger.operations import Stale
from talktime_server.ledger.profiles import Payer, Tenant
from talktime_server.ledger.records import EMERGENCY
from talktime_server.words import CallState, Reason


async def test_a_grant_holds_its_price_and_lives_longer_than_its_talk(world: World) -> None:
    """Semantics 29: the grant is talk time, the lease is how long the hold lives."""
    await world.fund(5000)
    grant = (await world.authorize("a", 600)).call.first
    assert grant is not None
    assert (grant.granted_seconds, grant.held_micros, grant.lease_seconds) == (600, 600, 720)


async def test_refusals_come_in_their_order(world: World) -> None:
    """What the decision found comes before the limits, the limits before the money."""
    await world.play(
        """
        set max_open_calls=1 max_open_calls_per_payer=1
        authorize a 600 refusal=NO_RATE         -> refused NO_RATE; 0/0
        authorize b 600                         -> refused INSUFFICIENT_CREDITS; 0/0
        fund f1 1000                            -> 1000/0
        authorize c 600                         -> granted 600 s, holds 600; 1000/600
        authorize d 600 refusal=POLICY          -> refused POLICY; 1000/600
        authorize e 600                         -> refused CALL_LIMIT; 1000/600
        authorize f 600 sources=INCLUDED         -> refused CALL_LIMIT; 1000/600
        authorize g 600 sources=EMERGENCY        -> granted 600 s, holds 0; 1000/600
        """
    )


async def test_a_repeated_authorize_gets_its_first_answer_and_holds_nothing_more(
    world: World,
) -> None:
    """Semantics 1: every field of the answer is the first one's, whatever has happened since."""
    await world.fund(5000)
    first = await world.authorize("a", 600)
    await world.authorize("b", 600)
    second = await world.authorize("a", 600)
    assert (first.replayed, second.replayed) == (False, True)
    assert first.call == second.call
    assert (await world.prove()).balance.money.held_micros == 1200


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("call_type", "CONF_OUT"),
        ("payer_id", "ben"),
        ("from_number", "+12025550199"),
        ("to_number", "+442071838751"),
        ("conference_id", "meeting"),
        ("requested_seconds", "601"),
        ("routing_number", "+442071838752"),
    ],
)
async def test_an_altered_repeat_is_told_the_field_and_moves_nothing(
    world: World, field: str, changed: str
) -> None:
    """Semantics 2 and 5: two calls with one id never become one call."""
    await world.fund(5000)
    first = await world.authorize("a", 600)
    before = await contents(world.store, [world.tenant.tenant_id])
    asking = world.asking("a")._replace(facts=facts_of()._replace(**{field: changed}))
    with pytest.raises(Mismatch) as caught:
        await world.ledger.authorize(world.tenant, asking)
    assert caught.value.facts == {"field": field}
    assert await contents(world.store, [world.tenant.tenant_id]) == before
    assert (await world.authorize("a", 600)).call == first.call


async def test_what_the_decision_found_may_differ_in_a_repeat(world: World) -> None:
    """Semantics 35: another deck between the two askings changes neither the price nor the answer."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        authorize a 600 rate=90 -> again: granted 600 s, holds 600; 5000/600
        settle a 600            -> charged 600; 4400/0
        """
    )


async def test_a_refusal_stays_a_refusal_after_funds_came(world: World) -> None:
    """Semantics 4: who wants to try again takes a new id."""
    await world.play(
        """
        authorize a 600         -> refused INSUFFICIENT_CREDITS; 0/0
        fund f1 5000            -> 5000/0
        authorize a 600         -> again: refused INSUFFICIENT_CREDITS; 0/0
        authorize a2 600        -> granted 600 s, holds 600; 5000/600
        """
    )


async def test_another_node_gives_the_first_answer_too(
    world: World, store_process: StoreProcess
) -> None:
    """Semantics 3: the receipt is the tenant's, not the process's."""
    await world.fund(5000)
    first = await world.authorize("a", 600)
    async with open_world(store_process.url, world.tenant.tenant_id) as other:
        assert (await other.authorize("a", 600)).call == first.call


async def test_money_for_a_part_grants_whole_steps_and_says_that_they_are_the_last(
    world: World,
) -> None:
    """Semantics 31: never below the first increment."""
    await world.play(
        """
        fund f1 179             -> 179/0
        authorize a 600         -> final 120 s, holds 120; 179/120
        authorize b 600         -> refused INSUFFICIENT_CREDITS; 179/120
        fund f2 1               -> 180/120
        authorize c 600         -> final 60 s, holds 60; 180/180
        """
    )


async def test_money_for_exactly_the_request_is_no_final_grant(world: World) -> None:
    await world.play(
        """
        fund f1 599                     -> 599/0
        authorize a 600                 -> final 540 s, holds 540; 599/540
        release a                       -> released 540; 599/0
        fund f2 1                       -> 600/0
        authorize b 600                 -> granted 600 s, holds 600; 600/600
        """
    )


@pytest.mark.parametrize(
    "row",
    [
        "authorize a 90                             -> granted 90 s, holds 120; 1000/120",
        "authorize a 600 fee=400                    -> granted 600 s, holds 1000; 1000/1000",
        "authorize a 600 fee=401                    -> final 540 s, holds 941; 1000/941",
        "authorize a 600 fee=941                    -> refused INSUFFICIENT_CREDITS; 1000/0",
        "authorize a 30 fee=940                     -> granted 30 s, holds 1000; 1000/1000",
        "authorize a 600 rate=7 initial=1 increment=1 -> granted 600 s, holds 70; 1000/70",
        "authorize a 61 rate=7 initial=1 increment=1  -> granted 61 s, holds 8; 1000/8",
        "authorize a 600 rate=120 initial=30 increment=6 -> final 498 s, holds 996; 1000/996",
        "authorize a 600 rate=0                     -> granted 600 s, holds 0; 1000/0",
        "authorize a 600 rate=0 fee=1001            -> refused INSUFFICIENT_CREDITS; 1000/0",
        "authorize a 600 rate=60000 initial=1 increment=1 -> final 1 s, holds 1000; 1000/1000",
        "authorize a 600 rate=60001 initial=1 increment=1 -> refused INSUFFICIENT_CREDITS; 1000/0",
    ],
)
async def test_what_a_thousand_micros_buy(world: World, row: str) -> None:
    """Fee, first increment and steps are all in the hold; a cut grant is whole steps."""
    await world.play(f"fund f1 1000 -> 1000/0\n{row}")


async def test_a_cut_grant_below_the_tenants_least_is_refused(world: World) -> None:
    """Semantics 32: the call would drop at once. A request that is itself that short is granted."""
    await world.play(
        """
        set min_grant_seconds=180
        fund f1 179             -> 179/0
        authorize a 600         -> refused INSUFFICIENT_CREDITS; 179/0
        authorize b 120         -> granted 120 s, holds 120; 179/120
        fund f2 121             -> 300/120
        authorize c 600         -> final 180 s, holds 180; 300/300
        """
    )


async def test_included_and_emergency_calls_hold_nothing_and_are_recorded(world: World) -> None:
    """Semantics 45: also at zero."""
    await world.play(
        """
        authorize a 600 sources=INCLUDED     -> granted 600 s, holds 0; 0/0
        authorize b 600 sources=EMERGENCY    -> granted 600 s, holds 0; 0/0
        balance                             -> 0/0, spent 0, open 2
        settle a 300                        -> charged 0; 0/0
        settle b 300                        -> charged 0; 0/0
        """
    )
    assert await world.told() == [
        ("RECORD", "a"),
        ("RECORD", "b"),
        ("SETTLE", "a"),
        ("SETTLE", "b"),
    ]


async def test_a_lease_that_is_over_frees_its_money_for_the_next_caller_at_once(
    world: World,
) -> None:
    """Semantics 27: nobody waits for a sweep."""
    await world.play(
        """
        fund f1 600                     -> 600/0
        authorize a 600                 -> granted 600 s, holds 600; 600/600
        wait 719
        authorize b 600                 -> refused INSUFFICIENT_CREDITS; 600/600
        wait 1.5
        authorize c 600                 -> granted 600 s, holds 600; 600/600
        show a                          -> expired 600; 600/0
        """
    )


async def test_a_lease_that_ends_this_very_moment_harms_no_other_caller(world: World) -> None:
    """With the clock standing still, a caller is answered all the same."""
    await world.fund(600)
    lease_ms = (await world.authorize("a", 600)).call.lease_ms
    await world.stop_clock_at(lease_ms)
    assert (await world.authorize("b", 600)).call.state in (CallState.OPEN, CallState.REFUSED)
    await world.stop_clock_at(lease_ms + 1)
    assert (await world.authorize("c", 600)).call.first is not None
    assert (await world.prove()).conserved


async def test_a_quote_holds_and_keeps_nothing(world: World) -> None:
    await world.fund(100)
    before = await contents(world.store, [world.tenant.tenant_id])
    await world.play(
        """
        authorize a 600 dry=yes                 -> final 60 s, holds 60; 100/0
        authorize a 60 dry=yes rate=120         -> refused INSUFFICIENT_CREDITS; 100/0
        authorize a 60 dry=yes refusal=POLICY   -> refused POLICY; 100/0
        show a                                  -> UNKNOWN_CALL
        """
    )
    assert await contents(world.store, [world.tenant.tenant_id]) == before


async def test_a_decision_by_old_profiles_is_made_again(world: World) -> None:
    """Semantics 87: a licence taken away a millisecond ago is seen; a repeat needs no profiles."""
    await world.fund(5000)
    old = world.asking("a")
    await world.directory.put_payer(world.tenant.tenant_id, Payer("ann", "US", "Ann"))
    with pytest.raises(Stale):
        await world.ledger.authorize(world.tenant, old)
    await world.authorize("b", payer="ben")
    before = world.tenant
    await world.set(max_open_calls=9)
    with pytest.raises(Stale):
        await world.ledger.authorize(before, world.asking("c", payer="ben"))
    again = await world.ledger.authorize(before, world.asking("b", payer="ben"))
    assert again.replayed


async def test_an_emergency_call_asks_for_no_profile(world: World) -> None:
    """Semantics 73 as far as the ledger: neither an old profile nor a missing payer stops it."""
    old = world.tenant
    await world.set(max_open_calls=1)
    asking = world.asking("a", payer="nobody", sources=EMERGENCY)
    assert (await world.ledger.authorize(old, asking)).call.state is CallState.OPEN


async def test_an_unknown_tenant_is_not_found(world: World) -> None:
    nobody = Tenant(f"{world.tenant.tenant_id}-not", "USD", "US")
    with pytest.raises(NotFound) as caught:
        await world.ledger.authorize(nobody, world.asking("a"))
    assert caught.value.reason == "UNKNOWN_TENANT"


async def test_a_payer_that_came_into_being_since_is_seen(world: World) -> None:
    refused = world.asking("a", payer="cid", refusal=Reason.PAYER_UNKNOWN)
    await world.directory.put_payer(world.tenant.tenant_id, Payer("cid", "US"))
    with pytest.raises(Stale):
        await world.ledger.authorize(world.tenant, refused)


async def test_calls_asked_in_one_breath_are_decided_in_their_order(world: World) -> None:
    """One script call for all of them, and each sees what those before it took."""
    await world.fund(7 * 60)
    outcomes = await asyncio.gather(*(world.authorize(f"c{n}", 60) for n in range(150)))
    states = [outcome.call.state for outcome in outcomes]
    assert states == [CallState.OPEN] * 7 + [CallState.REFUSED] * 143


async def test_more_than_one_batch_of_a_tick_is_decided_in_the_order_asked(world: World) -> None:
    """The last cent goes to whoever came first, also where a hundred others came at the same moment."""
    for turn in range(10):
        await world.fund(60 * 130, f"f{turn}")
        asked = [f"leg-{turn}-{n}" for n in range(250)]
        outcomes = await asyncio.gather(*(world.authorize(call_id, 60) for call_id in asked))
        firsts = [outcome.call.first for outcome in outcomes]
        granted = [n for n, first in enumerate(firsts) if first and first.granted_seconds]
        assert granted == list(range(130))
        await asyncio.gather(*(world.settle(asked[n], 60) for n in granted))
