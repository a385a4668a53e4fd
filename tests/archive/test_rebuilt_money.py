"""What may be done with money after a rebuild is what might have been done before."""

import pytest

from archive.doings import archived
from archive.test_rebuild import fresh, fresh_process
from ledger.world import World, open_world
from stores import StoreProcess
from talktime_server.archive.database import Database
from talktime_server.archive.rebuild import rebuild
from talktime_server.failure import NotFound
from talktime_server.ledger.records import Money, Terms
from talktime_server.ledger.store import Store

__all__ = ["fresh", "fresh_process"]
DAY_S = 86_400
A_HUNDRED_A_MINUTE = Terms(100, 0, 60, 60)


async def test_an_adjustment_that_took_stays_one(
    world: World, database: Database, fresh: Store, fresh_process: StoreProcess
) -> None:
    """It is repeated without harm, and nothing is refunded of it."""
    await world.fund(1_000)
    took = await world.ledger.funds.adjust("acme", "a1", -300, "wrong", 0)
    gave = await world.ledger.funds.adjust("acme", "a2", 200, "sorry", 30)
    await archived(world, database)
    assert (await rebuild(database, fresh)).proven
    async with open_world(fresh_process.url, "acme") as again:
        funds = again.ledger.funds
        for known, asked in (
            (took, ("a1", -300, "wrong", 0)),
            (gave, ("a2", 200, "sorry", 30)),
        ):
            repeated = await funds.adjust("acme", *asked)
            assert (repeated.replayed, repeated.money) == (True, known.money)
        with pytest.raises(NotFound):
            await funds.refund("acme", "r1", "a1", 100, "why", chargeback=False)
        back = await funds.refund("acme", "r2", "a2", 100, "why", chargeback=False)
        assert back.funding_refunded_micros == 100


async def test_what_was_pinned_whole_is_pinned_as_it_was(
    world: World, database: Database, fresh: Store, fresh_process: StoreProcess
) -> None:
    """Nothing lapsed, for a call held all of the lot: when it ends that is lost, whoever holds newer money."""
    await world.fund(100, "old", days=1)
    await world.fund(100, "new", days=30)
    await world.advance(DAY_S - 10)
    await world.authorize("pinning", 60, terms=A_HUNDRED_A_MINUTE)
    await world.advance(20)
    await world.authorize("newer", 60, terms=A_HUNDRED_A_MINUTE)
    await archived(world, database)
    assert (await rebuild(database, fresh)).proven
    async with open_world(fresh_process.url, "acme") as again:
        for each in (world, again):
            await each.release("pinning")
            balance = await each.ledger.balance(each.tenant)
            assert balance.money == Money(100, 100)
            assert balance.expired_micros == 100
