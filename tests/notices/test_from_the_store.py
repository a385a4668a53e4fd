"""From what really happens in a store to what admins are told: the ledger's own lines, through the real archiver."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio

from ledger.world import World, open_world
from notices.journal import UNIT
from stores import StoreProcess
from talktime_server.archive.archiver import Archiver
from talktime_server.archive.database import Database
from talktime_server.decision.pools import pools_of
from talktime_server.ledger.recharge_rows import Line, Recharge, Step
from talktime_server.ledger.recharges import Recharges
from talktime_server.ledger.records import Pool, Sources, Terms
from talktime_server.notices import record, settings
from talktime_server.notices.crossings import Crossings
from talktime_server.notices.expiring import tell_expiring
from talktime_server.notices.pool_sizes import PoolSizes
from talktime_server.notices.targets import NoticeSettings
from talktime_server.words import RechargeState

TENANT = "contoso"
TEN_A_MINUTE = Terms(10 * UNIT, 0, 60, 60)
POOL = Sources(pools=(Pool("US/MCOPSTN1", "MCOPSTN1:US", 180_000),))


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """A tenant in a store of its own."""
    process = StoreProcess()
    try:
        await process.start()
        async with open_world(process.url, TENANT) as world:
            yield world
    finally:
        process.stop()


class Reader:
    """An archiver, and what it was told of."""

    def __init__(self, world: World, database: Database) -> None:
        self._database = database
        self._archiver = Archiver(
            world.store, database, followers=(Crossings(PoolSizes(pools_of)),)
        )
        self._seen: set[str] = set()

    async def new(self) -> list[str]:
        """What was told since the last time."""
        while await self._archiver.step():
            pass
        async with self._database.connect() as connection:
            page = await record.page(connection, TENANT, "", 100, dead=False)
        found = [notice.summary for notice in page if notice.notice_id not in self._seen]
        self._seen.update(notice.notice_id for notice in page)
        return sorted(found)


async def test_a_day_of_a_tenant(world: World, database: Database) -> None:
    reader = Reader(world, database)
    async with database.begin() as connection:
        asked = NoticeSettings(low_balance_micros=(50 * UNIT,))
        await settings.put_settings(connection, TENANT, "USD", asked)
    await world.fund(100 * UNIT, "f1", days=10)
    assert await reader.new() == []
    await world.authorize("c1", 600, terms=TEN_A_MINUTE)
    assert await reader.new() == ["What is available fell below $50.00: $0.00."]
    await world.settle("c1", 600)
    assert await reader.new() == ["The credits are used up."]
    await world.fund(100 * UNIT, "f2", days=10)
    await world.ledger.funds.refund(TENANT, "r1", "f2", 30 * UNIT, "twice", chargeback=False)
    assert await reader.new() == ["A refund of $30.00 was taken from the credits."]
    assert await tell_expiring(database, await world.now_ms()) == 1
    (told,) = await reader.new()
    assert told.startswith("$70.00 of credits expire on ")


async def test_minutes_of_a_plan(world: World, database: Database) -> None:
    reader = Reader(world, database)
    ann = replace(world.payers["ann"], licenses=("MCOPSTN1",), version=0)
    world.payers["ann"] = await world.directory.put_payer(TENANT, ann)
    for call_id, minutes in (("a1", 1200), ("a2", 1199)):
        await world.settle(call_id, minutes * 60, world.unreserved(sources=POOL))
    assert await reader.new() == []
    await world.settle("c2", 60, world.unreserved(sources=POOL))
    (told,) = await reader.new()
    assert told == "The pool US/MCOPSTN1 is used up to 80 percent: 2,400 of 3,000 minutes."
    await world.settle("c3", 700 * 60, world.unreserved(sources=POOL))
    (told,) = await reader.new()
    assert told == "The pool US/MCOPSTN1 is used up: 3,000 of 3,000 minutes."


async def test_a_limit_is_told_with_whose_it_is(world: World, database: Database) -> None:
    reader = Reader(world, database)
    await world.fund(100 * UNIT)
    await world.set(max_spend_per_day_per_payer_micros=UNIT)
    for call_id in ("c1", "c2"):
        await world.authorize(call_id, terms=TEN_A_MINUTE)
    assert await reader.new() == ["A limit on spend or costly calls refused a call of ann."]


async def test_steps_of_a_recharge(world: World, database: Database) -> None:
    reader, rows = Reader(world, database), Recharges(world.store)

    async def step(state: RechargeState, code: str = "", url: str = "") -> None:
        line = Line(state, "rc-1-1", 200 * UNIT, code=code, url=url)
        recharge = replace(Recharge.first(), state=state, charge_id="rc-1-1")
        await rows.change(TENANT, lambda _: Step(recharge, line))

    await step(RechargeState.CHARGING)
    await world.fund(200 * UNIT, "rc-1-1")
    assert await reader.new() == ["A recharge of $200.00 succeeded."]
    await step(RechargeState.COOLING)
    assert await reader.new() == []
    await step(RechargeState.DECLINED, "expired_card")
    assert await reader.new() == ["A recharge of $200.00 failed and is tried again."]
    await step(RechargeState.ACTION_REQUIRED, url="https://pay.example.com/")
    assert await reader.new() == ["A recharge of $200.00 waits to be confirmed."]
    await step(RechargeState.CAPPED)
    assert await reader.new() == ["Recharges reached a limit of their rule."]
