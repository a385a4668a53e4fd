"""Scenes of users who call: minutes of their plans, credits, and why a call is refused."""

from talktime import CallType
from talktime_server.demo.places import BERLIN, MOBILE_IN_LONDON, WASHINGTON, price
from talktime_server.demo.stage import Act

# Two hours of an unpooled plan, and a minute more.
OWN_MINUTES_S, LONGER_S = 7200, 7260


async def opening(act: Act) -> None:
    """Contoso buys credits and licenses its people."""
    await act.step(
        "Contoso adds 20 dollars",
        act.accounts.add_funds("invoice-1", 20_000_000),
        answers="added",
        moves=20_000_000,
    )
    await act.license("alice", "US", "MCOPSTN1", "MCOPSTNC", what="home plan, credits")
    await act.license("bob", "US", "MCOPSTN1", what="home plan only")
    await act.license("dora", "US", "MCOPSTN2", what="home and abroad plan")
    await act.license("olga", "US", "MCOMEETADV", "MCOPSTNC", what="conferencing, credits")


async def minutes_first(act: Act) -> None:
    """A plan's minutes pay before money does, and its users share them."""
    await act.step(
        "Bob calls within the country",
        act.calls.authorize("bob", CallType.USER_OUT, WASHINGTON, call_id="bob-1"),
        answers="granted 10 min, from a pool",
    )
    await act.step(
        "He hangs up after 2 min 5 s", act.calls.settle("bob-1", 125), answers="charged 3 min"
    )
    await act.step(
        "What he and Alice share",
        act.pool_left("US/MCOPSTN1"),
        answers="5,997 of 6,000 min left",
    )
    await act.step(
        "Dora's plan reaches London",
        act.calls.authorize("dora", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="dora-1"),
        answers="granted 10 min, from a pool",
    )
    await act.step("Nobody picks up", act.calls.release("dora-1"), answers="given back")


async def past_the_pool(act: Act) -> None:
    """Two hours of minutes, and a call that is longer: credits pay the rest."""
    over = price(WASHINGTON, LONGER_S - OWN_MINUTES_S)
    await act.license("fred", "US", "MCOPSTN8", "MCOPSTNC", what="120 min, credits")
    await act.step(
        "Fred asks for 121 minutes",
        act.calls.authorize(
            "fred", CallType.USER_OUT, WASHINGTON, call_id="fred-1", requested_seconds=LONGER_S
        ),
        answers="granted 121 min, pool+money",
        moves=-over,
    )
    await act.step(
        "He talks for 120 min 20 s",
        act.calls.settle("fred-1", OWN_MINUTES_S + 20),
        answers="charged 120 min + money",
        moves=over - price(WASHINGTON, 20),
    )


async def a_call_abroad(act: Act) -> None:
    """Granted, extended, settled for less than was held."""
    ten, twenty = price(MOBILE_IN_LONDON, 600), price(MOBILE_IN_LONDON, 1200)
    used = price(MOBILE_IN_LONDON, 754)
    await act.step(
        "Alice calls a mobile in London",
        act.calls.authorize("alice", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="alice-1"),
        answers="granted 10 min",
        moves=-ten,
    )
    await act.step(
        "They talk on: ten more minutes",
        act.calls.extend("alice-1", sequence=1, additional_seconds=600),
        answers="granted 20 min",
        moves=ten - twenty,
    )
    await act.step(
        "They hang up after 12 min 34 s",
        act.calls.settle("alice-1", 754),
        answers="charged",
        moves=twenty - used,
    )


async def asked_twice(act: Act) -> None:
    """A router that got no answer asks again, and moves no money."""
    await act.step(
        "The router repeats its question",
        act.calls.authorize("alice", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="alice-1"),
        answers="granted 10 min, as before",
    )
    await act.step(
        "It repeats the settle",
        act.calls.settle("alice-1", 754),
        answers="charged, as before",
    )
    await act.fails(
        "Another call under the same id",
        act.calls.authorize("alice", CallType.USER_OUT, BERLIN, call_id="alice-1"),
        answers="error IDEMPOTENCY_MISMATCH",
    )


async def why_not(act: Act) -> None:
    """A refusal says what is missing, and what is given counts from the next call on."""
    await act.step(
        "Bob calls the same mobile",
        act.calls.authorize("bob", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="bob-2"),
        answers="refused NO_CREDITS_LICENSE",
    )
    quote = await act.step(
        "Contoso's admin asks why",
        act.calls.quote("bob", CallType.USER_OUT, MOBILE_IN_LONDON),
        answers="refused NO_CREDITS_LICENSE",
    )
    act.explain(quote)
    await act.step(
        "She gives him that licence",
        act.accounts.assign_licenses("bob", add=["MCOPSTNC"]),
        answers="known",
    )
    await act.step(
        "Bob calls again",
        act.calls.authorize("bob", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="bob-3"),
        answers="granted 10 min",
        moves=-price(MOBILE_IN_LONDON, 600),
    )
    await act.step(
        "Nobody picks up",
        act.calls.release("bob-3"),
        answers="given back",
        moves=price(MOBILE_IN_LONDON, 600),
    )
