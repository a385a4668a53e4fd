"""What the demo plays, scene by scene.

Each step says what happens, what the service must answer, and how the tenant's free money must move; prices are
worked out here, from the deck, and not taken from the answers. A step that comes out otherwise fails the demo.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

from talktime import CallFields, CallType, Tenant
from talktime_server.decision import catalog
from talktime_server.decision.rating import Deck
from talktime_server.demo.stage import Act, SceneEnded, raised
from talktime_server.demo.telling import Teller

# Numbers that telephone authorities keep for stories.
MOBILE_IN_LONDON = "+447700900123"
BERLIN = "+493023125123"
WASHINGTON = "+12025550147"
HELPLINE = "+448081570192"

CONTOSO = Tenant("contoso", "USD", "US", "Contoso")
# The shortest leases there are.
FABRIKAM = Tenant("fabrikam", "USD", "US", "Fabrikam", lease_grace_seconds=10)
TAILSPIN = Tenant("tailspin", "USD", "US", "Tailspin Toys")
WOODGROVE = Tenant("woodgrove", "USD", "GB", "Woodgrove Bank")

CALLERS, AFFORDED = 100, 7
HOUR_S = 3600


@cache
def _deck() -> Deck:
    file = catalog.demo_deck()
    return Deck("demo", file.currency, file.rows)


def price(number: str, seconds: int) -> int:
    """What so much talk costs, in micros, by the deck alone."""
    rate = _deck().rate_for(number)
    assert rate is not None, "the demo deck prices every number of the demo"
    return rate.price_micros(seconds)


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: whose money it is about, what it shows, and the steps themselves."""

    title: str
    told: str
    tenant: Tenant
    play: Callable[[Act], Awaitable[None]]


async def opening(act: Act) -> None:
    """Contoso buys credits and licenses its people."""
    await act.step(
        "Contoso adds 20 dollars",
        act.accounts.add_funds("invoice-1", 20_000_000),
        answers="added",
        moves=20_000_000,
    )
    await act.license("alice", "US", "MCOPSTN2", "MCOPSTNC", what="calling plan, credits")
    await act.license("bob", "US", "MCOPSTN2", what="calling plan only")
    await act.license("olga", "US", "MCOMEETADV", "MCOPSTNC", what="conferencing, credits")


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


async def no_licence(act: Act) -> None:
    """A plan alone does not pay for calls abroad."""
    await act.step(
        "Bob calls the same mobile",
        act.calls.authorize("bob", CallType.USER_OUT, MOBILE_IN_LONDON, call_id="bob-1"),
        answers="refused NO_CREDITS_LICENSE",
    )
    await act.step(
        "Bob calls within the country",
        act.calls.authorize("bob", CallType.USER_OUT, WASHINGTON, call_id="bob-2"),
        answers="granted 10 min, for nothing",
    )
    await act.step("Nobody picks up", act.calls.release("bob-2"), answers="given back")


async def a_conference(act: Act) -> None:
    """The bridge dials participants; their organizer pays."""
    for call_id, what, number in (
        ("leg-1", "The bridge dials Berlin", BERLIN),
        ("leg-2", "The bridge dials Washington", WASHINGTON),
    ):
        await act.step(
            what,
            act.calls.authorize(
                "olga", CallType.CONF_OUT, number, call_id=call_id, conference_id="weekly"
            ),
            answers="granted 10 min",
            moves=-price(number, 600),
        )
    for call_id, number in (("leg-1", BERLIN), ("leg-2", WASHINGTON)):
        await act.step(
            f"{call_id} hangs up after 9 min",
            act.calls.settle(call_id, 540),
            answers="charged",
            moves=price(number, 600) - price(number, 540),
        )


async def a_helpline(act: Act) -> None:
    """A toll-free call lasts as long as the credits."""
    bought = price(HELPLINE, 960)
    await act.license("helpline", "GB", what="a queue, no licence")
    await act.step(
        f"Woodgrove adds {bought / 1_000_000:.2f} dollars",
        act.accounts.add_funds("invoice-1", bought),
        answers="added",
        moves=bought,
    )
    await act.step(
        "A customer rings the line",
        act.calls.authorize("helpline", CallType.UCAP_IN, HELPLINE, call_id="ring-1"),
        answers="granted 10 min",
        moves=-price(HELPLINE, 600),
    )
    await act.step(
        "Ten more, as far as money goes",
        act.calls.extend("ring-1", sequence=1, additional_seconds=600),
        answers="granted 16 min, the last",
        moves=price(HELPLINE, 600) - bought,
    )
    await act.step(
        "And ten more",
        act.calls.extend("ring-1", sequence=2, additional_seconds=600),
        answers="refused INSUFFICIENT_CREDITS",
    )
    await act.step("They hang up at 16 min", act.calls.settle("ring-1", 960), answers="charged")
    await act.step(
        "The next customer rings",
        act.calls.authorize("helpline", CallType.UCAP_IN, HELPLINE, call_id="ring-2"),
        answers="refused INSUFFICIENT_CREDITS",
    )


async def no_money_left(act: Act) -> None:
    """An emergency call asks for no money."""
    await act.step(
        "Somebody at Woodgrove dials 999",
        act.calls.authorize("helpline", CallType.USER_OUT, "999", call_id="help-1"),
        answers="granted 24 h, for nothing",
    )
    await act.until_recorded("help-1")
    await act.step("It ends", act.calls.settle("help-1", 95), answers="charged nothing")


async def too_late(act: Act) -> None:
    """A hold ends by time; the settle that comes later still charges, once."""
    held, used = price(MOBILE_IN_LONDON, 60), price(MOBILE_IN_LONDON, 50)
    await act.step(
        "Fabrikam adds 5 dollars",
        act.accounts.add_funds("invoice-1", 5_000_000),
        answers="added",
        moves=5_000_000,
    )
    await act.license("carol", "US", "MCOPSTN2", "MCOPSTNC", what="calling plan, credits")
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
    await act.license("sales", "US", "MCOPSTN2", "MCOPSTNC", what="calling plan, credits")
    await act.step(
        f"Tailspin pays for {AFFORDED} minutes",
        act.accounts.add_funds("invoice-1", AFFORDED * minute),
        answers="added",
        moves=AFFORDED * minute,
    )
    answers = await act.step(
        f"{CALLERS} callers ask for a minute",
        asyncio.gather(
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
        asyncio.gather(*(act.calls.settle(call_id, 60) for call_id in talking)),
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


SCENES = (
    Scene(
        "Money and licences",
        "A tenant owns credits; a licence says who may use them.",
        CONTOSO,
        opening,
    ),
    Scene(
        "A call abroad",
        "Money is set aside before, charged after, to the second's step.",
        CONTOSO,
        a_call_abroad,
    ),
    Scene(
        "Asked twice",
        "Every id takes effect once, however often it is sent.",
        CONTOSO,
        asked_twice,
    ),
    Scene(
        "No licence",
        "A refusal is an answer, with a word the router can act on.",
        CONTOSO,
        no_licence,
    ),
    Scene(
        "A conference dials out",
        "The organizer's licences count for every leg.",
        CONTOSO,
        a_conference,
    ),
    Scene(
        "The store is away",
        "Nothing is decided or done, except that emergencies pass.",
        CONTOSO,
        the_store_is_away,
    ),
    Scene(
        "A toll-free line",
        "The called side pays, until its credits are used up.",
        WOODGROVE,
        a_helpline,
    ),
    Scene(
        "An emergency, and no money",
        "It always passes, and is never charged.",
        WOODGROVE,
        no_money_left,
    ),
    Scene(
        "A router that was away",
        "Holds end by themselves; a late settle charges once.",
        FABRIKAM,
        too_late,
    ),
    Scene(
        "A hundred at once",
        "Deciding and holding are one step: nobody spends another's cent.",
        TAILSPIN,
        all_at_once,
    ),
    Scene(
        "Afterwards",
        "What passed while the store was away is not lost.",
        CONTOSO,
        afterwards,
    ),
)


async def play(*, engine: str | None, color: bool) -> bool:
    """Plays every scene and proves the money; says whether all came out as it should."""
    teller = Teller(color=color)
    async with raised(engine) as stage:
        teller.open(stage.supervisor)
        await stage.prepare(dict.fromkeys(scene.tenant for scene in SCENES))
        for scene in SCENES:
            act = stage.act(scene.tenant.tenant_id)
            # What a scene cannot finish is told as far as it came.
            with contextlib.suppress(SceneEnded):
                await scene.play(act)
            teller.tell(scene.title, scene.told, act.steps_taken())
        teller.prove(await stage.proofs())
    return teller.close()
