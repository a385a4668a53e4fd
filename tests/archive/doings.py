"""Things that happen to a tenant, so that its journal has every kind of line; and the archive brought up to date."""

from collections.abc import Sequence

from ledger.world import World
from talktime_server.archive.archiver import Archiver, Follower
from talktime_server.archive.database import Database
from talktime_server.ledger.records import INCLUDED, Pool, Sources
from talktime_server.words import Reason

POOL = Pool("US/MCOPSTN1", "MCOPSTN1:US", 0, 1)
MINUTES = Pool("US/MCOPSTN1", "", 3_600, 1)
POOLED = Sources(pools=(MINUTES,), credits=True)
CREDITED = 1_000_000


async def archived(
    world: World, database: Database, followers: Sequence[Follower] = ()
) -> Archiver:
    """An archiver that has taken all there is."""
    archiver = Archiver(world.store, database, followers=followers)
    while await archiver.step():
        pass
    return archiver


async def live_a_little(world: World, mark: str = "") -> None:
    """Money comes in; calls are held, extended, settled, released, refused and left open."""
    await world.fund(CREDITED, f"f{mark}")
    await world.authorize(f"free{mark}", sources=INCLUDED)
    await world.authorize(f"pooled{mark}", 120, sources=POOLED)
    await world.authorize(f"long{mark}", 120, payer="ben")
    await world.extend(f"long{mark}", 1, 600)
    await world.authorize(f"back{mark}", 60)
    await world.release(f"back{mark}")
    await world.authorize(f"done{mark}", 180, sources=POOLED)
    await world.settle(f"done{mark}", 100)
    await world.authorize(f"paid{mark}", 600)
    await world.settle(f"paid{mark}", 500)
    await world.authorize(f"no{mark}", refusal=Reason.POLICY)


async def grow_old(world: World) -> None:
    """Lets every open call expire, and settles one of them after all."""
    await world.authorize("late", 60)
    await world.advance(3_600)
    await world.ledger.balance(world.tenant)
    await world.settle("late", 60)
