"""The way to SQL: one door for everything that is kept for years.

SQLite by default, PostgreSQL by URL. What a driver says when the database is away is logged and never
returned; the values of statements are in neither.

Whoever only holds the door has loaded nothing: the engine behind it comes with the first connection,
in a thread, because loading takes as long as a thousand calls. So what knows SQL is imported where a
connection is open, by all who may never need it.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from talktime_server.failure import ArchiveAway, Unsafe

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from talktime_server.archive.engine import Engine

log = structlog.get_logger()


class Database:
    """A database by its URL: sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME. Raises
    ValueError for any other.

    `opens_itself`: with the first question, for those who may never ask one.
    """

    def __init__(self, url: str, *, opens_itself: bool = False) -> None:
        self._path = _file(url)
        self._url = url
        self._opens_later = opens_itself
        self._engine: Engine | None = None
        self._one_at_a_time = asyncio.Lock()
        self._coming: asyncio.Task[None] | None = None

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
        engine = await self._loaded()
        await engine.make_tables(self._path)

    def expect(self) -> None:
        """Says that a question will come soon: one that opens itself does so meanwhile."""
        if self._opens_later and self._coming is None:
            self._coming = asyncio.create_task(self._come())

    async def _come(self) -> None:
        with suppress(ArchiveAway):  # it is logged, and the question itself tries again
            await self._ready()

    async def close(self) -> None:
        """Closes every connection."""
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])
        if self._engine is not None:
            await self._engine.reader.dispose()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["AsyncConnection"]:
        """A transaction that writes: committed at the end, rolled back when anything is raised. Raises
        ArchiveAway; a commit whose answer was lost may have happened.
        """
        engine = await self._ready()
        with engine.trouble():
            async with engine.writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["AsyncConnection"]:
        """A connection that reads one state of the archive, from its first statement to its end."""
        engine = await self._ready()
        with engine.trouble():
            async with engine.reader.connect() as connection:
                yield connection

    async def _ready(self) -> "Engine":
        if self._opens_later:
            async with self._one_at_a_time:
                await self._open_once()
        return await self._loaded()

    async def _open_once(self) -> None:
        if not self._opens_later:
            return
        try:
            await self.open()
        except Unsafe as unsafe:
            log.error("archive_refused", why=str(unsafe))
            raise ArchiveAway.now() from unsafe
        self._opens_later = False

    async def _loaded(self) -> "Engine":
        if self._engine is None:
            engine = await asyncio.to_thread(_made, self._url)
            self._engine = self._engine or engine
        return self._engine


def _made(url: str) -> "Engine":
    from talktime_server.archive.engine import Engine

    # Its tables take a while to describe, and every question is about them.
    import_module("talktime_server.archive.schema")

    return Engine(url)


def _file(url: str) -> str:
    """The file of an embedded database, "" for a server."""
    kind, _, rest = url.partition("?")[0].partition("://")
    _, _, name = rest.partition("/")
    if kind not in ("sqlite", "postgresql") or name in ("", ":memory:"):
        raise ValueError("the archive's URL is sqlite:///PATH or postgresql://HOST/NAME")
    return name if kind == "sqlite" else ""
