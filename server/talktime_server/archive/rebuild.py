"""A store restored from the archive alone: every balance, pool, lot, open call, profile, receipt of a funding and recharge.

It may be cut off anywhere and run again. While it runs the store carries a mark in place of its data version, with which no
talktime serves it; the version is written last, when all was compared. What is no part of the journal is not restored: decks of
rates, receipts of calls that ended (the archive answers for those), and counts of calls a second.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive import positions
from talktime_server.archive.database import Database
from talktime_server.archive.lines import Row
from talktime_server.archive.places import START
from talktime_server.archive.proof import differences
from talktime_server.archive.restoring import Restorer, Writer
from talktime_server.archive.schema import balances, fundings, open_calls, profiles
from talktime_server.failure import Conflict
from talktime_server.ledger import keys
from talktime_server.ledger.store import Store
from talktime_server.ledger.upgrade import DATA_VERSION

TENANTS_AT_ONCE = 100
MOST_TOLD = 100  # differences
REBUILDING = (
    "rebuilding"  # where the data version is, no number: every talktime refuses such a store
)

# Hears how many tenants are done, of twice as many as there are: each is written, and compared.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored; money in micros of all currencies together, `wrong` is what does not agree with the archive."""

    tenants: int
    payers: int
    fundings: int
    open_calls: int
    entries: int
    settled_micros: int
    held_micros: int
    wrong: tuple[str, ...]

    @property
    def proven(self) -> bool:
        """Whether all of it agrees, and the store may serve."""
        return not self.wrong


async def rebuild(
    database: Database, store: Store, tell: Progress = lambda done, total: None
) -> Restored:
    """Restores an empty store. Raises Conflict for any other, and for an archive without a line;
    ArchiveAway, StoreAway.
    """
    async with database.connect() as connection:
        work = _Rebuilding(connection, store, tell)
        await work.begin()
        await work.restore()
        await work.compare()
        await work.finish()
        return await work.result()


@dataclass(slots=True)
class _Rebuilding:
    """One run; the connection shows one state of the archive throughout."""

    connection: AsyncConnection
    store: Store
    tell: Progress
    now_ms: int = 0
    tenants: int = 0
    done: int = 0
    wrong: list[str] = field(default_factory=list)

    async def begin(self) -> None:
        """Makes sure that nothing is lost by it, and marks the store."""
        archive_id = await positions.archive_id_of(self.connection)
        self.tenants = await _count(self.connection, balances)
        if not (archive_id and self.tenants):
            raise Conflict("ARCHIVE_EMPTY", "the archive has no line: there is nothing to restore")
        await self._refuse_others(archive_id)
        seconds, micros = await self.store.command("TIME")
        self.now_ms = int(seconds) * 1000 + int(micros) // 1000
        await self.store.command("SET", keys.stored_version(), REBUILDING)

    async def _refuse_others(self, archive_id: str) -> None:
        bound, version = await self.store.commands(
            [("GET", keys.archive()), ("GET", keys.stored_version())]
        )
        if bound not in (None, archive_id.encode()):
            raise Conflict("OTHER_ARCHIVE", "the store belongs to another archive")
        if version == REBUILDING.encode():
            return  # what is there is what an earlier run left
        shards = range(keys.SHARDS)
        asks = [("ZCARD", keys.tenants(shard)) for shard in shards]
        tenants = await self.store.commands(asks)
        lines = await self.store.commands([("XLEN", keys.journal(shard)) for shard in shards])
        if any(tenants) or any(lines):
            raise Conflict(
                "STORE_NOT_EMPTY",
                f"the store is not empty: it has {sum(tenants)} tenants and {sum(lines)} lines of a "
                "journal; only an empty store is restored, so that nothing is written over; "
                "move that one away",
            )

    async def restore(self) -> None:
        """Writes every tenant, and where the journals go on."""
        writer = Writer(self.store)
        restorer = Restorer(self.connection, writer, self.now_ms)
        async for group in self._groups():
            await restorer.restore(group)
            self._step(group)
        for shard, position in (await positions.read(self.connection)).items():
            for ask in _stream_after(shard, position):
                await writer.put(*ask)
        await writer.flush()

    async def compare(self) -> None:
        """Reads everything again."""
        async for group in self._groups():
            self.wrong += await differences(self.connection, self.store, group, self.now_ms)
            self._step(group)

    async def finish(self) -> None:
        """Lets the store serve, if it is right."""
        if not self.wrong:
            archive_id = await positions.archive_id_of(self.connection)
            await self.store.command("SET", keys.archive(), archive_id)
            await self.store.command("SET", keys.stored_version(), DATA_VERSION)

    async def result(self) -> Restored:
        """What came of it."""
        asked = select(func.sum(balances.c.settled_micros), func.sum(balances.c.held_micros))
        settled, held = (await self.connection.execute(asked)).one()
        payers = await _count(self.connection, profiles, profiles.c.payer_id != "")
        return Restored(
            self.tenants,
            payers,
            await _count(self.connection, fundings),
            await _count(self.connection, open_calls),
            await positions.count_entries(self.connection),
            int(settled),
            int(held),
            tuple(self.wrong[:MOST_TOLD]),
        )

    async def _groups(self) -> AsyncIterator[Sequence[Row]]:
        last, table = "", balances
        asked = select(table).order_by(table.c.tenant_id).limit(TENANTS_AT_ONCE)
        while True:
            found = await self.connection.execute(asked.where(table.c.tenant_id > last))
            rows = [dict(row) for row in found.mappings()]
            if not rows:
                return
            yield rows
            last = rows[-1]["tenant_id"]

    def _step(self, group: Sequence[Row]) -> None:
        self.done += len(group)
        self.tell(self.done, 2 * self.tenants)


def _stream_after(shard: int, position: str) -> Iterator[tuple[Any, ...]]:
    """New lines are numbered behind those that are archived, whatever the store's clock says: otherwise
    they would be taken for known ones.
    """
    stream = keys.journal(shard)
    yield ("DEL", stream)
    if position != START:
        yield ("XADD", stream, position, "archived", "1")
        yield ("XTRIM", stream, "MAXLEN", 0)


async def _count(connection: AsyncConnection, table: Table, *which: Any) -> int:
    asked = select(func.count()).select_from(table).where(*which)
    return int((await connection.execute(asked)).scalar() or 0)
