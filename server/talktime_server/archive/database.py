"""The way to SQL: one door for everything that is kept for years.

SQLite by default, PostgreSQL by URL. Both are told to have a line on the disk before they say that
they have it, because the store forgets what is said to be here. What a driver says when the
database is away is logged and never returned; the values of statements are in neither.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Connection, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from talktime_server.failure import ArchiveAway, Unsafe

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0002"  # the newest revision of the tables
CONNECTIONS = 5
WAIT_S = 5.0  # for a connection, for a lock of SQLite's, and for a server to answer its door
STATEMENT_S = 120.0  # no statement of ours is longer; what reads much reads it in parts
OPENING_S = 60.0  # another process may be making the tables
OPENING_AGAIN_S = 0.1
MIGRATION_LOCK = 0x7461_6C6B  # "talk": the advisory lock under which PostgreSQL's tables are made
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
# Our own mistakes, and the lines that are there already: they are no trouble of the connection.
_OURS = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
_TROUBLE = (DBAPIError, PoolTimeout, OSError, TimeoutError, sqlite3.Error)

log = structlog.get_logger()


class Database:
    """A database by its URL: sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME. Raises
    ValueError for any other.
    """

    def __init__(self, url: str) -> None:
        self._path, self._engine = _engine(url)
        self._troubles: tuple[type[Exception], ...] = _TROUBLE
        if not self._path:
            self._troubles += _server_troubles()
        # What writes says so from its beginning: SQLite lets nobody write who has begun by reading, and
        # PostgreSQL shows a writer what another has committed while it waited for a lock.
        isolation = {} if self._path else {"isolation_level": "READ COMMITTED"}
        self._writer = self._engine.execution_options(talktime_writes=True, **isolation)

    @property
    def embedded(self) -> bool:
        """Whether it is SQLite, a file of ours."""
        return bool(self._path)

    @property
    def missing(self) -> bool:
        """Whether it is a file that is not there yet; `open` would make it."""
        return self.embedded and not os.path.exists(self._path)

    async def open(self) -> None:
        """Makes the tables, or what is new of them; safe when several processes do it at once.
        Raises ArchiveAway, and Unsafe when a newer version has written it.
        """
        deadline = asyncio.get_running_loop().time() + OPENING_S
        while True:
            try:
                await self._make()
                return
            except ArchiveAway as away:
                # SQLite gives up at once where two change a file's mode.
                if not _locked(away.__cause__) or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(OPENING_AGAIN_S)

    async def _make(self) -> None:
        with self._trouble():
            if self._path:
                await asyncio.to_thread(_make_file, self._path)
        async with self.begin() as connection:
            await connection.run_sync(migrate)

    async def close(self) -> None:
        """Closes every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes: committed at the end, rolled back when anything is raised. Raises
        ArchiveAway; a commit whose answer was lost may have happened.
        """
        with self._trouble():
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection that reads one state of the archive, from its first statement to its end."""
        with self._trouble():
            async with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """Turns what drivers raise when a database is away into ArchiveAway."""
        try:
            yield
        except _OURS:
            raise
        except self._troubles as error:
            said = error.orig if isinstance(error, DBAPIError) else error
            log.warning("archive_away", error=type(said).__name__, said=str(said))
            raise ArchiveAway.now() from error


def migrate(connection: Connection, revision: str = "head") -> None:
    """Brings the tables up to a revision, inside the connection's transaction. Raises Unsafe when they
    are newer than this talktime.
    """
    if revision == "head" and _revision(connection) == HEAD:
        return
    # Every process starts by asking, and hardly one has anything to change.
    from alembic import command
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    try:
        command.upgrade(_alembic(connection), revision)
    except CommandError as error:
        raise Unsafe(f"the archive was not made by this version of talktime: {error}") from error


def unmake(connection: Connection, revision: str) -> None:
    """Takes the tables back to a revision ("base": none), inside the connection's transaction."""
    from alembic import command

    command.downgrade(_alembic(connection), revision)


def _revision(connection: Connection) -> str:
    """The revision of the tables that there are, empty for none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def _alembic(connection: Connection) -> "Config":
    from alembic.config import Config

    with as_file(files("talktime_server.archive") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> tuple[str, AsyncEngine]:
    """The file of an embedded database, "" for a server, and its engine."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("the archive's URL cannot be read") from None
    driver = _DRIVERS.get(parsed.drivername)
    path = parsed.database or ""
    if driver is None or path in ("", ":memory:"):
        raise ValueError("the archive's URL is sqlite:///PATH or postgresql://HOST/NAME")
    if "sslmode" in parsed.query:  # as psql spells it
        parsed = parsed.update_query_dict({"ssl": parsed.query["sslmode"]})
        parsed = parsed.difference_update_query(["sslmode"])
    embedded = parsed.drivername == "sqlite"
    engine = create_async_engine(
        parsed.set(drivername=driver),
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
    return (path if embedded else ""), engine


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
    try:
        import asyncpg  # type: ignore[import-untyped]  # it ships no types
    except ImportError:
        raise ValueError("the archive's URL needs the extra talktime[postgres]") from None
    return asyncpg.PostgresError, asyncpg.InterfaceError


def _locked(cause: BaseException | None) -> bool:
    return cause is not None and "locked" in str(cause)


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
