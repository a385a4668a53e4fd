"""The whole way: random calls of several tenants, the archiver as it runs, and the rows that are read in the end."""

from contextlib import AsyncExitStack
from random import Random
from secrets import randbits

import pytest

from ledger.world import World, open_world
from reports.chance import step
from reports.kit import catalogue
from stores import StoreProcess
from talktime_server.archive.archiver import Archiver
from talktime_server.archive.database import Database
from talktime_server.archive.reports import Group, Picked, UsageReports
from talktime_server.archive.usage import UsageFollower

EVER = Picked(0, 2**53)
ROUNDS = 30


@pytest.mark.timeout(300)
async def test_what_is_read_is_what_the_ledger_charged(either: Database) -> None:
    process, seed = StoreProcess(), randbits(64)
    try:
        await process.start()
        async with AsyncExitStack() as stack:
            opened = [open_world(process.url, f"tenant{n}") for n in range(3)]
            worlds = [await stack.enter_async_context(each) for each in opened]
            await live(worlds, Archiver(worlds[0].store, either, followers=(_follower(),)), seed)
            for world in worlds:
                await compare(world, UsageReports(either), seed)
    finally:
        process.stop()


async def live(worlds: list[World], archiver: Archiver, seed: int) -> None:
    chance = Random(seed)
    for _ in range(ROUNDS):
        for _ in range(10):
            await step(chance.choice(worlds), chance)
        await archiver.step()
    for world in worlds:
        await world.ledger.balance(world.tenant)  # which ends what is due
    while await archiver.step():
        pass


async def compare(world: World, reports: UsageReports, seed: int) -> None:
    tenant = world.tenant
    balance = await world.ledger.balance(tenant)
    sums = await reports.sums([tenant.tenant_id], EVER, Group.DAY)
    [total] = sums.totals
    charged = total.connection_fee_micros + total.charge_micros
    assert total.currency == "USD"
    assert charged - total.postpaid_micros == balance.spent_micros, f"life {seed}"
    assert total.postpaid_micros == balance.postpaid_micros, f"life {seed}"
    told = 0
    async for part in reports.export(tenant.tenant_id, tenant.country, EVER):
        told += sum(row.connection_fee_micros + row.charge_micros for row in part.rows)
    assert told == charged


def _follower() -> UsageFollower:
    return UsageFollower(catalogue())
