"""What bounds a call beside its price: the balance, a credit line, the number of open calls, a payer's share."""

from ledger.world import World
from talktime_server.ledger.records import CREDITS, INCLUDED


async def test_below_zero_every_chargeable_call_is_refused_until_funds_come(world: World) -> None:
    """Semantics 43."""
    await world.play(
        """
        set floor_micros=-500
        fund f1 100                     -> 100/0
        authorize a 60                  -> granted 60 s, holds 60; 100/60
        settle a 300                    -> charged 300 overrun; -200/0
        authorize b 60                  -> refused INSUFFICIENT_CREDITS; -200/0
        authorize c 60 rate=0           -> refused INSUFFICIENT_CREDITS; -200/0
        authorize d 60 sources=INCLUDED  -> granted 60 s, holds 0; -200/0
        fund f2 200                     -> 0/0
        authorize e 60 rate=0           -> refused INSUFFICIENT_CREDITS; 0/0
        fund f3 60                      -> 60/0
        authorize f 60                  -> granted 60 s, holds 60; 60/60
        """
    )


async def test_a_credit_line_carries_calls_below_zero_and_no_further(world: World) -> None:
    """Semantics 74: the grace is for calls that have it, not for the others."""
    await world.play(
        """
        authorize a 600 line=180        -> final 180 s, holds 180; 0/180
        authorize b 600 line=180        -> refused INSUFFICIENT_CREDITS; 0/180
        authorize c 600                 -> refused INSUFFICIENT_CREDITS; 0/180
        settle a 180                    -> charged 180; -180/0
        authorize d 600 line=180        -> refused INSUFFICIENT_CREDITS; -180/0
        fund f1 60                      -> -120/0
        authorize e 600 line=180        -> final 60 s, holds 60; -120/60
        """
    )


async def test_open_calls_are_capped_for_the_tenant_and_for_the_payer(world: World) -> None:
    """Semantics 28: an ended call makes room at once."""
    await world.play(
        """
        set max_open_calls=3 max_open_calls_per_payer=2
        fund f1 9000                    -> 9000/0
        authorize a 60                  -> granted 60 s, holds 60; 9000/60
        authorize b 60                  -> granted 60 s, holds 60; 9000/120
        authorize c 60                  -> refused CALL_LIMIT; 9000/120
        authorize d 60 payer=ben        -> granted 60 s, holds 60; 9000/180
        authorize e 60 payer=ben        -> refused CALL_LIMIT; 9000/180
        settle a 60                     -> charged 60; 8940/120
        authorize f 60 payer=ben        -> granted 60 s, holds 60; 8940/180
        release b                       -> released 60; 8940/120
        authorize g 60                  -> granted 60 s, holds 60; 8940/180
        """
    )


async def test_abandoned_calls_leave_the_caps_when_their_lease_is_over(world: World) -> None:
    """Semantics 28: who authorizes and goes away starves others no longer than the lease, and is counted."""
    await world.play(
        """
        set max_open_calls=2
        fund f1 9000                    -> 9000/0
        authorize a 60                  -> granted 60 s, holds 60; 9000/60
        authorize b 60                  -> granted 60 s, holds 60; 9000/120
        authorize c 60 payer=ben        -> refused CALL_LIMIT; 9000/120
        wait 181
        authorize d 60 payer=ben        -> granted 60 s, holds 60; 9000/60
        balance                         -> 9000/60, spent 0, abandoned 2, open 1
        """
    )


async def test_a_payer_holds_no_more_than_its_share(world: World) -> None:
    """Semantics 28: the share is of the settled balance; what others hold does not count against it."""
    await world.play(
        """
        set max_payer_hold_percent=25
        fund f1 4000                    -> 4000/0
        authorize a 600                 -> granted 600 s, holds 600; 4000/600
        authorize b 600                 -> final 360 s, holds 360; 4000/960
        authorize c 600                 -> refused CALL_LIMIT; 4000/960
        authorize d 600 payer=ben       -> granted 600 s, holds 600; 4000/1560
        extend a 1 600                  -> refused CALL_LIMIT, has 600 s; 4000/1560
        release b                       -> released 360; 4000/1200
        extend a 2 600                  -> final 960 s, holds 960; 4000/1560
        """
    )


async def test_a_share_of_nothing_is_no_money_rather_than_too_many_calls(world: World) -> None:
    """The reason says what would help: funds. And a credit line is not a share of the balance."""
    await world.play(
        """
        set max_payer_hold_percent=50 floor_micros=-1000
        authorize a 600                 -> refused INSUFFICIENT_CREDITS; 0/0
        authorize b 60 line=120         -> granted 60 s, holds 60; 0/60
        settle b 120                    -> charged 120 overrun; -120/0
        authorize c 60                  -> refused INSUFFICIENT_CREDITS; -120/0
        authorize d 60 line=180         -> granted 60 s, holds 60; -120/60
        """
    )


async def test_a_whole_share_is_the_whole_balance(world: World) -> None:
    """A hundred percent of an odd amount loses no micro."""
    await world.play(
        """
        set max_payer_hold_percent=100
        fund f1 179                     -> 179/0
        authorize a 179 initial=1 increment=1 -> granted 179 s, holds 179; 179/179
        """
    )


async def test_the_payers_counters_vanish_with_the_last_call(world: World) -> None:
    """However calls end, nothing stays counted for a payer without open calls."""
    await world.fund(9000)
    for call_id in ("settled", "released", "expired", "free"):
        sources = INCLUDED if call_id == "free" else CREDITS
        await world.authorize(call_id, 600, sources=sources)
    assert await world.use("ann") == (4, 1800)
    await world.extend("settled", 1, 600)
    await world.settle("settled", 5000)
    await world.release("released")
    assert await world.use("ann") == (2, 600)
    await world.release("free")
    await world.advance(721)
    await world.ledger.expire(world.tenant, ["expired"])
    assert await world.use("ann") == (0, 0)
