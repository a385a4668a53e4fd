"""Both kinds of database, one PostgreSQL for all tests of this folder, and certificates made on the spot."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio

from archive.postgres import PostgresProcess
from notices.certificates import Certificate, make_certificate
from talktime_server.archive.database import Database

_numbers = count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def notices_postgres() -> AsyncIterator[PostgresProcess]:
    """A server that lives as long as the tests."""
    process = PostgresProcess()
    try:
        await process.start()
        yield process
    finally:
        process.stop()


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def database(
    request: pytest.FixtureRequest, notices_postgres: PostgresProcess, tmp_path: Path
) -> AsyncIterator[Database]:
    """An archive with nothing in it, of both kinds in turn."""
    url = f"sqlite:///{tmp_path / 'archive.db'}"
    if request.param == "postgresql":
        url = await notices_postgres.database(f"notices{next(_numbers)}")
    async for opened in _opened(url):
        yield opened


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """The URL of an archive in a file."""
    return f"sqlite:///{tmp_path / 'archive.db'}"


@pytest_asyncio.fixture
async def file(file_url: str) -> AsyncIterator[Database]:
    """An archive in a file, where the kind of database is nothing to the test."""
    async for opened in _opened(file_url):
        yield opened


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Of localhost, 127.0.0.1 and hooks.example.com, signed by itself."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
