"""Extend: more talk time when the money is there at that moment, counted by a sequence, never after the end."""

import pytest

from ledger.world import World
from talktime_server.failure import Mismatch, NotFound
from talktime_server.ledger import keys
from talktime_server.ledger.operations import Judge, Outcome, Stale
from talktime_server.ledger.profiles import Payer
from talktime_server.words import Reason


async def lease_left_ms(world: World, call_id: str) -> int:
    call = await world.ledger.show(world.tenant.tenant_id, call_id)
    return call.lease_ms - await world.now_ms()


async def test_an_extension_holds_more_and_pushes_the_lease_out(world: World) -> None:
    """Semantics 17: the answer has the new total."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        extend a 1 300          -> granted 900 s, holds 900; 5000/900
        show a                  -> open, 900 s, holds 900
        """
    )
    assert 1_019_000 <= await lease_left_ms(world, "a") <= 1_020_000


async def test_a_repeated_or_older_extension_gets_the_last_answer(world: World) -> None:
    """Semantics 20 and 21: a gap is fine, going back is not."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 60          -> granted 60 s, holds 60; 5000/60
        extend a 3 60           -> granted 120 s, holds 120; 5000/120
        extend a 3 60           -> again: granted 120 s, holds 120; 5000/120
        extend a 2 999          -> again: granted 120 s, holds 120; 5000/120
        extend a 3 61           -> another additional_seconds than before
        extend a 9 60           -> granted 180 s, holds 180; 5000/180
        extend a 3 60           -> again: granted 180 s, holds 180; 5000/180
        """
    )


async def test_a_refused_extension_leaves_the_call_what_it_had(world: World) -> None:
    """And stays refused for its sequence; the next one sees new funds (semantics 64)."""
    await world.play(
        """
        fund f1 660             -> 660/0
        authorize a 600         -> granted 600 s, holds 600; 660/600
        authorize b 60          -> granted 60 s, holds 60; 660/660
        extend a 1 60           -> refused INSUFFICIENT_CREDITS, has 600 s; 660/660
        show a                  -> open, 600 s, holds 600
        fund f2 5000            -> 5660/660
        extend a 1 60           -> again: refused INSUFFICIENT_CREDITS, has 600 s; 660/660
        extend a 2 60           -> granted 660 s, holds 660; 5660/720
        """
    )


async def test_an_extension_cut_short_by_the_money_says_that_it_is_the_last(world: World) -> None:
    """Semantics 31: and it is no longer the last once funds came."""
    await world.play(
        """
        fund f1 1000            -> 1000/0
        authorize a 600         -> granted 600 s, holds 600; 1000/600
        extend a 1 600          -> final 960 s, holds 960; 1000/960
        extend a 2 600          -> refused INSUFFICIENT_CREDITS, has 960 s; 1000/960
        fund f2 1000            -> 2000/960
        extend a 3 600          -> granted 1560 s, holds 1560; 2000/1560
        """
    )


async def test_an_extension_within_the_paid_step_costs_nothing_more(world: World) -> None:
    """Semantics 33: the total is priced, not the pieces."""
    await world.play(
        """
        fund f1 120                     -> 120/0
        authorize a 90                  -> granted 90 s, holds 120; 120/120
        extend a 1 30                   -> granted 120 s, holds 120; 120/120
        extend a 2 1                    -> refused INSUFFICIENT_CREDITS, has 120 s; 120/120
        """
    )


async def test_a_call_never_runs_longer_than_a_day(world: World) -> None:
    await world.play(
        """
        fund f1 100000                  -> 100000/0
        authorize a 86000               -> granted 86000 s, holds 86040; 100000/86040
        extend a 1 86400                -> granted 86400 s, holds 86400; 100000/86400
        extend a 2 1                    -> refused CALL_LIMIT, has 86400 s; 100000/86400
        """
    )


async def test_an_extension_after_the_end_gets_what_ended_the_call(world: World) -> None:
    """Semantics 19: also one whose sequence was answered before."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        extend a 1 60           -> granted 660 s, holds 660; 5000/660
        settle a 60             -> charged 60; 4940/0
        extend a 1 60           -> ALREADY_SETTLED
        extend a 2 60           -> ALREADY_SETTLED
        authorize b 60          -> granted 60 s, holds 60; 4940/60
        release b               -> released 60; 4940/0
        extend b 1 60           -> ALREADY_RELEASED
        authorize c 60 refusal=POLICY -> refused POLICY; 4940/0
        extend c 1 60           -> CALL_REFUSED
        extend d 1 60           -> UNKNOWN_CALL
        """
    )


async def test_an_expired_call_is_taken_anew_only_if_the_money_is_there_now(world: World) -> None:
    """Semantics 18."""
    await world.play(
        """
        fund f1 700                     -> 700/0
        authorize a 600                 -> granted 600 s, holds 600; 700/600
        wait 721
        authorize b 600                 -> granted 600 s, holds 600; 700/600
        show a                          -> expired 600; 700/0
        extend a 1 60                   -> refused INSUFFICIENT_CREDITS, has 600 s; 700/600
        show a                          -> expired 600; 700/0
        release b                       -> released 600; 700/0
        extend a 2 60                   -> taken anew: granted 660 s, holds 660; 700/660
        balance                         -> 700/660, spent 0, abandoned 1, open 1
        settle a 660                    -> charged 660; 40/0
        """
    )


async def test_a_lease_that_ran_out_unnoticed_is_taken_anew_too(world: World) -> None:
    """Whether somebody swept before must not be seen in the answer."""
    await world.play(
        """
        fund f1 1000                    -> 1000/0
        authorize a 600                 -> granted 600 s, holds 600; 1000/600
        wait 721
        extend a 1 60                   -> taken anew: granted 660 s, holds 660; 1000/660
        """
    )
    assert 179_000 <= await lease_left_ms(world, "a") <= 180_000


async def test_an_expired_call_is_listed_as_open_again(world: World) -> None:
    """Its payer's counter and its lease are back, and it may expire a second time."""
    owner = world.tenant.tenant_id
    await world.fund(1000)
    await world.authorize("a", 600)
    await world.advance(721)
    await world.ledger.expire(world.tenant, ["a"])
    assert await world.use("ann") == (0, 0)
    await world.extend("a", 1, 60)
    assert await world.use("ann") == (1, 660)
    assert await world.store.command("TTL", keys.call(owner, "a")) == -1
    await world.advance(181)
    assert (await world.ledger.balance(world.tenant)).money.held_micros == 0
    assert await world.use("ann") == (0, 0)


async def test_a_refused_extension_of_an_expired_call_keeps_the_life_of_its_receipt(
    world: World,
) -> None:
    await world.fund(600)
    await world.authorize("a", 600)
    await world.advance(721)
    await world.authorize("b", 600)
    name = keys.call(world.tenant.tenant_id, "a")
    await world.store.command("EXPIRE", name, 1000)
    outcome = await world.extend("a", 1, 60)
    assert isinstance(outcome, Outcome)
    assert outcome.call.last is not None
    assert outcome.call.last.refusal is Reason.INSUFFICIENT_CREDITS
    assert 990 <= await world.store.command("TTL", name) <= 1000


async def test_included_calls_are_extended_without_money(world: World) -> None:
    await world.play(
        """
        authorize a 600 sources=INCLUDED -> granted 600 s, holds 0; 0/0
        extend a 1 600                  -> granted 1200 s, holds 0; 0/0
        wait 1321
        balance                         -> 0/0, spent 0, abandoned 1
        extend a 2 600                  -> taken anew: granted 1800 s, holds 0; 0/0
        settle a 1500                   -> charged 0; 0/0
        """
    )


async def test_a_credit_line_is_there_for_the_extension_too(world: World) -> None:
    await world.play(
        """
        fund f1 60                      -> 60/0
        authorize a 60 line=120         -> granted 60 s, holds 60; 60/60
        extend a 1 600                  -> final 180 s, holds 180; 60/180
        extend a 2 60                   -> refused INSUFFICIENT_CREDITS, has 180 s; 60/180
        settle a 180                    -> charged 180; -120/0
        """
    )


async def test_a_call_whose_profiles_changed_is_judged_again_before_it_is_extended(
    world: World,
) -> None:
    """Semantics 66 and 67: the judgement counts for its profiles alone, and a refused wish is no pass for the next."""
    await world.play(
        """
        fund f1 5000                    -> 5000/0
        authorize a 600                 -> granted 600 s, holds 600; 5000/600
        """
    )
    await world.directory.put_payer(world.tenant.tenant_id, Payer("ann", "US", display_name="Ann"))
    await world.play(
        """
        extend a 1 60                       -> judge
        extend a 1 60 refusal=NO_LICENSE    -> refused NO_LICENSE, has 600 s; 5000/600
        extend a 1 60                       -> again: refused NO_LICENSE, has 600 s; 5000/600
        extend a 2 60                       -> judge
        settle a 660                        -> charged 660 overrun; 4340/0
        """
    )


async def test_a_judgement_that_let_the_call_go_on_holds_until_profiles_change_again(
    world: World,
) -> None:
    await world.fund(5000)
    await world.authorize("a", 60)
    await world.directory.put_payer(world.tenant.tenant_id, Payer("ben", "US", "Ben"))
    epoch = await world.epoch()
    assert isinstance(await world.extend("a", 1, 60, epoch=epoch - 1), Judge)
    assert isinstance(await world.extend("a", 1, 60, epoch=epoch), Outcome)
    assert isinstance(await world.extend("a", 2, 60), Outcome)
    await world.directory.put_payer(world.tenant.tenant_id, Payer("ben", "US"))
    assert isinstance(await world.extend("a", 3, 60), Judge)


async def test_running_calls_of_a_suspended_tenant_may_end_but_not_go_on(world: World) -> None:
    """Semantics 66, drain: they keep what they have."""
    await world.fund(5000)
    await world.authorize("a", 600)
    world.tenant = await world.directory.suspend(world.tenant.tenant_id, cut_running_calls=False)
    await world.play(
        """
        extend a 1 60 refusal=TENANT_SUSPENDED  -> refused TENANT_SUSPENDED, has 600 s; 5000/600
        extend a 2 60                           -> judge
        settle a 600                            -> charged 600; 4400/0
        """
    )


async def test_running_calls_of_a_cut_tenant_are_told_to_end_now(world: World) -> None:
    """Semantics 66, cut: the answer grants no seconds at all; what the call used is still charged."""
    await world.fund(5000)
    await world.authorize("a", 600)
    world.tenant = await world.directory.suspend(world.tenant.tenant_id, cut_running_calls=True)
    await world.play(
        """
        extend a 1 60 refusal=TENANT_SUSPENDED  -> refused TENANT_SUSPENDED, has 0 s; 5000/600
        settle a 120                            -> charged 120; 4880/0
        """
    )


async def test_an_extension_by_old_settings_is_asked_again(world: World) -> None:
    """Semantics 87."""
    await world.fund(5000)
    await world.authorize("a", 600)
    old = world.tenant
    await world.set(lease_grace_seconds=30)
    world.tenant = old
    with pytest.raises(Stale):
        await world.extend("a", 1, 60)


async def test_a_mismatch_of_the_sequence_moves_nothing(world: World) -> None:
    await world.fund(5000)
    await world.authorize("a", 600)
    first = await world.extend("a", 1, 60)
    with pytest.raises(Mismatch):
        await world.extend("a", 1, 120)
    again = await world.extend("a", 1, 60)
    assert isinstance(first, Outcome)
    assert isinstance(again, Outcome)
    assert again.call == first.call


async def test_another_tenants_call_is_unknown(world: World) -> None:
    await world.authorize("a", 600)
    with pytest.raises(NotFound):
        await world.ledger.show(f"{world.tenant.tenant_id}-not", "a")


async def test_a_call_for_help_that_asks_for_more_is_never_refused(world: World) -> None:
    """Promise 6: it has all the time there is from the start, and a router may extend it by habit."""
    await world.play(
        """
        authorize a 86400 sources=EMERGENCY -> granted 86400 s, holds 0; 0/0
        extend a 1 600                  -> granted 86400 s, holds 0; 0/0
        extend a 1 600                  -> again: granted 86400 s, holds 0; 0/0
        wait 86521
        extend a 2 600                  -> taken anew: granted 86400 s, holds 0; 0/0
        settle a 300                    -> charged 0; 0/0
        """
    )
