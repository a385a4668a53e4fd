"""Archiver and PostgreSQL killed under load: every line is there once, and a rebuilt store is the one that was.

TALKTIME_ARCHIVE_KILLS says how often each is killed.
"""

import asyncio
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from archive.crowded import ArchiverProcess, Load, load
from archive.postgres import PostgresProcess
from ledger.world import open_world
from stores import StoreProcess
from talktime_server.archive.database import Database
from talktime_server.archive.rebuild import rebuild
from talktime_server.archive.schema import entries
from talktime_server.archive.verify import verify
from talktime_server.failure import ArchiveAway
from talktime_server.ledger.store import Store

KILLS = int(os.environ.get("TALKTIME_ARCHIVE_KILLS", "3"))
LIMIT_S = 60 + KILLS * 20
CATCH_UP_S = 60.0
PAUSE_S = 0.02  # of a tenant between two calls
LOOK_EVERY_S = 0.05


@pytest.mark.timeout(LIMIT_S)
async def test_a_killed_archiver_loses_and_doubles_nothing(
    archive_url: str, store_process: StoreProcess, tmp_path: Path
) -> None:
    archiver = ArchiverProcess(store_process.url, archive_url, tmp_path / "lags")
    dice = random.Random(4)
    async with load(store_process.url) as crowd:
        crowd.start(PAUSE_S)
        archiver.start()
        database = Database(archive_url)
        await _opened(database)
        try:
            for _ in range(KILLS):
                await _grows(database)
                await asyncio.sleep(dice.uniform(0, 0.3))
                archiver.kill()
                archiver.start()
            await _ends_well(crowd, database, archiver)
        finally:
            archiver.kill()
            await database.close()


@pytest.mark.timeout(LIMIT_S)
async def test_a_killed_postgresql_loses_and_doubles_nothing(
    store_process: StoreProcess, tmp_path: Path
) -> None:
    server = PostgresProcess()
    archiver = ArchiverProcess(store_process.url, server.url(), tmp_path / "lags")
    database, dice = Database(server.url()), random.Random(5)
    try:
        await server.start()
        async with load(store_process.url) as crowd:
            crowd.start(PAUSE_S)
            archiver.start()
            await _opened(database)
            for _ in range(KILLS):
                await _grows(database)
                await asyncio.sleep(dice.uniform(0, 0.3))
                server.kill()
                await asyncio.sleep(dice.uniform(0, 0.3))
                await server.start()
            await _ends_well(crowd, database, archiver)
    finally:
        archiver.kill()
        await database.close()
        server.stop()


async def _opened(database: Database) -> None:
    async with asyncio.timeout(CATCH_UP_S):
        while True:
            try:
                return await database.open()
            except ArchiveAway:
                await asyncio.sleep(LOOK_EVERY_S)


async def _grows(database: Database) -> None:
    """Waits until a line more is archived than now: kills that come faster prove nothing."""
    before = await _count(database)
    async with asyncio.timeout(CATCH_UP_S):
        while await _count(database) <= before:
            await asyncio.sleep(LOOK_EVERY_S)


async def _ends_well(crowd: Load, database: Database, archiver: ArchiverProcess) -> None:
    await crowd.stop()
    expected = await crowd.versions()
    async with asyncio.timeout(CATCH_UP_S):
        while await _count(database) < sum(expected.values()):
            await asyncio.sleep(LOOK_EVERY_S)
    archiver.kill()
    await _nothing_missing(database, expected)
    found = await verify(database)
    assert found.sound, found.wrong
    await _rebuilds(crowd, database)
    lags = archiver.lags_ms()
    told = f"{KILLS} kills, {sum(expected.values())} lines, gaps 0, duplicates 0"
    print(f"\n{told}; lag p50 {lags[len(lags) // 2]} ms, p99 {lags[len(lags) * 99 // 100]} ms")


async def _nothing_missing(database: Database, expected: dict[str, int]) -> None:
    table = entries
    asked = select(
        table.c.tenant_id,
        func.count(),
        func.count(table.c.version.distinct()),
        func.min(table.c.version),
        func.max(table.c.version),
    ).group_by(table.c.tenant_id)
    async with database.connect() as connection:
        rows = {row[0]: tuple(row[1:]) for row in await connection.execute(asked)}
    assert rows == {tenant_id: (n, n, 1, n) for tenant_id, n in expected.items()}


async def _rebuilds(crowd: Load, database: Database) -> None:
    """What the archive makes of an empty store is what there is."""
    process = StoreProcess()
    store = Store(process.url, timeout_s=10.0)
    try:
        await process.start()
        restored = await rebuild(database, store)
        assert restored.proven, restored.wrong
        for world in crowd.worlds:
            tenant_id = world.tenant.tenant_id
            async with open_world(process.url, tenant_id) as again:
                was = await world.ledger.balance(world.tenant)
                now = await again.ledger.balance(again.tenant)
                assert replace(now, read_ms=0) == replace(was, read_ms=0)
                assert await again.ledger.pool_rows(tenant_id) == await world.ledger.pool_rows(
                    tenant_id
                )
    finally:
        await store.close()
        process.stop()


async def _count(database: Database) -> int:
    try:
        async with database.connect() as connection:
            asked = select(func.count()).select_from(entries)
            return int((await connection.execute(asked)).scalar() or 0)
    except ArchiveAway:
        return 0
