"""A tenant's calls at random: every source and every way a call can end, in any order, with ids that come again."""

import contextlib
from random import Random
from typing import Any

from ledger.story import SOURCES
from ledger.world import World
from talktime_server.failure import Conflict, Mismatch, NotFound
from talktime_server.ledger.operations import Stale
from talktime_server.ledger.records import Terms

CALLS = [f"c{n}" for n in range(12)]
TERMS = [Terms(60), Terms(90, 50, 30, 6), Terms(0, 7), Terms(7, 0, 1, 1), Terms()]
SECONDS = [0, 1, 59, 60, 61, 119, 300, 600, 660, 900, 3_000]


async def step(world: World, chance: Random) -> None:
    """Something happens; that it is refused, or makes no sense any more, is part of life."""
    verb, weight = [authorize, settle, extend, end, pause, other], [8, 8, 4, 3, 3, 2]
    with contextlib.suppress(Conflict, Mismatch, NotFound, Stale):
        await chance.choices(verb, weight)[0](world, chance)


async def authorize(world: World, chance: Random) -> None:
    seconds = chance.choice(SECONDS[1:])
    await world.authorize(chance.choice(CALLS), seconds, **payable(chance))


async def settle(world: World, chance: Random) -> None:
    unreserved = None
    if chance.random() < 0.3:
        asked = payable(chance)
        unreserved = world.unreserved(asked.pop("terms"), **asked)
    await world.settle(chance.choice(CALLS), chance.choice(SECONDS), unreserved)


async def extend(world: World, chance: Random) -> None:
    sequence, added = chance.randint(1, 4), chance.choice(SECONDS[1:])
    await world.extend(chance.choice(CALLS), sequence, added)


async def end(world: World, chance: Random) -> None:
    if chance.random() < 0.5:
        await world.release(chance.choice(CALLS))
    else:
        await world.ledger.expire(world.tenant, CALLS)


async def pause(world: World, chance: Random) -> None:
    await world.advance(chance.choice([1, 30, 200, 1_000, 90_000]))


async def other(world: World, chance: Random) -> None:
    if chance.random() < 0.5:
        amount = chance.choice([1, 40, 500, 5_000])
        await world.fund(amount, f"f{chance.randint(0, 99)}")
    else:
        orphans = chance.random() < 0.8
        await world.set(charge_orphans=orphans, floor_micros=-chance.choice([0, 100]))


def payable(chance: Random) -> dict[str, Any]:
    return {
        "payer": chance.choice(["ann", "ben"]),
        "sources": SOURCES[chance.choice(sorted(SOURCES))],
        "terms": chance.choice(TERMS),
    }
