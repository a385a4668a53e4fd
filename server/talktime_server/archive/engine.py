"""The engine behind the archive's door: its connections, how each transaction begins, and what its troubles are.

SQLite and PostgreSQL are both told to have a line on the disk before they say that they have it, because the store
forgets what is said to be here. Loaded with the first question: SQL costs a process a third of a second and 30 MB.
"""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import structlog
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from talktime_server.archive.revisions import migrate
from talktime_server.failure import ArchiveAway

CONNECTIONS = 5
WAIT_S = 5.0  # for a connection, for a lock of SQLite's, and for a server to answer its door
OPENING_S = 60.0  # another process may be making the tables
OPENING_AGAIN_S = 0.1
STATEMENT_S = 120.0  # no statement of ours is longer; what reads much reads it in parts
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
# Our own mistakes, and the lines that are there already: they are no trouble of the connection.
_OURS = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
_TROUBLE = (DBAPIError, PoolTimeout, OSError, TimeoutError, sqlite3.Error)

log = structlog.get_logger()


class Engine:
    """Connections to one database. `reader` begins what reads, `writer` what writes."""

    def __init__(self, url: str) -> None:
        self.reader = _engine(url)
        self._troubles: tuple[type[Exception], ...] = _TROUBLE
        isolation = {}
        if self.reader.dialect.name != "sqlite":
            self._troubles += _server_troubles()
            isolation = {"isolation_level": "READ COMMITTED"}
        # What writes says so from its beginning: SQLite lets nobody write who has begun by reading, and
        # PostgreSQL shows a writer what another has committed while it waited for a lock.
        self.writer = self.reader.execution_options(talktime_writes=True, **isolation)

    @contextmanager
    def trouble(self) -> Iterator[None]:
        """Turns what drivers raise when a database is away into ArchiveAway."""
        try:
            yield
        except _OURS:
            raise
        except self._troubles as error:
            said = error.orig if isinstance(error, DBAPIError) else error
            log.warning("archive_away", error=type(said).__name__, said=str(said))
            raise ArchiveAway.now() from error

    async def make_tables(self, file: str) -> None:
        """Makes the tables, or what is new of them, and the file of an embedded database. Raises
        ArchiveAway, Unsafe.
        """
        with self.trouble():
            deadline = asyncio.get_running_loop().time() + OPENING_S
            while True:
                try:
                    return await self._make_tables(file)
                except (sqlite3.OperationalError, DBAPIError) as error:
                    # SQLite gives up at once where two change a file's mode.
                    if "locked" not in str(error) or asyncio.get_running_loop().time() > deadline:
                        raise
                await asyncio.sleep(OPENING_AGAIN_S)

    async def _make_tables(self, file: str) -> None:
        if file:
            await asyncio.to_thread(_make_file, file)
        async with self.writer.begin() as connection:
            await connection.run_sync(migrate)


def _engine(url: str) -> AsyncEngine:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("the archive's URL cannot be read") from None
    if "sslmode" in parsed.query:  # as psql spells it
        parsed = parsed.update_query_dict({"ssl": parsed.query["sslmode"]})
        parsed = parsed.difference_update_query(["sslmode"])
    embedded = parsed.drivername == "sqlite"
    engine = create_async_engine(
        parsed.set(drivername=_DRIVERS[parsed.drivername]),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=WAIT_S,
        pool_pre_ping=not embedded,
        hide_parameters=True,
        connect_args={"timeout": WAIT_S} if embedded else _server_options(),
    )
    if embedded:
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _server_options() -> dict[str, Any]:
    return {
        "timeout": WAIT_S,
        "command_timeout": STATEMENT_S,
        "server_settings": {
            "application_name": "talktime",
            "synchronous_commit": "on",
            "default_transaction_isolation": "repeatable read",
            "jit": "off",
        },
    }


def _server_troubles() -> tuple[type[Exception], ...]:
    """What the driver raises by itself while it connects."""
    import asyncpg  # type: ignore[import-untyped]  # it ships no types

    return asyncpg.PostgresError, asyncpg.InterfaceError


def _make_file(path: str) -> None:
    """Nobody else reads what customers did; SQLite gives its other files the same mode. The mode in
    which readers do not wait for who writes is kept in the file.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    os.chmod(path, 0o600)
    with closing(sqlite3.connect(path, timeout=WAIT_S)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver begins no transactions of its own: it would leave out the ones that make tables.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("talktime_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
