"""A real store and real databases for the reports' tests: whatever is archived comes from calls that were really decided."""

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
async def store_process() -> AsyncIterator[StoreProcess]:
    """A store that lives as long as the tests."""
    process = StoreProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[PostgresProcess]:
    """A server that lives as long as the tests."""
    process = PostgresProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture
async def world(store_process: StoreProcess) -> AsyncIterator[World]:
    """A ledger over the shared store, with a tenant nobody else knows."""
    async with open_world(store_process.url, f"reported{next(_numbers)}") as world:
        yield world


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty archive in SQLite."""
    async for opened in _opened(f"sqlite:///{tmp_path / 'archive.db'}"):
        yield opened


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def either(
    request: pytest.FixtureRequest, postgres: PostgresProcess, tmp_path: Path
) -> AsyncIterator[Database]:
    """An empty archive, of both kinds in turn."""
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    if request.param == "postgresql":
        url = await postgres.database(f"reports{next(_numbers)}")
    async for opened in _opened(url):
        yield opened


async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
