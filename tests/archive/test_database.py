"""The door to SQL: tables made once whoever comes first, lines that nobody changes, and a database that goes away."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert, inspect, text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from archive.postgres import PostgresProcess
from talktime_server.archive.database import Database
from talktime_server.archive.revisions import HEAD, unmake
from talktime_server.archive.schema import entries, facts, metadata
from talktime_server.failure import ArchiveAway, Unsafe
from talktime_server.notices import tables

A_LINE = {
    "tenant_id": "acme",
    "version": 1,
    "kind": "FUND",
    "reference_id": "f1",
    "payer_id": "",
    **dict.fromkeys(("settled_delta_micros", "held_delta_micros", "seconds", "entered_ms"), 0),
    **dict.fromkeys(("postpaid_delta_micros", "postpaid_held_delta_micros"), 0),
    "pools": "",
    "hash": bytes(32),
}


async def test_several_that_open_at_once_make_the_tables_once(archive_url: str) -> None:
    databases = [Database(archive_url) for _ in range(4)]
    await asyncio.gather(*(each.open() for each in databases))
    assert tables.metadata is metadata
    async with databases[0].connect() as connection:
        assert not await connection.run_sync(_differences)
        newest = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert newest.scalar() == HEAD
    for each in databases:
        await each.close()


async def test_a_file_in_other_hands_is_waited_for_and_no_trouble(tmp_path: Path) -> None:
    """Who opens it meanwhile is told at once that it is locked: nobody needs to read of that."""
    path = tmp_path / "archive.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        database = Database(f"sqlite:///{path}")
        with capture_logs() as lines:
            opening = asyncio.create_task(database.open())
            await asyncio.sleep(0.3)
            assert not opening.done()
            other.execute("ROLLBACK")
            await opening
    assert lines == []
    await database.close()


async def test_the_tables_go_down_and_up_again(archive_url: str) -> None:
    database = Database(archive_url)
    await database.open()
    async with database.begin() as connection:
        await connection.run_sync(unmake, "base")
        assert await connection.run_sync(_tables) == ["alembic_version"]
    await database.open()
    async with database.connect() as connection:
        assert set(metadata.tables) < set(await connection.run_sync(_tables))
    await database.close()


@pytest.mark.parametrize(
    "change", ["UPDATE entries SET seconds = 1", "DELETE FROM entries"], ids=["update", "delete"]
)
async def test_the_database_itself_keeps_lines_as_they_are(archive_url: str, change: str) -> None:
    database = Database(archive_url)
    await database.open()
    async with database.begin() as connection:
        await connection.execute(insert(entries), A_LINE)
    with pytest.raises((DBAPIError, ArchiveAway)):
        async with database.begin() as connection:
            await connection.execute(text(change))
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT seconds FROM entries"))).scalar() == 0
    await database.close()


async def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'archive.db'}")
    await database.open()
    async with database.begin() as connection:
        await connection.execute(insert(facts), {"name": "a", "value": "b"})
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in os.scandir(tmp_path)}
    assert modes == dict.fromkeys(("archive.db", "archive.db-wal", "archive.db-shm"), 0o600)
    await database.close()


async def test_one_that_opens_itself_does_so_with_the_first_question(archive_url: str) -> None:
    database = Database(archive_url, opens_itself=True)
    assert database.missing == database.embedded
    counted = await asyncio.gather(*(_count(database) for _ in range(4)))
    assert counted == [0, 0, 0, 0]
    await database.close()


async def test_one_that_opens_itself_may_be_told_of_a_question_before_it_comes(
    archive_url: str,
) -> None:
    database = Database(archive_url, opens_itself=True)
    for _ in range(2):
        database.expect()
    assert await _count(database) == 0
    await database.close()


async def test_one_that_nobody_asked_closes_though_it_was_about_to_open(archive_url: str) -> None:
    database = Database(archive_url, opens_itself=True)
    database.expect()
    await database.close()


async def test_one_that_opens_itself_says_so_when_it_cannot(archive_url: str) -> None:
    maker, database = Database(archive_url), Database(archive_url, opens_itself=True)
    await maker.open()
    async with maker.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.expect()
    for _ in range(2):
        with pytest.raises(ArchiveAway):
            await _count(database)
    for each in (maker, database):
        await each.close()


async def _count(database: Database) -> int:
    async with database.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM facts"))).scalar() or 0)


async def test_a_newer_archive_is_refused(archive_url: str) -> None:
    database = Database(archive_url)
    await database.open()
    async with database.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unsafe, match="version of talktime"):
        await database.open()
    await database.close()


@pytest.mark.parametrize(
    "url", ["", "archive.db", "sqlite://", "sqlite:///:memory:", "mysql://h/n", "postgresql://h"]
)
def test_a_url_that_cannot_be_is_refused_unrepeated(url: str) -> None:
    with pytest.raises(ValueError, match="the archive's URL") as refused:
        Database(url)
    assert "mysql" not in str(refused.value)


async def test_a_database_that_is_away_says_so(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path / 'no' / 'where'}", "postgresql://u:p@127.0.0.1:1/n"):
        database = Database(url)
        with pytest.raises(ArchiveAway):
            await database.open()
        await database.close()


async def test_it_is_there_again_when_the_server_is() -> None:
    process = PostgresProcess()
    database = Database(process.url())
    try:
        await process.start()
        await database.open()
        with pytest.raises(ArchiveAway):
            await _write(database, process.kill)
        with pytest.raises(ArchiveAway):
            await _write(database)
        await process.start()
        async with database.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM facts"))).scalar() == 0
    finally:
        await database.close()
        process.stop()


async def _write(database: Database, first: Callable[[], None] = lambda: None) -> None:
    async with database.begin() as connection:
        first()
        await connection.execute(insert(facts), {"name": "a", "value": "b"})


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def _tables(connection: Connection) -> list[str]:
    return inspect(connection).get_table_names()
