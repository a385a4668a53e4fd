"""What the demo plays, scene by scene; users.py, lines.py, refills.py and outages.py have the scenes themselves.

Each step says what happens, what the service must answer, and how the tenant's free money must move; prices are
worked out from the deck, and not taken from the answers. A step that comes out otherwise fails the demo.
"""

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from talktime import Tenant
from talktime_server.demo import lines, outages, refills, users
from talktime_server.demo.stage import Act, SceneEnded, raised
from talktime_server.demo.telling import Teller

CONTOSO = Tenant("contoso", "USD", "US", "Contoso")
# The shortest leases there are.
FABRIKAM = Tenant("fabrikam", "USD", "US", "Fabrikam", lease_grace_seconds=10)
LITWARE = Tenant("litware", "USD", "US", "Litware")
TAILSPIN = Tenant("tailspin", "USD", "US", "Tailspin Toys")
WOODGROVE = Tenant("woodgrove", "USD", "GB", "Woodgrove Bank")


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene: whose money it is about, what it shows, and the steps themselves."""

    title: str
    told: str
    tenant: Tenant
    play: Callable[[Act], Awaitable[None]]


SCENES = (
    Scene(
        "Money and licences",
        "A tenant owns credits; a licence says who may use them.",
        CONTOSO,
        users.opening,
    ),
    Scene(
        "Minutes of a plan",
        "They pay before money does; the users of a plan share them.",
        CONTOSO,
        users.minutes_first,
    ),
    Scene(
        "Longer than the minutes",
        "One call, two sources: credits pay the rest.",
        CONTOSO,
        users.past_the_pool,
    ),
    Scene(
        "A call abroad",
        "Money is set aside before, charged after, to the second's step.",
        CONTOSO,
        users.a_call_abroad,
    ),
    Scene(
        "Asked twice",
        "Every id takes effect once, however often it is sent.",
        CONTOSO,
        users.asked_twice,
    ),
    Scene(
        "Why not",
        "A refusal is an answer, and a quote tells what led to it.",
        CONTOSO,
        users.why_not,
    ),
    Scene(
        "A conference dials out",
        "The organizer's licence counts for every leg.",
        CONTOSO,
        lines.a_conference,
    ),
    Scene(
        "The store is away",
        "Nothing is decided or done, except that emergencies pass.",
        CONTOSO,
        outages.the_store_is_away,
    ),
    Scene(
        "A toll-free line",
        "The called side pays, until its credits are used up.",
        WOODGROVE,
        lines.a_helpline,
    ),
    Scene(
        "An emergency, and no money",
        "It always passes, and is never charged.",
        WOODGROVE,
        lines.no_money_left,
    ),
    Scene(
        "A router that was away",
        "Holds end by themselves; a late settle charges once.",
        FABRIKAM,
        outages.too_late,
    ),
    Scene(
        "A hundred at once",
        "Deciding and holding are one step: nobody spends another's cent.",
        TAILSPIN,
        outages.all_at_once,
    ),
    Scene(
        "Credits that refill themselves",
        "One dip below the trigger is one charge, whatever happens.",
        LITWARE,
        refills.a_recharge,
    ),
    Scene(
        "A card that is declined",
        "Nothing is charged, and calls go on.",
        LITWARE,
        refills.a_declined_card,
    ),
    Scene(
        "Who hears of it",
        "Each is told once: by mail, or by a signed webhook as here.",
        LITWARE,
        refills.who_hears_of_it,
    ),
    Scene(
        "Afterwards",
        "What passed while the store was away is not lost.",
        CONTOSO,
        outages.afterwards,
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
            teller.tell(scene.title, scene.told, act.steps_taken(), act.quotes_made())
        teller.prove(await stage.proofs())
    return teller.close()
