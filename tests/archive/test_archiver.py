"""The archiver: every line once, whatever dies, comes twice, is missing or has been changed."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from archive.doings import CREDITED, archived, grow_old, live_a_little
from ledger.world import World
from talktime_server.archive import archiver
from talktime_server.archive.archiver import Archiver
from talktime_server.archive.database import Database
from talktime_server.archive.schema import balances, entries, open_calls, pool_rows
from talktime_server.failure import Unsafe
from talktime_server.ledger import keys
from talktime_server.ledger.entries import Entry


async def test_every_line_is_there_once_with_what_follows_from_it(
    world: World, database: Database
) -> None:
    await live_a_little(world)
    await grow_old(world)
    await live_a_little(world, "2")
    await archived(world, database)
    money = await world.ledger.balance(world.tenant)
    row = await _one(database, select(balances))
    assert row["version"] == money.version == await _count(database)
    assert row["settled_micros"] == money.money.settled_micros
    assert row["held_micros"] == money.money.held_micros > 0
    assert row["loaded_micros"] == money.loaded_micros == 2 * CREDITED
    assert row["spent_micros"] == money.spent_micros > 0
    assert row["abandoned_calls"] == money.abandoned_calls > 0
    assert await _calls(database) == {"free2", "pooled2", "long2"}
    minutes = await _one(database, select(pool_rows).order_by(pool_rows.c.month.desc()).limit(1))
    found = await world.ledger.pool_rows("acme")
    assert found[f"{minutes['pool_id']}@{minutes['month']}"] == (
        minutes["used_seconds"],
        minutes["held_seconds"],
    )


async def test_it_goes_on_where_it_was(world: World, database: Database) -> None:
    for mark in ("a", "b", "c"):
        await live_a_little(world, mark)
        await archived(world, database)
    assert await _count(database) == (await world.ledger.balance(world.tenant)).version


async def test_two_at_once_do_each_other_no_harm(world: World, database: Database) -> None:
    archivers = [Archiver(world.store, database) for _ in range(2)]
    tasks = [asyncio.create_task(each.run()) for each in archivers]
    for n in range(20):
        await live_a_little(world, f"{n}")
    await _caught_up(world, database)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not any(each.alarms for each in archivers)


async def test_another_archives_store_is_refused(world: World, database: Database) -> None:
    await archived(world, database)
    await world.store.command("SET", keys.archive(), "another")
    with pytest.raises(Unsafe, match="another archive"):
        await Archiver(world.store, database).step()


async def test_a_store_that_lost_everything_is_refused(world: World, database: Database) -> None:
    await archived(world, database)
    await world.store.command("DEL", keys.archive())
    with pytest.raises(Unsafe, match="archive rebuild"):
        await Archiver(world.store, database).step()


async def test_a_missing_line_stops_its_shard_alone_and_is_told(
    world: World, database: Database
) -> None:
    await live_a_little(world)
    await archived(world, database)
    await live_a_little(world, "2")
    stream = keys.journal(keys.shard_of("acme"))
    before = await _count(database)
    after = (await world.store.command("XRANGE", stream, "-", "+"))[before:]
    await world.store.command("XDEL", stream, after[0][0])
    took = await archived(world, database)
    assert await _count(database) == before
    (alarm,) = (await took.status()).alarms
    assert f"line {before + 1} is missing" in alarm
    await world.directory.put_tenant(world.tenant_like("elsewhere"))
    await archived(world, database)
    assert await _count(database) > before
    assert (await world.store.command("XLEN", stream)) == before + len(after) - 1  # untrimmed


async def test_a_line_that_comes_back_ends_the_alarm(world: World, database: Database) -> None:
    await live_a_little(world)
    stream = keys.journal(keys.shard_of("acme"))
    copy = await world.store.command("XRANGE", stream, "-", "+")
    await world.store.command("XDEL", stream, copy[3][0])
    assert (await (await archived(world, database)).status()).alarms
    await world.store.command("DEL", stream)
    for position, fields in copy:
        pairs = [part for pair in fields.items() for part in pair]
        await world.store.command("XADD", stream, position, *pairs)
    status = await (await archived(world, database)).status()
    assert status.alarms == ()
    assert status.entries == len(copy)


async def test_a_store_that_was_set_back_writes_nothing_over_what_is_known(
    world: World, database: Database
) -> None:
    """After a failover the numbers it has forgotten come again with another content (L31)."""
    await live_a_little(world)
    await archived(world, database)
    before = await _count(database)
    await world.change_account(version=(await world.account()).version - 1)
    await world.fund(7, "other")
    took = await archived(world, database)
    assert await _count(database) == before
    assert "another content" in (await took.status()).alarms[0]


async def test_lines_below_the_position_are_seen(world: World, database: Database) -> None:
    """A replica that took over may number its lines below what was read (L32)."""
    await live_a_little(world)
    stream = keys.journal(keys.shard_of("acme"))
    copy = await world.store.command("XRANGE", stream, "-", "+")
    half = len(copy) // 2
    await world.store.command("XDEL", stream, *(position for position, _ in copy[half:]))
    await archived(world, database)
    await world.store.command("DEL", stream)
    for n, (_, fields) in enumerate(copy, 1):
        pairs = [part for pair in fields.items() for part in pair]
        await world.store.command("XADD", stream, f"1-{n}", *pairs)
    await archived(world, database)
    assert await _count(database) == len(copy)


async def test_followers_see_each_line_once_in_its_order(world: World, database: Database) -> None:
    class Follower:
        def __init__(self) -> None:
            self.seen: list[int] = []
            self.fails = 1

        async def follow(self, connection: AsyncConnection, lines: Sequence[Entry]) -> None:
            if self.fails:
                self.fails -= 1
                raise RuntimeError("rolled back")
            self.seen += [line.version for line in lines]

    follower = Follower()
    await live_a_little(world)
    failing = Archiver(world.store, database, followers=[follower])
    with pytest.raises(RuntimeError):
        await failing.step()
    assert await _count(database) == 0
    await archived(world, database, [follower])
    await live_a_little(world, "2")
    await archived(world, database, [follower])
    assert follower.seen == list(range(1, 1 + await _count(database)))


async def test_only_what_is_archived_and_old_is_trimmed(world: World, database: Database) -> None:
    stream = keys.journal(keys.shard_of("acme"))
    for n in range(40):
        await live_a_little(world, f"{n}")
    copy = await world.store.command("XRANGE", stream, "-", "+")
    await archived(world, database)
    assert await world.store.command("XLEN", stream) == len(copy)  # of the last minute
    old = Archiver(world.store, database, keep_ms=-60_000)
    while await old.step():
        pass
    assert await world.store.command("XLEN", stream) < len(copy) // 2
    await live_a_little(world, "more")
    await archived(world, database)
    proof = await world.ledger.balance(world.tenant)
    assert proof.version == await _count(database)


async def test_status_tells_what_waits(world: World, database: Database) -> None:
    took = await archived(world, database)
    fresh = await took.status()
    assert (fresh.waiting, fresh.lag_ms) == (0, 0)
    await live_a_little(world)
    waits = await took.status()
    lines = (await world.ledger.balance(world.tenant)).version
    assert waits.entries + waits.waiting == lines
    await archived(world, database)
    done = await took.status()
    assert (done.entries, done.waiting, done.lag_ms) == (lines, 0, 0)
    assert abs(done.archived_ms - await world.now_ms()) < 60_000


async def test_an_archive_that_stays_away_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "ALARM_AFTER_S", 0.0)
    away = Archiver(world.store, Database("postgresql://u:p@127.0.0.1:1/n"))
    assert away.alarms == ()
    task = asyncio.create_task(away.run())
    async with asyncio.timeout(20):
        while not away.alarms:
            await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _caught_up(world: World, database: Database) -> None:
    async with asyncio.timeout(20):
        while await _count(database) < (await world.ledger.balance(world.tenant)).version:
            await asyncio.sleep(0.02)


async def _count(database: Database) -> int:
    async with database.connect() as connection:
        asked = select(func.count()).select_from(entries)
        return int((await connection.execute(asked)).scalar() or 0)


async def _one(database: Database, asked: Any) -> dict[str, Any]:
    async with database.connect() as connection:
        return dict((await connection.execute(asked)).mappings().one())


async def _calls(database: Database) -> set[str]:
    async with database.connect() as connection:
        return set((await connection.execute(select(open_calls.c.call_id))).scalars())
