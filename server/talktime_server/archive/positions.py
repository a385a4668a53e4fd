"""How far each shard's journal is in the archive, which store that journal belongs to, and what is wrong with it.

All of it is in SQL, so that every process sees the same, and so that a position moves in the transaction that adds the
lines before it.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from talktime_server.archive.database import Database
from talktime_server.archive.inserting import inserting
from talktime_server.archive.places import START
from talktime_server.archive.schema import balances, facts, shard_positions
from talktime_server.failure import Unsafe
from talktime_server.ledger import keys
from talktime_server.ledger.store import Store

ARCHIVE_ID = "archive_id"
ARCHIVED_MS = "archived_ms"  # when a line was last archived, by the store's clock
ALARM = "alarm:"


class Moved(Exception):
    """Another archiver was faster: what is committed must be read again."""


async def attach(database: Database, store: Store) -> dict[int, str]:
    """Binds store and archive to each other, once and for ever; gives the positions. Raises Unsafe for
    another archive's store, and for one that lost what the archive has.
    """
    async with database.begin() as connection:
        archive_id = await _archive_id(connection)
        has_lines = bool((await connection.execute(select(balances.c.version).limit(1))).first())
        fresh = [{"shard": shard, "position": START} for shard in range(keys.SHARDS)]
        await connection.execute(_insert(connection, shard_positions), fresh)
        positions = await read(connection)
    if not has_lines:
        await store.command("SET", keys.archive(), archive_id, "NX")
    bound = await store.command("GET", keys.archive())
    if bound is None:
        raise Unsafe(
            "the archive has lines, and this store has never known it: a store that is empty is "
            "restored by `talktime archive rebuild`, any other has an archive of its own"
        )
    if bound.decode() != archive_id:
        raise Unsafe(
            "this store's journal goes to another archive: set TALKTIME_ARCHIVE_URL to that one"
        )
    return positions


async def read(connection: AsyncConnection, *, lock: Sequence[int] = ()) -> dict[int, str]:
    """The positions by shard: all of them, or some that nobody else moves until this transaction ends."""
    asked = select(shard_positions.c.shard, shard_positions.c.position)
    if lock:
        which = shard_positions.c.shard.in_(lock)
        asked = asked.where(which).order_by(shard_positions.c.shard).with_for_update()
    return {shard: position for shard, position in await connection.execute(asked)}  # noqa: C416  rows are no pairs to mypy


async def lock(connection: AsyncConnection, expected: Mapping[int, str]) -> None:
    """Makes sure that these shards are where they were read. Raises Moved."""
    if await read(connection, lock=sorted(expected)) != expected:
        raise Moved


async def move(connection: AsyncConnection, reached: Mapping[int, str], now_ms: int) -> None:
    """Everything up to these positions is in the archive once the transaction is committed."""
    change = update(shard_positions).where(shard_positions.c.shard == bindparam("which"))
    rows = [{"which": shard, "to": position} for shard, position in sorted(reached.items())]
    await connection.execute(change.values(position=bindparam("to")), rows)
    await put_fact(connection, ARCHIVED_MS, str(now_ms))


async def put_fact(connection: AsyncConnection, name: str, value: str) -> None:
    """Notes what is true of the archive as a whole."""
    statement = inserting(connection, facts).values(name=name, value=value)
    change = statement.on_conflict_do_update(index_elements=["name"], set_={"value": value})
    await connection.execute(change)


async def facts_of(connection: AsyncConnection) -> dict[str, str]:
    """Everything that is noted of the archive as a whole, by name."""
    rows = await connection.execute(select(facts.c.name, facts.c.value))
    return {row.name: row.value for row in rows}


async def archive_id_of(connection: AsyncConnection) -> str:
    """The archive's id, "" when none was made yet."""
    asked = select(facts.c.value).where(facts.c.name == ARCHIVE_ID)
    return (await connection.execute(asked)).scalar() or ""


async def count_entries(connection: AsyncConnection) -> int:
    """Lines in the archive: a tenant's are numbered without gaps."""
    return int((await connection.execute(select(func.sum(balances.c.version)))).scalar() or 0)


async def _archive_id(connection: AsyncConnection) -> str:
    row = {"name": ARCHIVE_ID, "value": str(uuid.uuid4())}
    await connection.execute(_insert(connection, facts), [row])
    return await archive_id_of(connection)


def _insert(connection: AsyncConnection, table: Any) -> Any:
    """Adds what is not there yet."""
    return inserting(connection, table).on_conflict_do_nothing()
