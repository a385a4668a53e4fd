"""Postpaid: credits to the last micro, then the invoice (domain.md 5)."""

from ledger.world import World


async def test_credits_pay_to_the_last_micro_before_the_invoice(world: World) -> None:
    """Semantics 39: one hold over both, used in that order, and two charges of one call."""
    await world.play(
        """
        fund f1 100
        authorize a 300 sources=POSTPAID         -> granted 300 s, holds 100; 100/100
        invoice                                  -> 0+200
        paid a                                   -> CREDITS 100 s for 100, POSTPAID 200 s for 200
        settle a 150                             -> charged 100 invoiced 80; 0/0
        paid a                                   -> CREDITS 83 s for 100, POSTPAID 67 s for 80
        invoice                                  -> 80+0
        authorize b 60 sources=POSTPAID          -> granted 60 s, holds 0; 0/0
        settle b 60                              -> charged 0 invoiced 60; 0/0
        invoice                                  -> 140+0
        """
    )


async def test_a_settle_below_the_credits_leaves_the_invoice_alone(world: World) -> None:
    """Semantics 10."""
    await world.play(
        """
        fund f1 100
        authorize a 300 sources=POSTPAID         -> granted 300 s, holds 100; 100/100
        settle a 60                              -> charged 60; 40/0
        invoice                                  -> 0+0
        """
    )


async def test_an_overrun_takes_free_credits_then_the_invoice_and_never_the_floor(
    world: World,
) -> None:
    """Semantics 11: with postpaid behind, nothing goes below zero and nothing is uncollected."""
    await world.play(
        """
        set floor_micros=-500
        fund f1 100
        authorize a 60 sources=POSTPAID          -> granted 60 s, holds 60; 100/60
        settle a 600                             -> charged 100 overrun invoiced 500; 0/0
        authorize b 60 sources=POSTPAID          -> granted 60 s, holds 0; 0/0
        release b                                -> released 0; 0/0
        invoice                                  -> 500+0
        """
    )


async def test_pools_credits_and_the_invoice_pay_one_call(world: World) -> None:
    """Domain.md 2: the whole order."""
    await world.play(
        """
        fund f1 60
        authorize a 900 sources=TWO+POSTPAID     -> granted 900 s, holds 0; 60/0
        extend a 1 300                           -> granted 1200 s, holds 60; 60/60
        paid a                                   -> abroad 300 s, plan 600 s, CREDITS 60 s for 60, POSTPAID 240 s for 240
        settle a 1000                            -> charged 60 invoiced 60; 0/0
        paid a                                   -> abroad 300 s, plan 600 s, CREDITS 50 s for 60, POSTPAID 50 s for 60
        """
    )


async def test_credits_of_expired_holds_come_before_the_invoice(world: World) -> None:
    """Semantics 27: they are free at once, and credits come first."""
    await world.play(
        """
        fund f1 60
        authorize a 60                           -> granted 60 s, holds 60; 60/60
        wait 181
        authorize b 60 sources=POSTPAID          -> granted 60 s, holds 60; 60/60
        authorize c 60                           -> refused INSUFFICIENT_CREDITS; 60/60
        wait 181
        authorize d 1 sources=INVOICE            -> granted 1 s, holds 0; 60/0
        extend d 1 59                            -> granted 60 s, holds 0; 60/0
        """
    )


async def test_an_extension_goes_on_from_credits_to_the_invoice(world: World) -> None:
    """Semantics 17, 18 and 64: funds that came meanwhile are used first."""
    await world.play(
        """
        fund f1 60
        authorize a 60 sources=POSTPAID          -> granted 60 s, holds 60; 60/60
        extend a 1 60                            -> granted 120 s, holds 60; 60/60
        invoice                                  -> 0+60
        fund f2 500                              -> 560/60
        extend a 2 60                            -> granted 180 s, holds 180; 560/180
        invoice                                  -> 0+0
        wait 9999
        expire a                                 -> expired 180; 560/0
        extend a 3 600                           -> taken anew: granted 780 s, holds 560; 560/560
        invoice                                  -> 0+220
        release a                                -> released 560; 560/0
        invoice                                  -> 0+0
        """
    )


async def test_without_the_credits_licence_a_pool_goes_on_to_the_invoice(world: World) -> None:
    """Domain.md 2: three postpaid, where the tenant has it; credits of the tenant stay untouched."""
    await world.play(
        """
        fund f1 500
        authorize a 720 sources=PLAN+INVOICE     -> granted 720 s, holds 0; 500/0
        settle a 700 -> charged 0 invoiced 120; 500/0
        paid a                                   -> plan 600 s, POSTPAID 100 s for 120
        authorize b 60 sources=INVOICE rate=0    -> granted 60 s, holds 0; 500/0
        settle b 60                              -> charged 0; 500/0
        paid b                                   -> POSTPAID 60 s
        """
    )


async def test_a_tenant_that_leaves_postpaid_pays_what_was_held_for_the_invoice(
    world: World,
) -> None:
    """Semantics 67: what a running call holds is not taken from it; more is only what credits pay."""
    await world.play(
        """
        fund f1 60
        authorize a 180 sources=POSTPAID         -> granted 180 s, holds 60; 60/60
        set postpaid=0 max_open_calls=5
        extend a 1 60 sources=CREDITS            -> refused INSUFFICIENT_CREDITS, has 180 s; 60/60
        settle a 180                             -> charged 60 invoiced 120; 0/0
        """
    )
