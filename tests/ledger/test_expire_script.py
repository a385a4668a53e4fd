"""Expire: time ends the hold of a call that nobody spoke of again."""

import asyncio

import pytest

from ledger.world import RECEIPT_TTL_S, REFUSAL_TTL_S, World, open_world
from stores import StoreProcess
from talktime_server.ledger import keys
from talktime_server.ledger.ledger import Ledger
from talktime_server.words import CallState


async def test_an_orphan_costs_nothing_unless_the_tenant_says_so(world: World) -> None:
    """Semantics 25, release: even when an Extend proved talk time."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        wait 590
        extend a 1 600          -> granted 1200 s, holds 1200; 5000/1200
        wait 731
        balance                 -> 5000/0, spent 0, abandoned 1
        show a                  -> expired 1200; 5000/0
        """
    )


async def test_an_orphan_is_charged_what_its_last_extension_proved(world: World) -> None:
    """Semantics 25, charge: a call that was never extended proved nothing; a later settle sets it right."""
    await world.play(
        """
        set charge_orphans=1
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        authorize b 600         -> granted 600 s, holds 600; 5000/1200
        authorize c 600 sources=INCLUDED -> granted 600 s, holds 0; 5000/1200
        wait 500
        extend a 1 600          -> granted 1200 s, holds 1200; 5000/1800
        extend c 1 600          -> granted 1200 s, holds 0; 5000/1800
        wait 821
        balance                 -> 4460/0, spent 540, abandoned 3
        show a                  -> expired 660, charged 540; 4460/0
        show b                  -> expired 600; 5000/1200
        settle a 700            -> charged 720 late; 4280/0
        settle b 100            -> charged 120 late; 4160/0
        balance                 -> 4160/0, spent 840, abandoned 3
        """
    )


async def test_an_orphan_charged_too_much_gets_the_difference_back_with_its_settle(
    world: World,
) -> None:
    """Semantics 16 and 25: charged once, and that is what the receipt says."""
    await world.play(
        """
        set charge_orphans=1
        fund f1 5000            -> 5000/0
        authorize a 600 fee=50  -> granted 600 s, holds 650; 5000/650
        wait 500
        extend a 1 60           -> granted 660 s, holds 710; 5000/710
        wait 281
        expire a                -> expired 120, charged 590; 4410/0
        settle a 61             -> charged 170 late; 4830/0
        settle a 61             -> again: charged 170 late; 4830/0
        balance                 -> 4830/0, spent 170, abandoned 1
        """
    )


async def test_an_orphan_that_was_never_answered_gets_all_of_it_back(world: World) -> None:
    await world.play(
        """
        set charge_orphans=1
        fund f1 5000            -> 5000/0
        authorize a 600 fee=50  -> granted 600 s, holds 650; 5000/650
        wait 500
        extend a 1 60           -> granted 660 s, holds 710; 5000/710
        wait 281
        expire a                -> expired 120, charged 590; 4410/0
        settle a 0              -> charged 0 late; 5000/0
        """
    )


async def test_a_call_that_is_orphaned_twice_is_charged_its_proven_time_once(world: World) -> None:
    """Semantics 18 and 25: what was charged counts when the hold is taken anew, and when it expires again."""
    await world.play(
        """
        set charge_orphans=1
        fund f1 2000            -> 2000/0
        authorize a 600         -> granted 600 s, holds 600; 2000/600
        wait 590
        extend a 1 600          -> granted 1200 s, holds 1200; 2000/1200
        wait 731
        expire a                -> expired 600, charged 600; 1400/0
        extend a 2 60           -> taken anew: granted 1260 s, holds 660; 1400/660
        wait 181
        expire a                -> expired 60, charged 1200; 800/0
        extend a 3 60           -> taken anew: granted 1320 s, holds 120; 800/120
        wait 181
        expire a                -> expired 60, charged 1260; 740/0
        settle a 1320           -> charged 1320 late; 680/0
        balance                 -> 680/0, spent 1320, abandoned 3
        """
    )


async def test_a_reacquired_call_needs_money_only_for_what_is_not_paid(world: World) -> None:
    """Semantics 18: the proven charge is part of the price of the total."""
    await world.play(
        """
        set charge_orphans=1
        fund f1 730             -> 730/0
        authorize a 600         -> granted 600 s, holds 600; 730/600
        wait 600
        extend a 1 60           -> granted 660 s, holds 660; 730/660
        wait 181
        expire a                -> expired 60, charged 600; 130/0
        extend a 2 600          -> taken anew: final 720 s, holds 120; 130/120
        settle a 720            -> charged 720; 10/0
        """
    )


async def test_a_hold_expires_once_and_not_before_its_lease_is_over(world: World) -> None:
    """Semantics 25 and 26: asking too early, twice, or for nobody changes nothing."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        expire a                -> open, 600 s, holds 600
        wait 719
        expire a                -> open, 600 s, holds 600
        wait 2
        expire a a              -> expired 600; 5000/0
        expire a                -> expired 600; 5000/0
        expire nobody           -> UNKNOWN_CALL
        balance                 -> 5000/0, spent 0, abandoned 1
        """
    )


async def test_a_lease_lives_to_its_last_millisecond(world: World) -> None:
    await world.fund(600)
    lease_ms = (await world.authorize("a", 600)).call.lease_ms
    await world.stop_clock_at(lease_ms)
    await world.ledger.expire(world.tenant, ["a"])
    assert (await world.ledger.show(world.tenant.tenant_id, "a")).state is CallState.OPEN
    await world.stop_clock_at(lease_ms + 1)
    await world.ledger.expire(world.tenant, ["a"])
    assert (await world.ledger.show(world.tenant.tenant_id, "a")).state is CallState.EXPIRED


async def test_a_clock_that_goes_back_lengthens_no_lease_and_shortens_none(world: World) -> None:
    """Semantics 77 and 78: the tenant's time stands still until the store's clock has caught up."""
    await world.fund(5000)
    await world.advance(3600)
    first = await world.authorize("a", 600)
    second = await world.authorize("b", 600)
    assert first.call.first is not None
    assert second.call.first is not None
    assert second.call.first.decided_ms == first.call.first.decided_ms
    assert second.call.lease_ms == first.call.lease_ms
    settled = await world.settle("a", 60)
    assert settled.call.ending is not None
    assert settled.call.ending.ended_ms == first.call.first.decided_ms
    assert not settled.call.ending.late


async def test_credits_lapse_when_their_time_is_over_but_held_ones_finish_their_call(
    world: World,
) -> None:
    """Semantics 41, one lot: what comes back from a hold lapses then."""
    await world.play(
        """
        fund f1 1000 days=1             -> 1000/0
        wait 86000
        authorize a 600                 -> granted 600 s, holds 600; 1000/600
        wait 401
        balance                         -> 600/600, spent 0, expired 400, open 1
        authorize b 60                  -> refused INSUFFICIENT_CREDITS; 600/600
        balance                         -> 600/600, spent 0, expired 400, open 1
        settle a 300                    -> charged 300; 0/0
        balance                         -> 0/0, spent 300, expired 700
        """
    )


async def test_each_lot_has_its_own_time(world: World) -> None:
    """Domain.md 5: what is unused of a purchase is lost, and nothing of the others."""
    await world.play(
        """
        fund f1 1000 days=1             -> 1000/0
        fund f2 500 days=2              -> 1500/0
        wait 86401
        balance                         -> 500/0, spent 0, expired 1000
        wait 86400
        authorize a 60                  -> refused INSUFFICIENT_CREDITS; 0/0
        fund f3 100 days=1              -> 100/0
        balance                         -> 100/0, spent 0, expired 1500
        """
    )


async def test_the_index_of_leases_never_names_a_later_moment_than_the_earliest(
    world: World,
) -> None:
    """Or the sweeper would forget a hold. Earlier is harmless: asking for the head sets it right."""
    owner = world.tenant.tenant_id
    due, calls = keys.due(keys.shard_of(owner)), keys.open_calls(owner)

    async def indexed_and_earliest() -> tuple[float, float]:
        head = await world.store.command("ZRANGE", calls, 0, 0, "WITHSCORES")
        pairs = [score for row in head for score in (row if isinstance(row, list) else [row])]
        return float(await world.store.command("ZSCORE", due, owner)), float(pairs[1])

    await world.fund(10**6)
    for call_id, seconds in (("long", 6000), ("short", 60), ("middle", 600)):
        await world.authorize(call_id, seconds)
        indexed, earliest = await indexed_and_earliest()
        assert indexed <= earliest
    await world.extend("short", 1, 1200)
    await world.release("middle")
    indexed, earliest = await indexed_and_earliest()
    assert indexed <= earliest
    await world.ledger.expire(world.tenant, ["short"])
    indexed, earliest = await indexed_and_earliest()
    assert indexed == earliest
    await world.settle("short", 1)
    await world.settle("long", 1)
    await world.ledger.expire(world.tenant, [""])
    assert await world.store.command("ZSCORE", due, owner) is None


async def test_a_thousand_abandoned_holds_are_free_for_the_next_caller_at_once(
    world: World,
) -> None:
    """Semantics 90: no script call names or ends more than a hundred of them, and nobody is refused meanwhile."""
    await world.fund(1000 * 60)
    await asyncio.gather(*(world.authorize(f"c{n:04}", 60) for n in range(1000)))
    await world.advance(181)
    before = await _scripts_run(world)
    assert (await world.authorize("next", 60_000)).call.held_micros == 60_000
    # Names a hundred, ends them in two calls, ten times; then the grant.
    assert await _scripts_run(world) - before == 10 + 20 + 1
    assert (await world.ledger.balance(world.tenant)).abandoned_calls == 1000
    assert (await world.prove()).conserved


async def _scripts_run(world: World) -> int:
    stats = await world.store.command("INFO", "commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


async def test_receipts_live_as_long_as_the_settings_say(world: World) -> None:
    """Semantics 8: open calls for ever, ended ones for a day, refusals for ten minutes."""
    await world.play(
        """
        set max_open_calls=4
        fund f1 5000            -> 5000/0
        authorize open 60       -> granted 60 s, holds 60; 5000/60
        authorize settled 60    -> granted 60 s, holds 60; 5000/120
        authorize released 60   -> granted 60 s, holds 60; 5000/180
        authorize expired 60    -> granted 60 s, holds 60; 5000/240
        authorize refused 60    -> refused CALL_LIMIT; 5000/240
        settle settled 60       -> charged 60; 4940/180
        release released        -> released 60; 4940/120
        extend open 1 600       -> granted 660 s, holds 660; 4940/720
        wait 181
        expire expired          -> expired 60; 4940/660
        """
    )
    lives = {"open": -1, "settled": RECEIPT_TTL_S, "released": RECEIPT_TTL_S}
    lives |= {"expired": RECEIPT_TTL_S, "refused": REFUSAL_TTL_S}
    for call_id, life_s in lives.items():
        left = await world.store.command("TTL", keys.call(world.tenant.tenant_id, call_id))
        assert life_s - 5 <= left <= life_s


async def test_a_receipt_that_is_gone_is_an_unknown_call(store_process: StoreProcess) -> None:
    """Semantics 8 without the archive: a late repeat never charges a second time."""
    async with open_world(store_process.url, "forgetful") as world:
        world.ledger = Ledger(world.store, receipt_ttl_s=1, refusal_ttl_s=1)
        await world.fund(5000)
        await world.authorize("a", 600)
        await world.settle("a", 60)
        name = keys.call("forgetful", "a")
        assert await world.store.command("EXPIRE", name, 0) == 1
        await world.play(
            """
            settle a 60             -> UNKNOWN_CALL
            extend a 1 60           -> UNKNOWN_CALL
            release a               -> UNKNOWN_CALL
            balance                 -> 4940/0, spent 60
            """
        )


@pytest.mark.parametrize("charge_orphans", [False, True])
async def test_the_receipt_of_an_expired_call_adds_up(world: World, charge_orphans: bool) -> None:
    """What was charged and what was given back are together what was held."""
    await world.set(charge_orphans=charge_orphans)
    await world.fund(5000)
    await world.authorize("a", 600)
    await world.advance(301)
    await world.extend("a", 1, 600)
    await world.advance(2000)
    await world.ledger.balance(world.tenant)
    ending = (await world.ledger.show(world.tenant.tenant_id, "a")).ending
    assert ending is not None
    assert ending.charged_micros + ending.released_micros == 1200
    assert (ending.duration_seconds, ending.billed_seconds, ending.charged_micros) == (
        (301, 360, 360) if charge_orphans else (0, 0, 0)
    )
