"""Scenes of what goes wrong: a router that was away, a crowd, and a store that is gone."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from talktime import CallFields, CallType
from talktime_server.demo.places import BERLIN, MOBILE_IN_LONDON, price
from talktime_server.demo.stage import Act

T = TypeVar("T")
CALLERS, AFFORDED = 100, 7
HOUR_S = 3600


async def too_late(act: Act) -> None:
    """A hold ends by time; the settle that comes later still charges, once."""
    held, used = price(MOBILE_IN_LONDON, 60), price(MOBILE_IN_LONDON, 50)
    await act.step(
        "Fabrikam adds 5 dollars",
        act.accounts.add_funds("invoice-1", 5_000_000),
        answers="added",
        moves=5_000_000,
    )
    await act.license("carol", "US", "MCOPSTN1", "MCOPSTNC", what="home plan, credits")
    await act.step(
        "Carol calls London for a minute",
        act.calls.authorize(
            "carol", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="carol-1", requested_seconds=60
        ),
        answers="granted 1 min",
        moves=-held,
    )
    # Nobody wants to wait for it here.
    await act.step(
        "We turn its clock an hour on",
        act.move_clock(HOUR_S),
        answers="done",
        moves=held,
    )
    await act.step(
        "Its router is back: 50 s talked",
        act.calls.settle("carol-1", 50),
        answers="charged, late",
        moves=-used,
    )
    await act.step(
        "It says so once more", act.calls.settle("carol-1", 50), answers="charged, late, as before"
    )


async def all_at_once(act: Act) -> None:
    """Credit for seven, a hundred who ask in the same moment: nobody spends another's cent."""
    minute = price(MOBILE_IN_LONDON, 60)
    await act.license("sales", "US", "MCOPSTN1", "MCOPSTNC", what="home plan, credits")
    await act.step(
        f"Tailspin pays for {AFFORDED} minutes",
        act.accounts.add_funds("invoice-1", AFFORDED * minute),
        answers="added",
        moves=AFFORDED * minute,
    )
    answers = await act.step(
        f"{CALLERS} callers ask for a minute",
        _at_once(
            *(
                act.calls.authorize(
                    "sales",
                    CallType.USER_OUT,
                    MOBILE_IN_LONDON,
                    call_id=f"caller-{number:03}",
                    requested_seconds=60,
                )
                for number in range(CALLERS)
            )
        ),
        answers=f"{AFFORDED} granted, {CALLERS - AFFORDED} refused",
        moves=-AFFORDED * minute,
    )
    talking = [answer.call_id for answer in answers if answer.authorized]
    await act.step(
        "Those seven talk their minute",
        _at_once(*(act.calls.settle(call_id, 60) for call_id in talking)),
        answers=f"{AFFORDED} charged",
    )


async def the_store_is_away(act: Act) -> None:
    """Without its store talktime decides nothing, except that emergency calls pass."""
    await act.step("We stop the store", act.stop_store(), answers="stopped", moves=None)
    await act.fails(
        "Alice calls London",
        act.calls.authorize("alice", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="alice-2"),
        answers="error STORE_AWAY",
        moves=None,
    )
    await act.step(
        "Alice dials 911",
        act.calls.authorize("alice", CallType.USER_OUT, "911", call_id="alice-3"),
        answers="granted 24 h, for nothing",
        moves=None,
    )
    await act.step("We start the store", act.start_store(), answers="started", moves=None)
    await act.step(
        "The router asks for Alice again",
        act.calls.authorize("alice", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="alice-2"),
        answers="granted 10 min",
        moves=-price(MOBILE_IN_LONDON, 600),
    )
    await act.step(
        "Nobody picks up",
        act.calls.release("alice-2"),
        answers="given back",
        moves=price(MOBILE_IN_LONDON, 600),
    )


async def afterwards(act: Act) -> None:
    """What passed while the store was away: an emergency is on record by now, and a call that its router let through
    without an answer is charged when it is told of."""
    await act.until_recorded("alice-3", what="Alice's 911 call")
    call = CallFields("alice", CallType.USER_OUT, BERLIN)
    await act.step(
        "Alice did talk to Berlin, 125 s",
        act.calls.settle("alice-4", 125, call),
        answers="charged, unreserved",
        moves=-price(BERLIN, 125),
    )


async def _at_once(*doing: Coroutine[Any, Any, T]) -> list[T]:
    """Begins everything when it is awaited, and not before: the step looks at the money first."""
    return await asyncio.gather(*doing)
