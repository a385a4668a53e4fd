"""Release: the hold goes back whole, once."""

from ledger.world import World


async def test_a_release_gives_the_whole_hold_back_once(world: World) -> None:
    """Semantics 23."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        authorize b 600         -> granted 600 s, holds 600; 5000/1200
        release a               -> released 600; 5000/600
        release a               -> again: released 600; 5000/600
        release nobody          -> UNKNOWN_CALL
        balance                 -> 5000/600, spent 0, open 1
        """
    )


async def test_a_release_repeated_gets_its_first_receipt(world: World) -> None:
    """Semantics 23: to the last field, whatever has happened since."""
    await world.fund(5000)
    await world.authorize("a", 600)
    first = await world.release("a")
    await world.authorize("b", 600)
    second = await world.release("a")
    assert (first.replayed, second.replayed) == (False, True)
    assert first.call == second.call


async def test_what_time_gave_back_is_not_given_back_again(world: World) -> None:
    """Semantics 22: the first end stands."""
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        authorize b 600         -> granted 600 s, holds 600; 5000/1200
        wait 721
        expire a                -> expired 600; 5000/600
        release a               -> again: expired 600; 5000/600
        release b               -> released 600; 5000/0
        """
    )


async def test_an_extended_call_gives_back_all_that_it_holds(world: World) -> None:
    await world.play(
        """
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        extend a 1 600          -> granted 1200 s, holds 1200; 5000/1200
        release a               -> released 1200; 5000/0
        """
    )


async def test_a_release_of_a_call_taken_anew_keeps_what_was_charged_meanwhile(
    world: World,
) -> None:
    """The talk time that an Extend proved took place; only what is held goes back."""
    await world.play(
        """
        set charge_orphans=1
        fund f1 5000            -> 5000/0
        authorize a 600         -> granted 600 s, holds 600; 5000/600
        wait 590
        extend a 1 600          -> granted 1200 s, holds 1200; 5000/1200
        wait 731
        expire a                -> expired 600, charged 600; 4400/0
        extend a 2 60           -> taken anew: granted 1260 s, holds 660; 4400/660
        release a               -> released 660, charged 600; 4400/0
        release a               -> again: released 660, charged 600; 4400/0
        balance                 -> 4400/0, spent 600, abandoned 1
        """
    )
