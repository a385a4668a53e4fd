"""Minutes of pools: whole minutes, in order, never over the size, closed by their other pool, and before all money."""

from ledger.story import SOURCES
from ledger.world import World
from talktime_server.ledger import keys
from talktime_server.ledger.records import INCLUDED, Pool, Slice, Sources


async def test_one_hold_lies_over_a_pool_and_credits_and_settle_uses_them_in_that_order(
    world: World,
) -> None:
    """Semantics 39 and 10: the pool has ten minutes, the call asks for more; what is not used goes back."""
    await world.play(
        """
        fund f1 5000
        authorize a 420 sources=PLAN             -> granted 420 s, holds 0; 5000/0
        authorize b 600 sources=PLAN+CREDITS fee=50 -> granted 600 s, holds 420; 5000/420
        paid b                                   -> plan 180 s, CREDITS 420 s for 420
        pools                                    -> plan 0+600
        settle b 200 -> charged 60; 4940/0
        paid b                                   -> plan 180 s, CREDITS 20 s for 60
        pools                                    -> plan 180+420
        settle a 61                              -> charged 0; 4940/0
        paid a                                   -> plan 61 s
        pools                                    -> plan 300+0
        """
    )


async def test_a_pool_counts_started_minutes_in_full(world: World) -> None:
    """Domain.md 4: one second over a minute is another minute."""
    await world.play(
        """
        authorize a 1 sources=PLAN               -> granted 1 s, holds 0; 0/0
        pools                                    -> plan 0+60
        extend a 1 60                            -> granted 61 s, holds 0; 0/0
        pools                                    -> plan 0+120
        settle a 60                              -> charged 0; 0/0
        pools                                    -> plan 60+0
        authorize b 541 sources=PLAN             -> final 540 s, holds 0; 0/0
        authorize c 1 sources=PLAN               -> refused POOL_EXHAUSTED; 0/0
        settle b 0                               -> charged 0; 0/0
        pools                                    -> plan 60+0
        """
    )


async def test_refusals_come_in_order_of_precedence(world: World) -> None:
    """What the rooms above found, then too many calls, then costly ones, then pools, then money."""
    await world.play(
        """
        set max_open_calls=2 max_costly_calls_per_day=1
        authorize a 600 sources=PLAN costly=yes  -> granted 600 s, holds 0; 0/0
        authorize b 60 sources=PLAN refusal=NO_LICENSE -> refused NO_LICENSE; 0/0
        authorize c 60 sources=PLAN costly=yes   -> refused SPEND_LIMIT; 0/0
        authorize d 60 sources=PLAN              -> refused POOL_EXHAUSTED; 0/0
        authorize e 60 sources=PLAN+CREDITS      -> refused INSUFFICIENT_CREDITS; 0/0
        authorize f 60 sources=INCLUDED          -> granted 60 s, holds 0; 0/0
        authorize g 60 sources=PLAN costly=yes   -> refused CALL_LIMIT; 0/0
        authorize h 60 sources=EMERGENCY         -> granted 60 s, holds 0; 0/0
        """
    )


async def test_a_grant_is_cut_to_the_pool_and_refused_below_the_least(world: World) -> None:
    """Semantics 31 and 32 for minutes."""
    await world.play(
        """
        set min_grant_seconds=90
        authorize a 480 sources=PLAN             -> granted 480 s, holds 0; 0/0
        authorize b 300 sources=PLAN             -> final 120 s, holds 0; 0/0
        release b                                -> released 0; 0/0
        extend a 1 60                            -> granted 540 s, holds 0; 0/0
        authorize c 300 sources=PLAN             -> refused POOL_EXHAUSTED; 0/0
        authorize d 60 sources=PLAN              -> granted 60 s, holds 0; 0/0
        """
    )


async def test_the_fee_is_due_only_when_money_pays_from_the_start(world: World) -> None:
    """Domain.md 4: it falls due at the start of the call, and there the pool pays."""
    await world.play(
        """
        fund f1 5000
        authorize a 660 sources=PLAN+CREDITS fee=50 -> granted 660 s, holds 60; 5000/60
        authorize b 60 sources=PLAN+CREDITS fee=50  -> granted 60 s, holds 110; 5000/170
        settle a 660                             -> charged 60; 4940/110
        settle b 60                              -> charged 110; 4830/0
        """
    )


async def test_what_opens_meanwhile_pays_for_the_settle(world: World) -> None:
    """Held on credits because the pool was held; when the call ends the pool has minutes, which come first."""
    await world.play(
        """
        fund f1 5000
        authorize a 600 sources=PLAN             -> granted 600 s, holds 0; 5000/0
        authorize b 120 sources=PLAN+CREDITS fee=9 -> granted 120 s, holds 129; 5000/129
        release a                                -> released 0; 5000/129
        settle b 120                             -> charged 0; 5000/0
        paid b                                   -> plan 120 s
        """
    )


async def test_an_overrun_grows_into_what_is_left_of_the_pool_and_no_further(world: World) -> None:
    """Semantics 11: then money; and where none may pay, the seconds are told and nobody paid for them."""
    await world.play(
        """
        fund f1 5000
        authorize a 60 sources=PLAN              -> granted 60 s, holds 0; 5000/0
        authorize b 60 sources=PLAN+CREDITS      -> granted 60 s, holds 0; 5000/0
        settle b 600                             -> charged 60 overrun; 4940/0
        paid b                                   -> plan 540 s, CREDITS 60 s for 60
        settle a 100                             -> charged 0 overrun uncovered 40 s; 4940/0
        paid a                                   -> plan 60 s
        pools                                    -> plan 600+0
        """
    )


async def test_a_late_settle_takes_what_is_left_today(world: World) -> None:
    """Semantics 16: the hold was given back and others may have drawn on it."""
    await world.play(
        """
        set floor_micros=-1000
        month
        authorize a 600 sources=PLAN+CREDITS     -> granted 600 s, holds 0; 0/0
        wait 721
        authorize b 480 sources=PLAN             -> granted 480 s, holds 0; 0/0
        settle a 300                             -> charged 180 late; -180/0
        paid a                                   -> plan 120 s, CREDITS 180 s for 180
        settle b 480                             -> charged 0; -180/0
        pools                                    -> plan 600+0
        """
    )


async def test_minutes_of_expired_holds_are_free_at_once_even_where_credits_could_pay(
    world: World,
) -> None:
    """Semantics 27."""
    await world.play(
        """
        fund f1 5000
        authorize a 600 sources=PLAN             -> granted 600 s, holds 0; 5000/0
        wait 721
        authorize b 120 sources=PLAN+CREDITS     -> granted 120 s, holds 0; 5000/0
        balance                                  -> 5000/0, spent 0, abandoned 1, open 1
        """
    )


async def test_an_extension_spans_two_pools_and_credits(world: World) -> None:
    """Semantics 17 and 39: those it drew on before come first, and a repeat says the same."""
    await world.play(
        """
        fund f1 5000
        authorize a 240 sources=TWO              -> granted 240 s, holds 0; 5000/0
        extend a 1 300                           -> granted 540 s, holds 0; 5000/0
        paid a                                   -> abroad 300 s, plan 240 s
        extend a 2 600                           -> granted 1140 s, holds 240; 5000/240
        extend a 2 600                           -> again: granted 1140 s, holds 240; 5000/240
        authorize a 240 sources=TWO              -> again: granted 240 s, holds 0; 5000/0
        paid a                                   -> abroad 300 s, plan 600 s, CREDITS 240 s for 240
        pools                                    -> abroad 0+300, plan 0+600
        settle a 330                             -> charged 0; 5000/0
        paid a                                   -> abroad 300 s, plan 30 s
        pools                                    -> abroad 300+0, plan 60+0
        """
    )


async def test_either_pool_that_is_used_up_closes_the_other(world: World) -> None:
    """Domain.md 3, MCOPSTN2: held minutes close as well as used ones, and open again when they are given back."""
    await world.play(
        """
        authorize a 60 sources=HOME              -> granted 60 s, holds 0; 0/0
        authorize b 300 sources=ABROAD           -> granted 300 s, holds 0; 0/0
        authorize c 60 sources=HOME              -> refused POOL_EXHAUSTED; 0/0
        extend a 1 60                            -> refused POOL_EXHAUSTED, has 60 s; 0/0
        settle a 120                             -> charged 0 overrun uncovered 60 s; 0/0
        settle b 240                             -> charged 0; 0/0
        authorize d 60 sources=HOME              -> granted 60 s, holds 0; 0/0
        pools                                    -> abroad 240+0, home 60+60
        """
    )


async def test_a_pools_size_follows_the_licences_at_once_and_takes_nothing_back(
    world: World,
) -> None:
    """Semantics 67: holds that are there stay; nobody else gets a minute until there is room."""
    await world.play(
        """
        authorize a 60 sources=COUNTED           -> refused POOL_EXHAUSTED; 0/0
        assign MCOPSTN1:US 2
        authorize b 1200 sources=COUNTED         -> granted 1200 s, holds 0; 0/0
        assign MCOPSTN1:US 1
        authorize c 60 sources=COUNTED           -> refused POOL_EXHAUSTED; 0/0
        settle b 1200                            -> charged 0; 0/0
        pools                                    -> counted 1200+0
        assign MCOPSTN1:US 3
        authorize d 900 sources=COUNTED          -> final 600 s, holds 0; 0/0
        """
    )


async def test_bought_licences_size_a_pool_when_they_are_more_than_the_assigned_ones(
    world: World,
) -> None:
    """Domain.md 3: the Zone A pool."""
    zone = Sources(pools=(Pool("zone-a/MCOMEETADV", "MCOMEETADV:", 60, bought=2),))
    first = await world.authorize("a", 600, sources=zone)
    assert first.call.granted_seconds == 120
    await world.store.command("HSET", keys.meters(world.tenant.tenant_id), "n:MCOMEETADV:", 3)
    more = await world.authorize("b", 600, sources=zone)
    assert more.call.granted_seconds == 60


async def test_a_call_that_was_paid_does_not_become_free(world: World) -> None:
    """Semantics 67, the other way round: a licence found at its next extension has no effect on what is held."""
    await world.fund(5000)
    await world.authorize("a", 720, sources=SOURCES["PLAN+CREDITS"])
    await world.set(display_name="anew")
    await world.extend("a", 1, 60, sources=INCLUDED, epoch=await world.epoch())
    await world.play(
        """
        pools                                    -> plan 0+600
        paid a                                   -> plan 600 s, CREDITS 180 s for 180
        settle a 700                             -> charged 120; 4880/0
        """
    )


async def test_an_extension_that_is_refused_leaves_the_hold_to_pay(world: World) -> None:
    """Semantics 67: a credits licence that is taken away has no effect on what is held."""
    await world.play(
        """
        fund f1 5000
        authorize a 720 sources=PLAN+CREDITS     -> granted 720 s, holds 120; 5000/120
        set cut_running_calls=0 max_open_calls=9
        extend a 1 600 sources=PLAN              -> refused POOL_EXHAUSTED, has 720 s; 5000/120
        settle a 720                             -> charged 120; 4880/0
        paid a                                   -> plan 600 s, CREDITS 120 s for 120
        """
    )


async def test_answers_stay_as_they_were_when_another_source_takes_over(world: World) -> None:
    """Promise 1: byte for byte, though the call is not paid for by credits any more."""
    await world.fund(5000)
    first = await world.authorize("a", 120)
    await world.set(display_name="anew")
    await world.extend("a", 1, 60, sources=SOURCES["INVOICE"], epoch=await world.epoch())
    again = await world.authorize("a", 120)
    assert again.replayed
    assert again.call.first == first.call.first


async def test_minutes_that_an_orphan_was_charged_stay_charged_when_it_is_taken_anew(
    world: World,
) -> None:
    """Semantics 18 and 25: counted once, whether it is settled or released."""
    await world.play(
        """
        set charge_orphans=1
        authorize a 300 sources=PLAN             -> granted 300 s, holds 0; 0/0
        authorize b 60 sources=PLAN              -> granted 60 s, holds 0; 0/0
        wait 90
        extend a 1 60                            -> granted 360 s, holds 0; 0/0
        extend b 1 60                            -> granted 120 s, holds 0; 0/0
        wait 9999
        expire a                                 -> expired 0; 0/0
        expire b                                 -> expired 0; 0/0
        paid a                                   -> plan 90 s
        pools                                    -> plan 180+0
        extend a 2 60                            -> taken anew: granted 420 s, holds 0; 0/0
        extend b 2 60                            -> taken anew: granted 180 s, holds 0; 0/0
        pools                                    -> plan 180+420
        settle a 400                             -> charged 0; 0/0
        release b                                -> released 0; 0/0
        pools                                    -> plan 480+0
        """
    )
    released = await world.ledger.show(world.tenant.tenant_id, "b")
    assert released.slices == (Slice("plan", 0, 60),)


async def test_an_orphan_is_never_charged_more_than_its_proven_talk_time(world: World) -> None:
    """Semantics 25: charged to the invoice first, then to credits that came: what was too much goes back."""
    await world.play(
        """
        set charge_orphans=1
        fund f1 30
        authorize a 120 sources=POSTPAID         -> granted 120 s, holds 30; 30/30
        wait 60
        extend a 1 60                            -> granted 180 s, holds 30; 30/30
        wait 9999
        expire a                                 -> expired 0, charged 30; 0/0
        invoice                                  -> 30+0
        fund f2 1000                             -> 1000/0
        extend a 2 60                            -> taken anew: granted 240 s, holds 210; 1000/210
        wait 9999
        expire a                                 -> expired 60, charged 180; 850/0
        invoice                                  -> 0+0
        """
    )


async def test_a_call_that_nothing_may_pay_for_is_refused(world: World) -> None:
    """When it begins, and when it is judged again and its pool's plan is gone; what it holds stays its own."""
    await world.play(
        """
        authorize a 60 sources=NOTHING           -> refused POOL_EXHAUSTED; 0/0
        authorize b 60 sources=PLAN              -> granted 60 s, holds 0; 0/0
        set max_open_calls=9
        extend b 1 60 sources=NOTHING            -> refused POOL_EXHAUSTED, has 60 s; 0/0
        extend b 2 60                            -> refused POOL_EXHAUSTED, has 60 s; 0/0
        settle b 60                              -> charged 0; 0/0
        pools                                    -> plan 60+0
        """
    )


async def test_the_proof_notices_a_row_that_is_lost(world: World) -> None:
    """Minutes that the journal moved and no row counts would be talked twice."""
    await world.authorize("a", 60, sources=SOURCES["PLAN"])
    await world.settle("a", 60)
    assert (await world.prove()).conserved
    await world.store.command("DEL", keys.meters(world.tenant.tenant_id))
    proof = await world.prove()
    assert (proof.pool_difference_seconds, proof.conserved) == (60, False)
