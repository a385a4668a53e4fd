"""One real PostgreSQL for all tests of the archive; every test has a database of its own there, or a SQLite file."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from archive.postgres import PostgresProcess
from ledger.world import World, open_world
from stores import StoreProcess
from talktime_server.archive.database import Database

_numbers = count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[PostgresProcess]:
    """A server that lives as long as the tests."""
    process = PostgresProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def archive_url(
    request: pytest.FixtureRequest, postgres: PostgresProcess, tmp_path: Path
) -> str:
    """An empty database, of both kinds in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'archive.db'}"
    return await postgres.database(f"archive{next(_numbers)}")


@pytest_asyncio.fixture
async def store_process() -> AsyncIterator[StoreProcess]:
    """A store of the test's own: its journal belongs to one archive for ever."""
    process = StoreProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture
async def world(store_process: StoreProcess) -> AsyncIterator[World]:
    """A ledger with a tenant."""
    async with open_world(store_process.url, "acme") as world:
        yield world


@pytest_asyncio.fixture
async def database(archive_url: str) -> AsyncIterator[Database]:
    """An archive without a line."""
    database = Database(archive_url)
    await database.open()
    yield database
    await database.close()
